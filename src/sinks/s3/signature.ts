/**
 * AWS Signature Version 4 over all headers of a request, as the S3 API asks for it. Bun's own client drops the headers
 * that keep a frame single, and a presigned address does not cover them.
 */
import { createHash, createHmac } from "node:crypto";

export interface Credentials {
  readonly accessKeyId: string;
  /** Secret: never in an event, an error or a message. */
  readonly secretAccessKey: string;
  readonly sessionToken: string | undefined;
}

export interface RequestToSign {
  readonly method: string;
  /** Percent-encoded as it is sent. */
  readonly url: URL;
  /** Names in lower case; without `host`, the date and the body's checksum, which are added. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export class Signer {
  readonly #credentials: Credentials;
  readonly #region: string;
  /** The key of a day, which takes four of the five steps. */
  #day = "";
  #dayKey: Buffer = Buffer.alloc(0);

  constructor(credentials: Credentials, region: string) {
    this.#credentials = credentials;
    this.#region = region;
  }

  /** All headers of the request but `host`, which is the address's own. */
  sign({ method, url, headers, body }: RequestToSign, nowMs: number): Record<string, string> {
    const time = `${new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
    const { accessKeyId, sessionToken } = this.#credentials;
    const all: Record<string, string> = { ...headers, "x-amz-date": time, "x-amz-content-sha256": sha256(body) };
    if (sessionToken !== undefined) all["x-amz-security-token"] = sessionToken;
    const signed: readonly (readonly [string, string])[] = [...Object.entries(all), ["host", url.host] as const]
      .map(([name, value]) => [name, value.trim().replaceAll(/ +/g, " ")] as const)
      .toSorted(([one], [other]) => (one < other ? -1 : 1));
    const names = signed.map(([name]) => name).join(";");
    const request = [
      method,
      url.pathname,
      canonicalQuery(url),
      ...signed.map(([name, value]) => `${name}:${value}`),
      "",
      names,
      all["x-amz-content-sha256"],
    ].join("\n");
    const day = time.slice(0, 8);
    const scope = `${day}/${this.#region}/s3/aws4_request`;
    const text = ["AWS4-HMAC-SHA256", time, scope, sha256(request)].join("\n");
    const signature = hmac(this.#keyOf(day), text).toString("hex");
    all["authorization"] =
      `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
    return all;
  }

  #keyOf(day: string): Buffer {
    if (day !== this.#day) {
      const parts = [day, this.#region, "s3", "aws4_request"];
      this.#dayKey = parts.reduce<Buffer>(hmac, Buffer.from(`AWS4${this.#credentials.secretAccessKey}`));
      this.#day = day;
    }
    return this.#dayKey;
  }
}

/** Each character that is not unreserved in an address as its bytes; `/` stays, as in paths. */
export function encodePath(path: string): string {
  return encodeValue(path).replaceAll("%2F", "/");
}

export function encodeValue(value: string): string {
  const code = (character: string): string => `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(value).replaceAll(/[!'()*]/g, code);
}

function canonicalQuery(url: URL): string {
  if (url.search === "") return "";
  return [...url.searchParams]
    .map(([name, value]) => `${encodeValue(name)}=${encodeValue(value)}`)
    .toSorted()
    .join("&");
}

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
