/**
 * A bucket of an S3 store. What keeps frames single is `If-None-Match: *`: of all who put an object, one is told 200
 * and the others 412. Records are changed with `If-Match`. Stores that do not know these headers take the second object
 * with 200 and say nothing, so each has to prove at the start that it refuses.
 */
import { crc32 } from "../../bytes/checksum.ts";
import { SinkError } from "../../errors.ts";
import type { Frame, Origin } from "../../frame.ts";
import { frameBytesCeiling, GiB, KiB, MiB } from "../../limits.ts";
import { decodeRecord, encodeRecord, type FrameRecord, type RecordTexts } from "../remote/frame-record.ts";
import { ledgerFolder, ledgerKeyBytes, ownFolder } from "../remote/ledgers.ts";
import { type Page, type ReadFrame, type Remote, type StoredRecord, TryAgain } from "../remote/remote.ts";
import type { Bucket } from "./bucket.ts";
import { answerMsDefault, S3Client } from "./s3-client.ts";
import { encodeValue } from "./signature.ts";

const keyBytesMax = 1024;
const objectBytesMax: number = 5 * GiB;
/** For the number of a conflict, and of a part of a ledger. */
const numberBytes = 16;
/** All names and values of an object's metadata. */
const metadataBytesMax: number = 2 * KiB;
const proofKey = `${ownFolder}proof`;
const proofText = "This object proves at each start of a receiver that the store refuses a second one.\n";
const recordBytesMax: number = 16 * MiB;
const metadataPrefix = "x-amz-meta-";

export class S3Remote implements Remote {
  readonly place: string;
  readonly ackMeans = "the store has said that it has the frame";
  readonly #client: S3Client;
  /** Some stores compare the tag with its quotes, some without. */
  #quotes = true;

  /** `answerMs`: how long an answer is waited for. */
  constructor(bucket: Bucket, answerMs: number = answerMsDefault) {
    this.place = bucket.place;
    this.#client = new S3Client(bucket, answerMs);
  }

