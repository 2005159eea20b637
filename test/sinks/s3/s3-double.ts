/**
 * An S3 store that can be made to fail on purpose. What it does when all is well was compared with Ceph's radosgw,
 * which the tests also run against where it is installed; what it does not know of is signatures.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Bucket } from "../../../src/sinks/s3/bucket.ts";

export interface DoubleRequest {
  readonly method: string;
  /** Decoded, behind the bucket; empty: the bucket itself. */
  readonly key: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

/**
 * Instead of what the store would do. `drop`: the connection ends; `store-and-drop`: after it was done; `silence`: no
 * answer ever.
 */
export type Fault =
  | { readonly status: number; readonly code?: string; readonly headers?: Readonly<Record<string, string>> }
  | "drop"
  | "store-and-drop"
  | "silence"
  | undefined;

export interface StoredObject {
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  readonly tag: string;
}

export class S3Double {
  readonly objects: Map<string, StoredObject> = new Map<string, StoredObject>();
  readonly requests: DoubleRequest[] = [];
  /** Set by a test. */
  fault: (request: DoubleRequest) => Fault = () => undefined;
  /** Conditions are not looked at, as by many stores: the last one wins, with 200. */
  overwrites = false;
  /** Tags are compared without their quotes only, as some stores do. */
  bareTags = false;
  /** Metadata are dropped. */
  forgetsMetadata = false;
  underWay = 0;
  underWayMost = 0;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  bucket(prefix = ""): Bucket {
    return {
      place: `s3://frames/${prefix}`,
      credentials: { accessKeyId: "KEY", secretAccessKey: "the-secret", sessionToken: "the-token" },
      region: "us-east-1",
      address: `${this.endpoint}/frames`,
      prefix: prefix === "" ? "" : `${prefix}/`,
    };
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const url = new URL(request.url ?? "/", this.endpoint);
    const [, bucket, ...rest] = url.pathname.split("/");
    const key = decodeURIComponent(rest.join("/"));
    const asked = { method: request.method ?? "", key, headers: request.headers, body: Buffer.concat(pieces) };
    this.requests.push(asked);
    this.underWay += 1;
    this.underWayMost = Math.max(this.underWayMost, this.underWay);
    await Bun.sleep(1);
    this.underWay -= 1;
    const fault = this.fault(asked);
    if (fault === "silence") return;
    if (fault === "drop") return void request.socket.destroy();
    if (typeof fault === "object") return answerError(response, asked, fault);
    if (bucket !== "frames") return answerError(response, asked, { status: 404, code: "NoSuchBucket" });
    if (fault === "store-and-drop") {
      this.#put(asked);
      return void request.socket.destroy();
    }
    if (asked.method === "PUT") this.#answerPut(response, asked);
    else if (key === "") this.#list(response, url.searchParams);
    else this.#get(response, asked);
  }

  #answerPut(response: ServerResponse, request: DoubleRequest): void {
    const put = this.#put(request);
    if (typeof put !== "number") return void response.writeHead(200, { etag: `"${put.tag}"` }).end();
    answerError(response, request, { status: put, code: put === 404 ? "NoSuchKey" : "PreconditionFailed" });
  }

  /** What is stored now, or the status of the refusal. */
  #put({ key, headers, body }: DoubleRequest): StoredObject | number {
    const there = this.objects.get(key);
    if (!this.overwrites) {
      const wanted = headers["if-match"];
      if (headers["if-none-match"] === "*" && there !== undefined) return 412;
      if (wanted !== undefined && there === undefined) return 404;
      if (wanted !== undefined && wanted !== (this.bareTags ? there?.tag : `"${there?.tag}"`)) return 412;
    }
    const kept = Object.entries(headers).filter(([name]) => name.startsWith("x-amz-meta-") && !this.forgetsMetadata);
    const object = { body, headers: Object.fromEntries(kept) as Record<string, string>, tag: md5(body) };
    this.objects.set(key, object);
    return object;
  }

  #get(response: ServerResponse, request: DoubleRequest): void {
    const there = this.objects.get(request.key);
    if (there === undefined) return answerError(response, request, { status: 404, code: "NoSuchKey" });
    response.writeHead(200, { ...there.headers, etag: `"${there.tag}"`, "content-length": there.body.byteLength });
    response.end(request.method === "HEAD" ? undefined : there.body);
  }

  /** Three at a time, so that every list has pages. */
  #list(response: ServerResponse, query: URLSearchParams): void {
    const from = query.get("continuation-token") ?? "";
    const keys = [...this.objects.keys()]
      .filter((key) => key.startsWith(query.get("prefix") ?? "") && key > from)
      .toSorted((one, other) => (one < other ? -1 : 1));
    const page = keys.slice(0, Math.min(3, Number(query.get("max-keys"))));
    const entries = page.map(
      (key) => `<Contents><Key>${encodeURIComponent(key).replaceAll("'", "&apos;")}</Key></Contents>`,
    );
    const next = keys.length > page.length ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : "";
    response.writeHead(200, { "content-type": "application/xml" });
    response.end(`<?xml version="1.0"?><ListBucketResult>${next}${entries.join("")}</ListBucketResult>`);
  }
}

function answerError(
  response: ServerResponse,
  { method }: DoubleRequest,
  { status, code, headers = {} }: Exclude<Fault, string | undefined>,
): void {
  response.writeHead(status, headers);
  response.end(
    method === "HEAD" || code === undefined ? undefined : `<?xml version="1.0"?><Error><Code>${code}</Code></Error>`,
  );
}

function md5(body: Buffer): string {
  return createHash("md5").update(body).digest("hex");
}
