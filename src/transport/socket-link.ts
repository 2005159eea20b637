/**
 * One Bun TCP socket as a `Link`. Bun's socket takes what the kernel takes and says how much, hands each chunk over in
 * memory of its own, and calls `drain` only after a short write: that is the port's contract already, so this file
 * only translates. `end()` is never called with data, and never to close in order (it can discard what was accepted):
 * `shutdown` sends FIN and the peer's FIN closes.
 */
import type { Socket, SocketHandler } from "bun";
import { formatAddress } from "../address.ts";
import type { Link, LinkHandlers, ProvenKey } from "../ports.ts";
import { describeNetwork, errorCode } from "../system/errno.ts";

/** What the socket carries: its link and whoever listens to it. */
export interface SocketState {
  handlers: LinkHandlers;
  link: Link | undefined;
  reason: string;
}

/** What a link needs of a socket. */
export type LinkSocket = Pick<
  Socket,
  "write" | "pause" | "resume" | "shutdown" | "terminate" | "remoteAddress" | "remotePort"
>;

export class SocketLink implements Link {
  readonly peer: string;
  readonly proven: ProvenKey | undefined;
  readonly #socket: LinkSocket;
  readonly #admit: (() => void) | undefined;

  constructor(socket: LinkSocket, proven?: ProvenKey, admit?: () => void) {
    this.#socket = socket;
    this.proven = proven;
    this.#admit = admit;
    this.peer = peerOf(socket);
  }

  admit(): void {
    this.#admit?.();
  }

  write(view: Uint8Array): number {
    // -1: the socket is gone; `closed` says so in its own time.
    return Math.max(0, this.#socket.write(view, 0, view.length));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  shutdown(): void {
    this.#socket.shutdown();
  }

  close(): void {
    this.#socket.terminate();
  }
}

/** Undefined, whatever the types say, for a peer that has reset its connection already. */
export function addressOf(socket: Pick<Socket, "remoteAddress">): string | undefined {
  return socket.remoteAddress;
}

/** The peer's address, for messages. */
export function peerOf(socket: Pick<Socket, "remoteAddress" | "remotePort">): string {
  const address = addressOf(socket);
  if (address === undefined) return "a peer that is gone";
  // An IPv4 peer of a socket that listens on every interface is shown as what it is.
  return formatAddress(address.replace(/^::ffff:(?=[0-9.]+$)/, ""), socket.remotePort);
}

/** Messages are put together before they are written, so nothing is gained by letting the kernel wait for more. */
export function tuneSocket(socket: Pick<Socket, "setNoDelay" | "setKeepAlive">): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 30_000);
}

/** An error thrown by our own handlers arrives like one of the network: it is a bug and must not pass for that. */
export function networkReason(error: Error): string {
  if (!errorCode(error).startsWith("E")) throw error;
  return error.message;
}

/** The handlers for Bun.listen and Bun.connect; `socket.data` must be a SocketState before `open`. */
export const socketHandlers: SocketHandler<SocketState> = {
  binaryType: "uint8array",
  open(socket) {
    tuneSocket(socket);
    socket.data.link = new SocketLink(socket);
    socket.data.handlers.opened(socket.data.link);
  },
  data(socket, chunk) {
    socket.data.handlers.data(chunk as unknown as Uint8Array);
  },
  drain(socket) {
    socket.data.handlers.drain();
  },
  error(socket, error) {
    socket.data.reason = networkReason(error);
  },
  close(socket, error) {
    const reason = error === undefined || error === null ? socket.data.reason : describeNetwork(error);
    socket.data.handlers.closed(reason);
  },
};
