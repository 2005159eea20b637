/**
 * What the connections of one key have in use together, so that a device with a valid key can neither hold nor fill the
 * others. Kept as long as the key has a connection; its sources for as long as the receiver runs.
 */
import { ProtocolCode, ProtocolError } from "../errors.ts";
import { keyConnectionsMax, keyRowsPerMs, keySourcesMax, rowBytes } from "../limits.ts";
import type { Clock, Grant } from "../ports.ts";
import { TokenBucket } from "../protocols/wire/token-bucket.ts";

export class KeyAccount<Connection extends { readonly device: string }> {
  /** Those that are admitted. */
  readonly connections: Set<Connection> = new Set<Connection>();
  readonly #sources = new Set<string>();
  readonly #rows: TokenBucket;
  #rate: { readonly bytesPerMs: number; readonly bucket: TokenBucket } | undefined;

  constructor(nowMs: number) {
    this.#rows = new TokenBucket(keyRowsPerMs, nowMs);
  }

  /** Throws ProtocolError: it has as many as it may have. */
  enter(connection: Connection, grant: Grant, nowMs: number): void {
    let ofDevice = 0;
    for (const { device } of this.connections) if (device === connection.device) ofDevice++;
    if (ofDevice >= keyConnectionsMax) {
      const text = `${connection.device} has ${keyConnectionsMax} connections, as many as a key may have`;
      throw new ProtocolError(ProtocolCode.busy, text);
    }
    this.connections.add(connection);
    const { maxRate } = grant;
    if (maxRate === this.#rate?.bytesPerMs) return;
    this.#rate = maxRate === undefined ? undefined : { bytesPerMs: maxRate, bucket: new TokenBucket(maxRate, nowMs) };
  }

  /** Why the key may not send this source; undefined: it may, and it counts. */
  sourceProblem(source: string, { device, sources }: Grant): string | undefined {
    if (sources !== undefined && !sources.includes(source)) {
      return `${device} may send ${sources.join(", ")}, and not ${source}: its device file says so`;
    }
    const most = Math.max(keySourcesMax, sources?.length ?? 0);
    if (!this.#sources.has(source) && this.#sources.size >= most) {
      return `${device} has ${most} sources, as many as it may have: its device file can list more`;
    }
    this.#sources.add(source);
    return undefined;
  }

  /** When more may be read from the key: now (`nowMs`), or a time to come. */
  openAtMs(nowMs: number): number {
    return Math.max(this.#rows.openAtMs(nowMs), this.#rate?.bucket.openAtMs(nowMs) ?? nowMs);
  }

  /** Bytes of a frame, or the row of a whole one. */
  spend(bytes: number, nowMs: number): void {
    this.#rate?.bucket.spend(bytes, nowMs);
  }

  /** A gap or a stretch: a row of its own. */
  spendRow(nowMs: number): void {
    this.#rows.spend(1, nowMs);
    this.spend(rowBytes, nowMs);
  }
}

/** The accounts of all keys that have, or had, a connection. */
export class KeyAccounts<Connection extends { readonly device: string }> {
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #accounts = new Map<string, KeyAccount<Connection>>();

  constructor(clock: Pick<Clock, "nowMs">) {
    this.#clock = clock;
  }

  /** Made for keys that have a grant, of which there are as many as files in a folder. */
  of(fingerprint: string): KeyAccount<Connection> {
    let account = this.#accounts.get(fingerprint);
    if (account === undefined) this.#accounts.set(fingerprint, (account = new KeyAccount(this.#clock.nowMs())));
    return account;
  }

  /** Its grant is gone. */
  forget(fingerprint: string): void {
    this.#accounts.delete(fingerprint);
  }
}
