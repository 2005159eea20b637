/**
 * How far a peer's clock is off, as the PONGs to our PINGs say (PROTOCOL.md section 4). The peer read its clock between
 * our two readings, so each exchange gives a lowest and a highest offset. What lay in buffers meanwhile makes the two
 * differ more, never wrong: the exchange that took least time is believed, until one disagrees because a clock was set.
 */

/** Clocks are read in milliseconds. */
const resolutionNs = 1_000_000n;
/** What two clocks that run by themselves may drift apart: 100 millionths of the time. */
const driftDivisor = 10_000n;

export class ClockOffset {
  #lowestNs = 0n;
  #highestNs = 0n;
  #measuredAtNs = 0n;
  /** The PING that waits for its PONG. */
  #sentNs: bigint | undefined;
  /** The peer's clock minus ours; 0: they agree as far as can be measured; undefined: not known. */
  offsetNs: bigint | undefined;

  /** A PING is being sent that says `sentNs`, our clock. */
  pinged(sentNs: bigint): void {
    this.#sentNs = sentNs;
  }

  /** A PONG says `echoNs` and the peer's clock, and ours is `nowNs`. */
  ponged(echoNs: bigint, peerNs: bigint, nowNs: bigint): void {
    // What a peer echoes counts only if we said it; and a clock of ours that went back measures nothing.
    if (echoNs !== this.#sentNs || nowNs < echoNs) return;
    this.#sentNs = undefined;
    const lowestNs = peerNs - nowNs - resolutionNs;
    const highestNs = peerNs - echoNs + resolutionNs;
    if (this.#isBetterKnown(lowestNs, highestNs, nowNs)) return;
    const offsetNs = lowestNs <= 0n && highestNs >= 0n ? 0n : (lowestNs + highestNs) / 2n;
    // Times are of 64 bits, and a peer may say any.
    if (BigInt.asIntN(64, offsetNs) !== offsetNs) return;
    this.#lowestNs = lowestNs;
    this.#highestNs = highestNs;
    this.#measuredAtNs = nowNs;
    this.offsetNs = offsetNs;
  }

  /** What is known agrees with what was measured now, and says more even after its age. */
  #isBetterKnown(lowestNs: bigint, highestNs: bigint, nowNs: bigint): boolean {
    if (this.offsetNs === undefined || nowNs < this.#measuredAtNs) return false;
    const driftNs = (nowNs - this.#measuredAtNs) / driftDivisor;
    const [low, high] = [this.#lowestNs - driftNs, this.#highestNs + driftNs];
    return lowestNs <= high && highestNs >= low && high - low < highestNs - lowestNs;
  }
}
