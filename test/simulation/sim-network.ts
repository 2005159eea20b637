/**
 * A network between one sender and one receiver, in virtual time: bytes are delayed and cut into random pieces, links
 * take less than they are given, connections are refused, cut on both sides or on one side only (the other stays,
 * half dead, until later), and bytes are damaged now and then if asked for.
 */
import type { Dial, Link, LinkHandlers, ProvenKey } from "../../src/ports.ts";
import type { Random } from "../support/random.ts";
import type { SimClock } from "./sim-clock.ts";

export interface NetworkOptions {
  readonly delayMsMax: number;
  /** Bytes under way in one direction, above which a link takes nothing more. */
  readonly capacityBytes: number;
  /** Probability that a delivered piece has a flipped bit. TCP makes it rare; the protocol must survive it. */
  readonly damage: number;
  /** What is written arrives as it was written, as small messages do in practice: for peers that rely on it. */
  readonly whole?: boolean;
  /** The keys that sender and receiver prove to each other. Absent: links are plain. */
  readonly keys?: Record<Side, string> | undefined;
}

export class SimNetwork {
  readonly #clock: SimClock;
  readonly #random: Random;
  readonly #options: NetworkOptions;
  /** Who accepts connections; undefined: nobody is there. */
  accept: (() => LinkHandlers) | undefined;
  readonly #connections = new Set<Connection>();
  /** Which sender process: what an earlier one dialled is not answered. */
  #senderLife = 0;
  /** Connections opened so far. */
  opened = 0;
  damaged = 0;

  constructor(clock: SimClock, random: Random, options: NetworkOptions) {
    this.#clock = clock;
    this.#random = random;
    this.#options = options;
  }

  readonly dial: Dial = (handlers) => this.#dial(handlers, this.#options.keys);

  /** Somebody else connects, who proves this key. */
  dialAs(key: string): Dial {
    const { keys } = this.#options;
    return (handlers) => this.#dial(handlers, keys && { ...keys, sender: key });
  }

  #dial(handlers: LinkHandlers, keys: NetworkOptions["keys"]): void {
    const life = this.#senderLife;
    this.#clock.after(this.#random.int(20), () => {
      if (life !== this.#senderLife) return;
      if (this.accept === undefined) return handlers.closed("connection refused");
      this.opened++;
      const options = { ...this.#options, keys };
      const connection = new Connection(this.#clock, this.#random, options, () => this.damaged++);
      this.#connections.add(connection);
      connection.open(handlers, this.accept());
    });
  }

  /** Cuts every connection, on both sides or, for now, only where the sender sees it. */
  cut(oneSided: boolean): void {
    for (const connection of this.#connections) {
      connection.cut("sender", "cut");
      if (oneSided) this.#clock.after(this.#random.int(8000), () => connection.cut("receiver", "cut late"));
      else connection.cut("receiver", "cut");
      this.#connections.delete(connection);
    }
  }

  /** One process is gone: its ends hear nothing any more, the other side sees a reset. */
  kill(side: Side): void {
    if (side === "sender") this.#senderLife++;
    for (const connection of this.#connections) {
      connection.silence(side);
      connection.cut(side === "sender" ? "receiver" : "sender", "connection reset");
      this.#connections.delete(connection);
    }
  }
}

type Side = "sender" | "receiver";

class Connection {
  readonly ends: Record<Side, End>;

  constructor(clock: SimClock, random: Random, options: NetworkOptions, damaged: () => void) {
    const { keys } = options;
    const sender = new End(clock, random, options, damaged, keys?.receiver);
    const receiver = new End(clock, random, options, damaged, keys?.sender);
    sender.peerEnd = receiver;
    receiver.peerEnd = sender;
    this.ends = { sender, receiver };
  }

  open(sender: LinkHandlers, receiver: LinkHandlers): void {
    this.ends.sender.handlers = sender;
    this.ends.receiver.handlers = receiver;
    receiver.opened(this.ends.receiver);
    sender.opened(this.ends.sender);
  }

  cut(side: Side, reason: string): void {
    this.ends[side].closeSoon(reason);
  }

  silence(side: Side): void {
    this.ends[side].handlers = undefined;
  }
}