  async prove(mustExist: boolean): Promise<void> {
    if (
      mustExist &&
      (await this.#client.send({ method: "HEAD", key: proofKey, expected: [200, 404] })).status === 404
    ) {
      throw new SinkError(`${this.place}: no receiver has stored here yet, and --no-create makes nothing`, {
        retryable: false,
        hints: ["leave out --no-create the first time, or look whether bucket and prefix are the right ones"],
      });
    }
    const body = Buffer.from(proofText);
    const headers = metadataHeaders({ framepipe: "1" });
    const put = (condition: Readonly<Record<string, string>>): Promise<Put> =>
      this.#put(proofKey, { ...headers, ...condition }, body);
    await put({ "if-none-match": "*" });
    const again = await put({ "if-none-match": "*" });
    if (again.kind !== "taken") throw this.#refused("If-None-Match", "a second frame would replace the first");
    const found = await this.#client.send({ method: "GET", key: proofKey, expected: [200, 404] });
    if (!Buffer.from(found.body).equals(body) || textsOf(found.headers)["framepipe"] !== "1") {
      throw this.#refused("metadata", `what is at ${proofKey} is not what was put there`);
    }
    const wrong = await put({ "if-match": this.#tagged("00000000000000000000000000000000") });
    if (wrong.kind !== "taken") throw this.#refused("If-Match", "receivers would overwrite each other's ledgers");
    const version = requireTag(found.headers);
    for (const quotes of [true, false]) {
      this.#quotes = quotes;
      const right = await put({ "if-match": this.#tagged(version) });
      if (right.kind === "stored") return;
    }
    // Another receiver that starts at the same moment may have been first.
    const now = await this.#client.send({ method: "HEAD", key: proofKey, expected: [200, 404] });
    if (tagOf(now.headers) !== version) throw new TryAgain("another receiver starts");
    throw this.#refused("If-Match", "no receiver could change a ledger");
  }

  #refused(what: string, consequence: string): SinkError {
    return new SinkError(`${this.place}: the store does not do what ${what} asks for: ${consequence}`, {
      retryable: false,
      hints: ["use a store that does: Amazon S3, Ceph RGW, Cloudflare R2", "or store in a directory: --out captures"],
    });
  }

  hasPath(path: string): boolean {
    return Buffer.byteLength(this.#client.bucket.prefix + path) + numberBytes <= keyBytesMax;
  }

  hasLedger(origin: Origin): boolean {
    const { prefix } = this.#client.bucket;
    return Buffer.byteLength(prefix) + ledgerKeyBytes(origin) + numberBytes <= keyBytesMax;
  }

  refusal(bytes: number): SinkError | undefined {
    if (bytes <= objectBytesMax) return undefined;
    const message = `${this.place}: a frame of ${bytes} bytes, and an object that is put at once has ${objectBytesMax}`;
    return new SinkError(message, { scope: "frame", retryable: false });
  }

  async put(path: string, record: FrameRecord, bytes: Uint8Array): Promise<"stored" | "taken"> {
    const texts = encodeRecord(record);
    this.#checkFits(record.frame, texts);
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(record.crc32);
    const checksum = sum.toString("base64");
    const headers = {
      ...metadataHeaders(texts),
      "content-type": "application/octet-stream",
      "x-amz-checksum-crc32": checksum,
      "if-none-match": "*",
    };
    const { kind } = await this.#put(path, headers, bytes, checksum);
    return kind;
  }

  #checkFits({ name }: Frame, texts: RecordTexts): void {
    const bytes = Object.entries(texts).reduce((sum, [key, text]) => sum + key.length + text.length, 0);
    if (bytes <= metadataBytesMax) return;
    const message = `${name}: names and metadata of ${bytes} bytes, and an S3 object has room for ${metadataBytesMax}`;
    throw new SinkError(message, { scope: "frame", retryable: false });
  }

  /** An answer without a tag, or with another checksum, is none of a store: what is there is looked at then. */
  async #put(
    key: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array,
    checksum?: string,
  ): Promise<Put> {
    // 404: with If-Match, there is nothing.
    const expected = headers["if-match"] === undefined ? [200, 412] : [200, 412, 404];
    const answer = await this.#client.send({ method: "PUT", key, headers, body, expected });
    if (answer.status !== 200) return { kind: "taken" };
    const version = tagOf(answer.headers);
    const stored = answer.headers.get("x-amz-checksum-crc32");
    if (version === undefined || (checksum !== undefined && stored !== null && stored !== checksum)) {
      throw new TryAgain("an answer that is none of an S3 store");
    }
    return { kind: "stored", version };
  }

  async look(path: string): Promise<FrameRecord | "foreign" | undefined> {
    const answer = await this.#client.send({ method: "HEAD", key: path, expected: [200, 404] });
    if (answer.status === 404) return undefined;
    const record = decodeRecord(textsOf(answer.headers));
    const bytes = Number(answer.headers.get("content-length") ?? Number.NaN);
    return record?.frame.bytes === bytes ? record : "foreign";
  }

  async hasFramesIn(folder: string): Promise<boolean> {
    const { names } = await this.#list(folder, undefined, 1);
    return names.length > 0;
  }

  async readRecord(key: string): Promise<StoredRecord | undefined> {
    const answer = await this.#client.send({
      method: "GET",
      key,
      expected: [200, 404],
      answerBytesMax: recordBytesMax,
    });
    if (answer.status === 404) return undefined;
    return { text: new TextDecoder().decode(answer.body), version: requireTag(answer.headers) };
  }

  async writeRecord(key: string, text: string, version: string | undefined): Promise<string | undefined> {
    const condition = version === undefined ? { "if-none-match": "*" } : { "if-match": this.#tagged(version) };
    const headers = { ...condition, "content-type": "application/json" };
    const put = await this.#put(key, headers, Buffer.from(text));
    return put.kind === "stored" ? put.version : undefined;
  }

  #tagged(tag: string): string {
    return this.#quotes ? `"${tag}"` : tag;
  }

  listRecords(from: string | undefined): Promise<Page> {
    return this.#list(ledgerFolder, from, pageKeys);
  }

  async listFrames(from: string | undefined): Promise<Page> {
    const { names, next } = await this.#list("", from, pageKeys);
    return { names: names.filter((key) => !key.startsWith(ownFolder)), next };
  }

  async read(path: string): Promise<ReadFrame | undefined> {
    let [bytes, sum] = [0, 0];
    const onPiece = (piece: Uint8Array): void => {
      sum = crc32(piece, sum);
      bytes += piece.byteLength;
    };
    const request = { method: "GET", key: path, expected: [200, 404], answerBytesMax: frameBytesCeiling } as const;
    const { status, headers } = await this.#client.send({ ...request, onPiece });
    if (status === 404) return undefined;
    return { record: decodeRecord(textsOf(headers)) ?? "foreign", bytes, crc32: sum };
  }

  /** Keys below the prefix. */
  async #list(folder: string, from: string | undefined, count: number): Promise<Page> {
    const { prefix } = this.#client.bucket;
    const query = [
      from === undefined ? undefined : `continuation-token=${encodeValue(from)}`,
      "encoding-type=url",
      "list-type=2",
      `max-keys=${count}`,
      `prefix=${encodeValue(prefix + folder)}`,
    ];
    const answer = await this.#client.send({
      method: "GET",
      key: "",
      query: query.filter((part) => part !== undefined).join("&"),
      expected: [200],
      answerBytesMax: listBytesMax,
    });
    const text = new TextDecoder().decode(answer.body);
    if (!text.includes("<ListBucketResult")) throw new TryAgain("an answer that is no list of a bucket");
    const keys = [...text.matchAll(/<Key>(?<key>[^<]*)<\/Key>/g)].map(({ groups }) =>
      decodeURIComponent(unescapeXml(groups?.["key"] ?? "").replaceAll("+", " ")),
    );
    const next = /<NextContinuationToken>(?<next>[^<]+)</.exec(text)?.groups?.["next"];
    const names = keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
    return { names, next: next === undefined ? undefined : unescapeXml(next) };
  }

  close(): void {
    this.#client.close();
  }
}

