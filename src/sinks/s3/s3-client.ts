/**
 * One request to an S3 store, and what its answer means. Only the statuses that are listed count as an answer; of
 * errors, the bucket, the status and the store's code are told and nothing else, because requests hold signatures.
 */
import { SinkError } from "../../errors.ts";
import { KiB } from "../../limits.ts";
import { describeNetwork } from "../../system/errno.ts";
import { TryAgain } from "../remote/remote.ts";
import type { Bucket } from "./bucket.ts";
import { Deadlines } from "./deadlines.ts";
import { encodePath, Signer } from "./signature.ts";

/** Between two bytes of an answer; for its first one there is besides the time for the body, at the least rate. */
export const answerMsDefault = 20_000;
const bytesPerMsLeast = 32;
/** What is read of an answer that is no frame, record or list. */
const errorBytesMax: number = 64 * KiB;

export interface S3Request {
  readonly method: "PUT" | "GET" | "HEAD";
  /** Below the prefix; empty: the bucket itself. */
  readonly key: string;
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** What may be an answer: any other status is a failure. */
  readonly expected: readonly number[];
  /** Of the answer; a longer one is a failure. */
  readonly answerBytesMax?: number;
  /** Is given each piece of the answer, which is not kept then. */
  readonly onPiece?: (piece: Uint8Array) => void;
}

export interface S3Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

export class S3Client {
  readonly bucket: Bucket;
  readonly #signer: Signer;
  readonly #answerMs: number;
  readonly #underWay = new Deadlines();

  constructor(bucket: Bucket, answerMs: number) {
    this.bucket = bucket;
    this.#answerMs = answerMs;
    this.#signer = new Signer(bucket.credentials, bucket.region);
  }

  /** Rejects with TryAgain or a SinkError. */
  async send(request: S3Request): Promise<S3Answer> {
    const { method, key, query, headers = {}, body = new Uint8Array(0), answerBytesMax = errorBytesMax } = request;
    const path = key === "" ? "" : `/${encodePath(this.bucket.prefix + key)}`;
    const url = new URL(`${this.bucket.address}${path}${query === undefined ? "" : `?${query}`}`);
    const deadline = this.#underWay.begin(this.#answerMs + body.byteLength / bytesPerMsLeast);
    try {
      const response = await fetch(url, {
        method,
        headers: this.#signer.sign({ method, url, headers, body }, Date.now()),
        ...(method === "PUT" ? { body } : {}),
        redirect: "manual",
        decompress: false,
        signal: deadline.signal,
      });
      const isExpected = request.expected.includes(response.status);
      const isGiven = isExpected && request.onPiece !== undefined;
      const found: Uint8Array[] = [];
      let bytesLeft = isExpected ? answerBytesMax : errorBytesMax;
      for await (const piece of hasBody(response) ? (response.body ?? []) : []) {
        deadline.move(this.#answerMs);
        bytesLeft -= piece.byteLength;
        if (bytesLeft < 0) throw new TryAgain("an answer of more bytes than any should have");
        if (isGiven) request.onPiece?.(piece);
        else found.push(piece);
      }
      if (!isExpected) throw this.#failure(response, Buffer.concat(found));
      return { status: response.status, headers: response.headers, body: Buffer.concat(found) };
    } catch (error) {
      const isLate = deadline.over;
      // What is left of an answer is not waited for.
      deadline.end();
      if (error instanceof TryAgain || error instanceof SinkError) throw error;
      throw new TryAgain(isLate ? "no answer in time" : describeNetwork(error));
    } finally {
      this.#underWay.done(deadline);
    }
  }

  #failure({ status, headers }: Response, body: Uint8Array): TryAgain | SinkError {
    const text = new TextDecoder().decode(body);
    const code = /<Code>(?<code>[A-Za-z0-9.]{1,100})<\/Code>/.exec(text)?.groups?.["code"] ?? "";
    const region =
      headers.get("x-amz-bucket-region") ??
      /<Region>(?<region>[a-z0-9-]{1,40})<\/Region>/.exec(text)?.groups?.["region"];
    const said = code === "" ? `${status}` : `${status} ${code}`;
    const held = (message: string, ...hints: string[]): SinkError =>
      new SinkError(`${this.bucket.place}: ${message} (${said})`, { retryable: true, hints });
    if (/^(?:QuotaExceeded|StorageFull|XMinioStorageFull|InsufficientStorage)$/.test(code) || status === 507) {
      return held("the store is full", "make room or raise its quota; nothing is lost, the senders wait");
    }
    if (code === "RequestTimeTooSkewed") {
      return held("the clocks of this machine and of the store differ", "set this machine's clock: timedatectl");
    }
    if (/^(?:ExpiredToken|InvalidToken|TokenRefreshRequired)$/.test(code)) {
      return held("the credential has expired", "start the receiver again with a new AWS_SESSION_TOKEN and its keys");
    }
    if (/^(?:InvalidAccessKeyId|SignatureDoesNotMatch)$/.test(code) || status === 401) {
      return held(
        "the store does not know this key",
        "compare AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY with the store's",
      );
    }
    if (region !== undefined && region !== null && region !== this.bucket.region) {
      return held(`the bucket is in ${region}`, `start the receiver again with AWS_REGION=${region}`);
    }
    if (code === "AuthorizationHeaderMalformed" || status === 301 || status === 307) {
      return held("the bucket is elsewhere", "AWS_REGION and AWS_ENDPOINT_URL say where it is");
    }
    if (status === 403) {
      return held("the store forbids it", "the key needs s3:PutObject, s3:GetObject and s3:ListBucket on this bucket");
    }
    if (code === "NoSuchBucket")
      return held("there is no such bucket", "make it, or set AWS_ENDPOINT_URL to its store");
    if (code === "EntityTooLarge" || status === 413) {
      const message = `${this.bucket.place}: the store takes no object so large (${said})`;
      return new SinkError(message, { scope: "frame", retryable: false });
    }
    if (status === 408 || status === 409 || status === 429 || status >= 500 || code === "RequestTimeout") {
      return new TryAgain(`the store is busy (${said})`);
    }
    return held("the store answers in a way that is not known", "is AWS_ENDPOINT_URL the address of an S3 store?");
  }

  close(): void {
    this.#underWay.endAll();
  }
}

/** Most answers to a put have none, and to wait for its end takes as long as the signature. */
function hasBody({ headers }: Response): boolean {
  return headers.get("content-length") !== "0";
}
