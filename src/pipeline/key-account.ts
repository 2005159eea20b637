/**
 * What the connections of one key have in use together, so that a device with a valid key can neither hold nor fill the
 * others.
 */
import { ProtocolCode, ProtocolError } from "../errors.ts";
import {
  keyConnectionsMax,
  keyOpenBytesMax,
  keyRowsPerMs,
  keySourcesMax,
  payloadBytesMax,
  rowBytes,
} from "../limits.ts";
import type { Clock, Grant } from "../ports.ts";
import { TokenBucket } from "../protocols/wire/token-bucket.ts";

/** A connection whose peer has proven the key. */
export interface KeyedConnection {
  readonly peer: string;
  readonly device: string;
  /** Of its frames that have begun and not ended. */
  readonly openBytes: number;
}

export class KeyAccount {
  /** Those that are admitted. */
  readonly connections: Set<KeyedConnection> = new Set<KeyedConnection>();
  readonly #clock: Pick<Clock, "nowMs">;
  /** By device: a gateway's key has many. */
  readonly #sources = new Map<string, Set<string>>();
  readonly #rows: TokenBucket;
  #rate: { readonly bytesPerMs: number; readonly bucket: TokenBucket } | undefined;

  constructor(clock: Pick<Clock, "nowMs">) {
    this.#clock = clock;
    this.#rows = new TokenBucket(keyRowsPerMs, clock.nowMs());
  }

  /** Throws ProtocolError: it has as many as it may have. */
  enter(connection: KeyedConnection, { maxRate }: Grant): void {
    let ofDevice = 0;
    for (const { device } of this.connections) if (device === connection.device) ofDevice++;
    if (ofDevice >= keyConnectionsMax) {
      const text = `${connection.device} has ${keyConnectionsMax} connections, as many as a key may have`;
      throw new ProtocolError(ProtocolCode.busy, text);
    }
    this.connections.add(connection);
    if (maxRate === this.#rate?.bytesPerMs) return;
    const nowMs = this.#clock.nowMs();
    this.#rate = maxRate === undefined ? undefined : { bytesPerMs: maxRate, bucket: new TokenBucket(maxRate, nowMs) };
  }

  /** Replaced, ending or gone. More than once is as once. */
  leave(connection: KeyedConnection): void {
    this.connections.delete(connection);
  }

  /** Why the key may not send this source of this device; undefined: it may, and it counts. */
  sourceProblem(device: string, source: string, { sources }: Grant): string | undefined {
    if (sources !== undefined && !sources.includes(source)) {
      return `${device} may send ${sources.join(", ")}, and not ${source}: its device file says so`;
    }
    const most = Math.max(keySourcesMax, sources?.length ?? 0);
    let known = this.#sources.get(device);
    if (known === undefined) this.#sources.set(device, (known = new Set()));
    if (!known.has(source) && known.size >= most) {
      return `${device} has ${most} sources, as many as it may have: its device file can list more`;
    }
    known.add(source);
    return undefined;
  }

  /**
   * Whether another frame may begin: temporary files of a key are bounded in all. One frame may be as large as it is,
   * and what fits one message is not worth the sum.
   */
  mayBegin(bytes: number): boolean {
    if (bytes <= payloadBytesMax) return true;
    let openBytes = 0;
    for (const connection of this.connections) openBytes += connection.openBytes;
    return openBytes === 0 || openBytes + bytes <= keyOpenBytesMax;
  }

  /** When more may be read from the key; undefined: now. */
  get opensAtMs(): number | undefined {
    const nowMs = this.#clock.nowMs();
    const opensAtMs = Math.max(this.#rows.openAtMs(nowMs), this.#rate?.bucket.openAtMs(nowMs) ?? nowMs);
    return opensAtMs > nowMs ? opensAtMs : undefined;
  }

  /** Bytes of a frame, or what its row costs. */
  spend(bytes: number): void {
    this.#rate?.bucket.spend(bytes, this.#clock.nowMs());
  }

  /** A gap or a stretch: a row of its own, for next to no bytes. */
  spendRow(): void {
    this.#rows.spend(1, this.#clock.nowMs());
    this.spend(rowBytes);
  }
}
