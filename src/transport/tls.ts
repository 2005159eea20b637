/**
 * TLS as we use it: what is offered and asked for, and Bun's handlers for it. Who the peer is decides `handshake.ts`.
 */
import type { SocketHandler, TLSOptions } from "bun";
import type { Identity } from "../ports.ts";
import { alpn } from "./handshake.ts";
import type { SecureConnection } from "./secure-connection.ts";

/** `SSL_OP_NO_TICKET`: a ticket that is copied would stand for the key of whoever was given it. */
const noTickets = 0x4000;
/** As a number; a text makes Bun throw. */
const tls13 = 0x0304;

/** Both ends show a certificate, ask for one and take any: no authority is asked, the key is what counts. */
export function tlsOptions({ certificate, privateKey }: Identity): TLSOptions {
  const options = {
    cert: certificate,
    key: privateKey,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: tls13,
    maxVersion: tls13,
    // With the length before it, as on the wire: plain text negotiates nothing.
    ALPNProtocols: Uint8Array.of(alpn.length, ...new TextEncoder().encode(alpn)),
    secureOptions: noTickets,
    // The name of a host would be said in the clear.
    serverName: "",
  };
  return options;
}

/** What the socket carries. Undefined: it is sent away. */
export interface SecureState {
  connection: SecureConnection | undefined;
}

/** Bun's handlers, which only pass on. `open` is the caller's: it makes the connection. */
export const secureHandlers: SocketHandler<SecureState> = {
  binaryType: "uint8array",
  handshake(socket, success, error) {
    socket.data.connection?.shaken(success, error);
  },
  data(socket, chunk) {
    socket.data.connection?.data(chunk as unknown as Uint8Array);
  },
  drain(socket) {
    socket.data.connection?.drain();
  },
  error(socket, error) {
    socket.data.connection?.failed(error);
  },
  close(socket, error) {
    socket.data.connection?.closed(error ?? undefined);
  },
};
