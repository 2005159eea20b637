/** Dials `host`:`port`, resolving the name anew each time, so that a receiver may change its address. */
import type { Dial, SenderTrust } from "../ports.ts";
import { describeNetwork } from "../system/errno.ts";
import { Attempt } from "./attempt.ts";
import { socketHandlers, type SocketState } from "./socket-link.ts";

/** With `trust` the link opens when the receiver has proven a key that is wanted. */
export function dialer(host: string, port: number, trust?: SenderTrust): Dial {
  if (trust === undefined) return plainDialer(host, port);
  // Cryptography is loaded only where there is a key: it takes 3 of the 16 ms that the program starts in.
  const secure = import("./connect-secure.ts").then(({ secureDialer }) => secureDialer(host, port, trust));
  return (handlers) => void secure.then((dial) => dial(handlers));
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