class End implements Link {
  readonly peer = "sim:1";
  readonly proven: ProvenKey | undefined;
  readonly #clock: SimClock;
  readonly #random: Random;
  readonly #options: NetworkOptions;
  readonly #damaged: () => void;
  handlers: LinkHandlers | undefined;
  peerEnd!: End;
  /** Bytes on their way to us, in order; a zero-length piece is FIN. */
  readonly #incoming: Uint8Array[] = [];
  #incomingBytes = 0;
  #delivering = false;
  #paused = false;
  #wantsDrain = false;
  #closed = false;
  #finSent = false;

  /** `key`: that the peer has proven. */
  constructor(clock: SimClock, random: Random, options: NetworkOptions, damaged: () => void, key: string | undefined) {
    this.#clock = clock;
    this.#random = random;
    this.#options = options;
    this.#damaged = damaged;
    this.proven = key === undefined ? undefined : { fingerprint: key, exporter: new Uint8Array(32) };
  }

  write(view: Uint8Array): number {
    if (this.#closed || this.#finSent) return 0;
    const room = this.#options.capacityBytes - this.peerEnd.#incomingBytes;
    let count = Math.max(0, Math.min(view.length, room));
    // Now and then the kernel takes less than it could.
    if (count > 0 && this.#options.whole !== true && this.#random.chance(0.1)) count = this.#random.int(count);
    if (count < view.length) this.#wantsDrain = true;
    if (count > 0) this.peerEnd.#arrive(view.slice(0, count));
    else if (view.length > 0 && this.peerEnd.#incomingBytes === 0) this.#drainSoon();
    return count;
  }

  #arrive(piece: Uint8Array): void {
    if (this.#closed) return;
    this.#incoming.push(piece);
    this.#incomingBytes += piece.length;
    this.#deliverSoon();
  }

  #deliverSoon(): void {
    if (this.#delivering || this.#paused || this.#closed || this.#incoming.length === 0) return;
    this.#delivering = true;
    this.#clock.after(this.#random.next() * this.#options.delayMsMax, () => {
      this.#delivering = false;
      if (this.#paused || this.#closed) return;
      this.#deliver();
      this.#deliverSoon();
    });
  }

  #deliver(): void {
    let piece = this.#incoming.shift();
    if (piece === undefined) return;
    if (piece.length === 0) return this.closeSoon("");
    if (this.#options.whole === true) {
      // As it was written.
    } else if (piece.length > 1 && this.#random.chance(0.4)) {
      const at = 1 + this.#random.int(piece.length - 1);
      this.#incoming.unshift(piece.slice(at));
      piece = piece.slice(0, at);
    } else {
      const next = this.#incoming[0];
      if (next !== undefined && next.length > 0 && this.#random.chance(0.5)) {
        this.#incoming.shift();
        const both = new Uint8Array(piece.length + next.length);
        both.set(piece, 0);
        both.set(next, piece.length);
        piece = both;
      }
    }
    this.#incomingBytes -= piece.length;
    if (this.#random.chance(this.#options.damage)) {
      const at = this.#random.int(piece.length);
      piece[at] = (piece[at] as number) ^ (1 << this.#random.int(8));
      this.#damaged();
    }
    this.handlers?.data(piece);
    // As kernels do: not for every byte, or pieces would become ever smaller.
    const half = this.#options.capacityBytes / 2;
    if (this.peerEnd.#wantsDrain && this.#incomingBytes <= half) this.peerEnd.#drainSoon();
  }

  #drainSoon(): void {
    this.#clock.after(0, () => {
      if (!this.#wantsDrain || this.#closed) return;
      this.#wantsDrain = false;
      this.handlers?.drain();
    });
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#deliverSoon();
  }

  shutdown(): void {
    if (this.#finSent || this.#closed) return;
    this.#finSent = true;
    this.peerEnd.#arrive(new Uint8Array(0));
  }

  close(): void {
    this.closeSoon("");
    this.peerEnd.closeSoon("connection reset");
  }

  closeSoon(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#incoming.length = 0;
    this.#incomingBytes = 0;
    this.#clock.after(0, () => this.handlers?.closed(reason));
    // The other side's FIN.
    this.peerEnd.#arrive(new Uint8Array(0));
  }
}
