/**
 * The first bytes of a connection, until they tell which protocol it speaks, and the session that goes on from there.
 * Both protocols are the same from here on (protocols/receiver-session.ts).
 */
import { handshakeMs, lockstepHeaderBytesMax } from "../limits.ts";
import type { Clock, FrameWriter } from "../ports.ts";
import { detectProtocol } from "../protocols/detect.ts";
import { LockstepReceiver } from "../protocols/lockstep/receiver.ts";
import type { ReceivingSession } from "../protocols/receiver-session.ts";
import { describeCaller } from "../protocols/stranger.ts";
import { WireReceiver } from "../protocols/wire/receiver.ts";

export interface SessionOpenerOptions {
  readonly clock: Clock;
  readonly agent: string;
  readonly frameBytesMax: number;
  /** Nothing is stored: senders that give up their files must know it. */
  readonly keepsNothing: boolean;
  /** An id for a session of a peer that has none of its own. */
  readonly newSession: () => string;
}

export interface OpenedSession {
  readonly protocol: "wire" | "lockstep";
  readonly receiving: ReceivingSession<FrameWriter>;
}

export class SessionOpener {
  readonly #options: SessionOpenerOptions;
  readonly #acceptedAtMs: number;
  /** The peer has proven a key. */
  keyed = false;
  /** While they do not tell the protocol. */
  #prefix: Uint8Array | undefined;

  constructor(options: SessionOpenerOptions) {
    this.#options = options;
    this.#acceptedAtMs = options.clock.nowMs();
  }

  /** When the greeting must have come. */
  get dueAtMs(): number {
    return this.#acceptedAtMs + handshakeMs;
  }

  /** A session that was given all bytes so far; a text: they belong to neither protocol; undefined: more are needed. */
  push(chunk: Uint8Array): OpenedSession | string | undefined {
    const prefix = this.#prefix === undefined ? chunk : Buffer.concat([this.#prefix, chunk]);
    const found = detectProtocol(prefix);
    if (found === "more" && prefix.length < lockstepHeaderBytesMax) {
      this.#prefix = prefix;
      return undefined;
    }
    if (found !== "wire" && (found !== "lockstep" || this.keyed)) return describeCaller(prefix, this.keyed);
    const receiving = found === "wire" ? this.wire() : this.#lockstep();
    this.#prefix = undefined;
    receiving.push(prefix, this.#options.clock.nowMs());
    return { protocol: found, receiving };
  }

  /** A session of our own protocol, also for a peer that has not said what it speaks, and is told something. */
  wire(): ReceivingSession<FrameWriter> {
    const { agent, frameBytesMax, clock, keepsNothing } = this.#options;
    const { keyed } = this;
    const nowMs = this.#acceptedAtMs;
    return new WireReceiver<FrameWriter>({
      agent,
      frameBytesMax,
      keepsNothing,
      resume: true,
      keyed,
      wallNs: clock.wallNs,
      nowMs,
    });
  }

  #lockstep(): ReceivingSession<FrameWriter> {
    const { newSession, clock } = this.#options;
    const { wallNs } = clock;
    return new LockstepReceiver<FrameWriter>({ session: newSession(), nowMs: clock.nowMs(), wallNs });
  }
}
