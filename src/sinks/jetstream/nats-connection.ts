/** One connection to a NATS server, made when it is needed, and what its errors mean. */
import { JetStreamApiError } from "@nats-io/jetstream";
import { connect, credsAuthenticator, errors, type NatsConnection } from "@nats-io/transport-node";
import { AssertionError, SinkError } from "../../errors.ts";
import { describeNetwork } from "../../system/errno.ts";
import { TryAgain } from "../remote/remote.ts";
import type { StreamAddress } from "./stream-address.ts";

const connectMs = 5_000;
/** The client connects again by itself; in the meantime calls end with this. */
export const answerMs = 10_000;
const reconnectMs = 500;
/** A server that says nothing for twice this long is gone. */
const pingMs = 10_000;

/** The subject had another last message than was expected. */
const wrongLast: ReadonlySet<number> = new Set([10_071, 10_164]);
/** What the server says of a message that it could not store: its limits, or its disk. */
const notStored: ReadonlySet<number> = new Set([10_077, 10_047, 10_023]);
const tooLarge = 10_054;
export const noStream = 10_059;
/** JetStream is starting, or moving to another server. */
const notNow: ReadonlySet<number> = new Set([10_008, 10_009]);

export class NatsLink {
  readonly #address: StreamAddress;
  #connection: NatsConnection | undefined;
  #connecting: Promise<NatsConnection> | undefined;
  #closed = false;

  constructor(address: StreamAddress) {
    this.#address = address;
  }

  /** There is one, however many ask for it. */
  async open(): Promise<NatsConnection> {
    if (this.#connection?.isClosed() === false) return this.#connection;
    this.#connecting ??= this.#connect().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  async #connect(): Promise<NatsConnection> {
    const { server, credentials } = this.#address;
    const connection = await connect({
      servers: server,
      name: "framepipe",
      timeout: connectMs,
      maxReconnectAttempts: -1,
      reconnectTimeWait: reconnectMs,
      pingInterval: pingMs,
      ...(credentials === undefined ? {} : { authenticator: credsAuthenticator(credentials) }),
    });
    this.#connection = connection;
    if (this.#closed) await connection.close();
    return connection;
  }

  close(): void {
    this.#closed = true;
    void this.#connection?.close();
  }
}

/** An error of the client in our own kinds; thrown again if it is none. `taken`: another message was first. */
export function failureOf(place: string, error: unknown): TryAgain | SinkError | "taken" {
  if (error instanceof AssertionError || error instanceof TypeError || error instanceof RangeError) throw error;
  if (error instanceof TryAgain || error instanceof SinkError) return error;
  const held = (message: string, ...hints: string[]): SinkError =>
    new SinkError(`${place}: ${message}`, { retryable: true, hints });
  if (error instanceof JetStreamApiError) {
    const { code, status, message } = error;
    if (wrongLast.has(code)) return "taken";
    if (code === tooLarge) return refused(place, "the stream takes no message so large (max_msg_size)");
    if (notStored.has(code)) {
      return held(
        `the stream cannot store (${message})`,
        "give it more room: its max_bytes, the server's limits, the disk",
      );
    }
    if (code === noStream)
      return held("the stream is gone", "make it again, or start the receiver again to begin anew");
    if (notNow.has(code) || status === 503) return new TryAgain(`JetStream is not ready (${message})`);
    return held(`the server refuses (${message}, ${code})`, "look at the stream and at the rights of this user");
  }
  if (error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError) {
    return held(
      "the server does not let us in",
      "NATS_CREDS names the file with this user's credentials; has it expired?",
    );
  }
  if (error instanceof errors.PermissionViolationError) {
    return held("the server forbids it", "the user needs to publish to STREAM.> and $JS.API.>, and its inbox");
  }
  if (error instanceof errors.InvalidArgumentError)
    return refused(place, "a message may not be so large (max_payload)");
  if (error instanceof errors.RequestError && error.isNoResponders()) return new TryAgain("JetStream does not answer");
  if (error instanceof errors.TimeoutError) return new TryAgain("no answer in time");
  return new TryAgain(describeNetwork(error));
}

export function refused(place: string, why: string): SinkError {
  return new SinkError(`${place}: ${why}`, {
    scope: "frame",
    retryable: false,
    hints: ["raise max_payload in the server's configuration, up to 64 MB, and max_msg_size of the stream"],
  });
}
