/**
 * Accepts connections. One handler per connection is asked for as it comes; with keys, when the peer has proven one.
 */
import type { TCPSocketListener } from "bun";
import { formatAddress } from "../address.ts";
import { ExitStatus, UserError } from "../errors.ts";
import type { Identity, LinkHandlers } from "../ports.ts";
import { describeNetwork, errorCode, isDenied } from "../system/errno.ts";
import { systemClock } from "../system/system-clock.ts";
import { SecureConnection } from "./secure-connection.ts";
import { addressOf, peerOf, socketHandlers, type SocketState, tuneSocket } from "./socket-link.ts";
import { StrangerPool } from "./stranger-pool.ts";
import { secureHandlers, type SecureState, tlsOptions } from "./tls.ts";

export interface Listener {
  /** `127.0.0.1:8000`, with the port that was really taken. */
  readonly address: string;
  /** No more connections; those that are there go on. */
  stop(): void;
}

export interface ListenOptions {
  readonly hostname: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly accept: () => LinkHandlers;
  /** Where the address was given, for a hint; `--receive` unless it is said. */
  readonly option?: string;
}

/** Connections whose peers have proven nothing, and what is done about them. */
export interface DoorOptions {
  readonly identity: Identity;
  /** How many may be there at a time, in all and from one address (0: no limit for that). */
  readonly strangersMax: number;
  readonly perAddressMax: number;
  /** One was sent away before it had proven a key. */
  readonly onStranger: (peer: string, reason: string) => void;
}

/** `::` also takes IPv4, but cannot be had where the system, or a sandbox, has no IPv6. */
export function everyInterface(): string {
  try {
    Bun.listen({ hostname: "::", port: 0, socket: { data: () => undefined } }).stop(true);
    return "::";
  } catch {
    return "0.0.0.0";
  }
}

/** Throws UserError when the port cannot be had. With `door` connections are encrypted and keys proven. */
export function listen(options: ListenOptions, door?: DoorOptions): Listener {
  const { hostname, port, option = "--receive" } = options;
  try {
    const server = door === undefined ? listenPlainly(options) : listenBehindDoor(options, door);
    return { address: formatAddress(hostname, server.port), stop: () => server.stop(false) };
  } catch (error) {
    throw listenError(error, formatAddress(hostname, port), option);
  }
}

function listenPlainly({ hostname, port, accept }: ListenOptions): TCPSocketListener<SocketState> {
  return Bun.listen<SocketState>({
    hostname,
    port,
    socket: {
      ...socketHandlers,
      open(socket) {
        socket.data = { handlers: accept(), link: undefined, reason: "" };
        socketHandlers.open?.(socket);
      },
    },
  });
}

function listenBehindDoor(
  { hostname, port, accept }: ListenOptions,
  door: DoorOptions,
): TCPSocketListener<SecureState> {
  const { identity, strangersMax: placesMax, perAddressMax, onStranger } = door;
  const pool = new StrangerPool({ placesMax, perAddressMax, nowMs: systemClock.nowMs });
  return Bun.listen<SecureState>({
    hostname,
    port,
    tls: tlsOptions(identity),
    socket: {
      ...secureHandlers,
      open(socket) {
        const state: SecureState = { connection: undefined };
        socket.data = state;
        // Who tries the addresses of a name side by side leaves all but one before a word: nobody is sent away.
        const address = addressOf(socket);
        if (address === undefined) return void socket.terminate();
        const peer = peerOf(socket);
        const place = pool.enter(address, () =>
          state.connection?.leave("others wanted its place before it had come in"),
        );
        if (place === undefined) {
          socket.terminate();
          onStranger(peer, "too many others are at the door");
          return;
        }
        tuneSocket(socket);
        state.connection = new SecureConnection({
          socket,
          looking: { as: "receiver" },
          clock: systemClock,
          accept,
          admit: () => pool.leave(place),
          // The place is free when the connection is over, however that comes about.
          over: () => pool.leave(place),
          refused: (reason) => onStranger(peer, reason),
        });
      },
    },
  });
}

/** Why a port cannot be had, for a person. */
export function listenError(error: unknown, address: string, option: string): UserError {
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
    [`check the host and the port behind ${option}`],
    ExitStatus.failure,
  );
}
