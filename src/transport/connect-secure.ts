/** Dials a receiver that has to prove a key which is wanted: only then does the link open. */
import type { Dial, SenderTrust } from "../ports.ts";
import { describeNetwork } from "../system/errno.ts";
import { systemClock } from "../system/system-clock.ts";
import { Attempt } from "./attempt.ts";
import { SecureConnection } from "./secure-connection.ts";
import { tuneSocket } from "./socket-link.ts";
import { secureHandlers, type SecureState, tlsOptions } from "./tls.ts";

export function secureDialer(hostname: string, port: number, trust: SenderTrust): Dial {
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
        refused: (reason, hint) => attempt.closed(reason, hint),
      });
    };
    const data: SecureState = { connection: undefined };
    Bun.connect<SecureState>({ hostname, port, tls, data, socket: { ...secureHandlers, open } }).catch(
      (error: unknown) => attempt.closed(describeNetwork(error)),
    );
  };
}