type Put = { readonly kind: "taken" } | { readonly kind: "stored"; readonly version: string };

/** As many as a store gives at once, percent-encoded, with what is said of each. */
const pageKeys = 1000;
const listBytesMax: number = 8 * MiB;

function metadataHeaders(texts: RecordTexts): Record<string, string> {
  return Object.fromEntries(Object.entries(texts).map(([key, text]) => [metadataPrefix + key, text]));
}

function textsOf(headers: Headers): RecordTexts {
  const own = [...headers].filter(([name]) => name.startsWith(metadataPrefix));
  return Object.fromEntries(own.map(([name, text]) => [name.slice(metadataPrefix.length), text]));
}

function tagOf(headers: Headers): string | undefined {
  const tag = headers.get("etag")?.replaceAll('"', "");
  return tag === "" ? undefined : tag;
}

function requireTag(headers: Headers): string {
  const tag = tagOf(headers);
  if (tag === undefined) throw new TryAgain("an answer that is none of an S3 store");
  return tag;
}

function unescapeXml(text: string): string {
  const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
  return text.replaceAll(/&(?:#x(?<hex>[0-9a-f]+)|#(?<code>\d+)|(?<name>[a-z]+));/gi, (whole, ...rest) => {
    const { hex, code, name } = rest.at(-1) as { hex?: string; code?: string; name?: string };
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (code !== undefined) return String.fromCodePoint(Number(code));
    return entities[name ?? ""] ?? whole;
  });
}
