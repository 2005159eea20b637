/** Where `nats://host/stream` is, and with whose rights: from the environment. */
import { readFileSync } from "node:fs";
import { UserError } from "../../errors.ts";
import { describe } from "../../system/errno.ts";

export interface StreamAddress {
  /** For messages. */
  readonly place: string;
  /** `host:port` */
  readonly server: string;
  readonly stream: string;
  /** The text of a credentials file. Secret: never in an event, an error or a message. */
  readonly credentials: Uint8Array | undefined;
}

/** Throws UserError. */
export function streamAddressOf(destination: string, env: Readonly<Record<string, string | undefined>>): StreamAddress {
  const pattern =
    /^nats:\/\/(?<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?<port>\d{1,5}))?\/(?<stream>[a-z0-9_-]{1,64})$/i;
  const { host, port = "4222", stream } = pattern.exec(destination)?.groups ?? {};
  if (host === undefined || stream === undefined || Number(port) > 65_535) {
    const shown = destination.replace(/\/\/.*@/, "//…@");
    throw new UserError(`${shown} is no stream of a NATS server`, [
      "nats://HOST/STREAM or nats://HOST:PORT/STREAM, the stream of letters, digits, - and _",
      "rights come from a file: NATS_CREDS=/etc/framepipe/nats.creds",
    ]);
  }
  const file = env["NATS_CREDS"];
  return {
    place: `nats://${host}${port === "4222" ? "" : `:${port}`}/${stream}`,
    server: `${host}:${port}`,
    stream,
    credentials: file === undefined || file === "" ? undefined : readCredentials(file),
  };
}

function readCredentials(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UserError(`NATS_CREDS ${path}: ${describe(error, { ENOENT: "there is no such file" })}`, [
      "it is the file that nsc or the server's owner has made for this user",
    ]);
  }
}
