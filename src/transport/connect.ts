/** One connection attempt: exactly one `closed` follows, whatever happens. Trying again is the caller's matter. */
import { connectMs } from "../limits.ts";
import type { Dial, LinkHandlers, SenderTrust } from "../ports.ts";
import { describeNetwork } from "../system/errno.ts";
import { systemClock } from "../system/system-clock.ts";
import { SecureConnection } from "./secure-connection.ts";
import { socketHandlers, type SocketState, tuneSocket } from "./socket-link.ts";
import { secureHandlers, type SecureState, tlsOptions } from "./tls.ts";

/**
 * Dials `host`:`port`, resolving the name anew each time, so that a receiver may change its address. With `trust` the
 * link opens when the receiver has proven a key that is wanted.
 */
export function dialer(host: string, port: number, trust?: SenderTrust): Dial {
  return trust === undefined ? plainDialer(host, port) : secureDialer(host, port, trust);
}

function secureDialer(hostname: string, port: number, trust: SenderTrust): Dial {
  const tls = tlsOptions(trust.identity);
  return (handlers) => {
    const attempt = new Attempt(handlers);
    const open: NonNullable<typeof secureHandlers.open> = (socket) => {
      tuneSocket(socket);
      socket.data.connection = new SecureConnection({
        socket,
        // As they are now: they change while the sender runs.
        looking: { as: "sender", pins: trust.pins },
        clock: systemClock,
        accept: () => attempt,
        refused: (reason) => attempt.closed(reason),
      });
    };
    const data: SecureState = { connection: undefined };
    Bun.connect<SecureState>({ hostname, port, tls, data, socket: { ...secureHandlers, open } }).catch(
      (error: unknown) => attempt.closed(describeNetwork(error)),
    );
  };
}

function plainDialer(host: string, port: number): Dial {
  return (handlers) => {
    const attempt = new Attempt(handlers);
    const state: SocketState = { handlers: attempt, link: undefined, reason: "" };
    Bun.connect<SocketState>({ hostname: host, port, data: state, socket: socketHandlers }).catch((error: unknown) =>
      attempt.closed(describeNetwork(error)),
    );
  };
}

/** Passes one attempt's calls on, gives up a slow one, and sees to it that `closed` is the last call. */
class Attempt implements LinkHandlers {
  readonly #handlers: LinkHandlers;
  readonly #timer: ReturnType<typeof setTimeout>;
  #over = false;

  constructor(handlers: LinkHandlers) {
    this.#handlers = handlers;
    this.#timer = setTimeout(() => this.closed(`no answer in ${connectMs / 1000} s`), connectMs);
  }

  opened(link: Parameters<LinkHandlers["opened"]>[0]): void {
    clearTimeout(this.#timer);
    if (this.#over) link.close();
    else this.#handlers.opened(link);
  }

  data(chunk: Uint8Array): void {
    if (!this.#over) this.#handlers.data(chunk);
  }

  drain(): void {
    if (!this.#over) this.#handlers.drain();
  }

  closed(reason: string): void {
    clearTimeout(this.#timer);
    if (this.#over) return;
    this.#over = true;
    this.#handlers.closed(reason);
  }
}
