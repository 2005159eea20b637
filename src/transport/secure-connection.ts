/**
 * One connection with keys, from its first byte to its last:
 *
 *     shaking --handshake, and all of it holds--> authenticated --> over
 *        '------- too late, a fault, closed, evicted -------------^
 *
 * Until it is authenticated nobody hears of it: no handlers are asked for, nothing is written, what arrives is dropped.
 * Bun goes on delivering what a peer sent after an error, `end` or `shutdown` of ours; so every way out but one ends in
 * `terminate`, and what comes behind it is not looked at.
 */
import { handshakeMs } from "../limits.ts";
import type { Clock, LinkHandlers, ProvenKey } from "../ports.ts";
import { describeNetwork } from "../system/errno.ts";
import { authenticate, HandshakeFault, type Looking, type TlsPeer } from "./handshake.ts";
import { type LinkSocket, networkReason, SocketLink } from "./socket-link.ts";

export interface SecureConnectionOptions {
  readonly socket: LinkSocket & TlsPeer;
  readonly looking: Looking;
  readonly clock: Pick<Clock, "after">;
  /** The peer has proven this key: who listens to it. */
  readonly accept: (proven: ProvenKey) => LinkHandlers;
  /** The peer may send. */
  readonly admit?: () => void;
  /** It is over, one way or another. Once. */
  readonly over?: () => void;
  /** It was over before it was authenticated: why, and what a person can do. Once, and then nothing else. */
  readonly refused: (reason: string, hint: string | undefined) => void;
}

export class SecureConnection {
  readonly #options: SecureConnectionOptions;
  readonly #stopClock: () => void;
  #state: "shaking" | "authenticated" | "over" = "shaking";
  #handlers: LinkHandlers | undefined;
  #reason = "";

  constructor(options: SecureConnectionOptions) {
    this.#options = options;
    this.#stopClock = options.clock.after(handshakeMs, () =>
      this.leave(`no handshake in ${handshakeMs / 1000} s: it speaks no TLS, or is too slow`),
    );
  }

  get state(): "shaking" | "authenticated" | "over" {
    return this.#state;
  }

  /** Bun says that the handshake is over, well or not. */
  shaken(success: boolean, error: Error | null): void {
    if (this.#state !== "shaking") return;
    const { socket, accept, admit } = this.#options;
    const proven = this.#authenticate(success, error);
    if (proven === undefined) return;
    this.#stopClock();
    try {
      this.#handlers = accept(proven);
      this.#handlers.opened(new SocketLink(socket, proven, admit));
    } catch (fault) {
      this.leave("a fault of ours");
      throw fault;
    }
    // The last line: whatever goes wrong before it leaves a connection whose data is dropped.
    if (this.#state === "shaking") this.#state = "authenticated";
  }

  /** Whatever is thrown, by Bun too, is the peer's doing and must end its connection alone. */
  #authenticate(success: boolean, error: Error | null): ProvenKey | undefined {
    const { socket, looking } = this.#options;
    try {
      return authenticate(socket, success, error, looking);
    } catch (fault) {
      if (fault instanceof HandshakeFault) this.leave(fault.message, fault.hint);
      else this.leave(`the handshake failed: ${describeNetwork(fault)}`);
      return undefined;
    }
  }

  data(chunk: Uint8Array): void {
    if (this.#state === "authenticated") this.#handlers?.data(chunk);
  }

  drain(): void {
    if (this.#state === "authenticated") this.#handlers?.drain();
  }

  failed(error: Error): void {
    this.#reason = networkReason(error);
  }

  /** The socket is gone. */
  closed(error: Error | undefined): void {
    const reason = error === undefined ? this.#reason : describeNetwork(error);
    const like = this.#options.looking.as === "sender" ? ", as a receiver without --key does" : "";
    this.#end(reason, `it went away during the handshake${like}${reason === "" ? "" : `: ${reason}`}`);
  }

  /** Ends it at once, without a word. */
  leave(reason: string, hint?: string): void {
    if (this.#state === "over") return;
    this.#end(reason, reason, hint);
    this.#options.socket.terminate();
  }

  #end(reason: string, refusedFor: string, hint?: string): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#stopClock();
    this.#options.over?.();
    if (this.#handlers === undefined) this.#options.refused(refusedFor, hint);
    else this.#handlers.closed(reason);
  }
}
