/** Accepts connections. One handler per connection is asked for as it comes. */
import { formatAddress } from "../address.ts";
import { ExitStatus, UserError } from "../errors.ts";
import type { LinkHandlers } from "../ports.ts";
import { describeNetwork, errorCode, isDenied } from "../system/errno.ts";
import { socketHandlers, type SocketState } from "./socket-link.ts";

export interface Listener {
  /** `127.0.0.1:8000`, with the port that was really taken. */
  readonly address: string;
  /** No more connections; those that are there go on. */
  stop(): void;
}

/** Throws UserError when the port cannot be had. `port` 0 lets the system choose. */
export function listen(options: {
  readonly hostname: string;
  readonly port: number;
  accept(): LinkHandlers;
}): Listener {
  const { hostname, port } = options;
  try {
    const server = Bun.listen<SocketState>({
      hostname,
      port,
      socket: {
        ...socketHandlers,
        open(socket) {
          socket.data = { handlers: options.accept(), link: undefined, reason: "" };
          socketHandlers.open?.(socket);
        },
      },
    });
    return { address: formatAddress(hostname, server.port), stop: () => server.stop(false) };
  } catch (error) {
    throw listenError(error, formatAddress(hostname, port));
  }
}

function listenError(error: unknown, address: string): UserError {
  const code = errorCode(error);
  const message = `cannot listen on ${address}`;
  if (code === "EADDRINUSE") {
    const hint = "another program listens there, perhaps another framepipe: choose another port, or stop it";
    return new UserError(`${message}: the port is in use`, [hint], ExitStatus.failure);
  }
  if (isDenied(error)) {
    return new UserError(
      `${message}: not allowed`,
      ["ports below 1024 need privileges: choose a higher port"],
      ExitStatus.failure,
    );
  }
  if (code === "EADDRNOTAVAIL") {
    return new UserError(
      `${message}: this machine has no such address`,
      ["leave the host away to listen on 127.0.0.1"],
      ExitStatus.failure,
    );
  }
  return new UserError(
    `${message}: ${describeNetwork(error)}`,
    ["check the host and the port behind --receive"],
    ExitStatus.failure,
  );
}
