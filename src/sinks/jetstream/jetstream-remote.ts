/**
 * A stream of a NATS server. What keeps frames single is the sequence that a message expects to be the last of its
 * subject: 0 for a frame, so that of all who publish it one is told that it is stored; and for a record the one that
 * was read. The stream keeps one message for each subject, and refuses new ones when it is full.
 */
import type { JetStreamClient, JetStreamManager, StoredMsg, StreamConfig } from "@nats-io/jetstream";
import { AckPolicy, DeliverPolicy, DiscardPolicy, JsHeaders, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { jetstream, JetStreamApiError, jetstreamManager } from "@nats-io/jetstream";
import { headers, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
import { crc32 } from "../../bytes/checksum.ts";
import { SinkError } from "../../errors.ts";
import type { Origin } from "../../frame.ts";
import { KiB } from "../../limits.ts";
import { decodeRecord, encodeRecord, type FrameRecord, type RecordTexts } from "../remote/frame-record.ts";
import { ledgerFolder, ledgerKeyBytes, ownFolder } from "../remote/ledgers.ts";
import { type Page, type ReadFrame, type Remote, type StoredRecord, TryAgain } from "../remote/remote.ts";
import { answerMs, failureOf, NatsLink, noStream, refused } from "./nats-connection.ts";
import type { StreamAddress } from "./stream-address.ts";
import { decodeTokens, encodeTokens } from "./subject.ts";

/** A line of the protocol has 4 KiB; the subject shares it with the inbox and two numbers. */
const subjectBytesMax = 3_500;
/** What the texts of a frame take of a message, as a rule: names, and some metadata. */
const textBytes: number = 4 * KiB;
const headerPrefix = "Frame-";
const proofKey = `${ownFolder}proof`;
const proofText = "This message proves at each start of a receiver that the stream refuses a second one.\n";
/** No stream gets there. */
const neverSequence = `${Number.MAX_SAFE_INTEGER}`;
const pageMessages = 1_000;
/** The part of what is read together that has to be of use, or it is not gone on. */
const togetherLeast = 0.25;

interface Head {
  readonly subject: string;
  readonly sequence: number;
  readonly texts: MsgHdrs | undefined;
  /** Of the message, without its headers. */
  readonly bytes: number;
}

interface Open {
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
}

export class JetStreamRemote implements Remote {
  readonly place: string;
  readonly ackMeans = "the server has the frame in its stream, and writes it to its disk within its sync_interval";
  readonly #stream: string;
  readonly #link: NatsLink;
  #payloadBytesMax = Number.POSITIVE_INFINITY;
  /** What asks over a connection, made with it. */
  #open: (Open & { readonly connection: NatsConnection }) | undefined;
  /** What was there once is not made anew. */
  #wasThere = false;

  constructor(address: StreamAddress) {
    this.place = address.place;
    this.#stream = address.stream;
    this.#link = new NatsLink(address);
  }

  /** Rejects with TryAgain or a SinkError; `taken` where that is an answer. */
  async #ask<T>(ask: (open: Open) => Promise<T>): Promise<T | "taken"> {
    try {
      const connection = await this.#link.open();
      if (this.#open?.connection !== connection) this.#open = await this.#openOver(connection);
      // The server may have been configured anew.
      this.#payloadBytesMax = connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
      return await ask(this.#open);
    } catch (error) {
      const failure = failureOf(this.place, error);
      if (failure === "taken") return failure;
      throw failure;
    }
  }

  async #openOver(connection: NatsConnection): Promise<Open & { readonly connection: NatsConnection }> {
    const options = { timeout: answerMs, checkAPI: false } as const;
    const manager = await jetstreamManager(connection, options);
    return { connection, client: jetstream(connection, options), manager };
  }

  async prove(mustExist: boolean): Promise<void> {
    await this.#ask(async ({ manager }) => {
      const config = await this.#configOf(manager);
      if (config === undefined) {
        if (mustExist || this.#wasThere) throw this.#absent(this.#wasThere);
        await manager.streams.add(this.#newConfig());
      } else this.#checkConfig(config);
      this.#wasThere = true;
    });
    await this.writeRecord(proofKey, proofText, undefined);
    if ((await this.writeRecord(proofKey, proofText, undefined)) !== undefined) {
      throw this.#unfit("it takes a second message where none is expected");
    }
    if ((await this.readRecord(proofKey))?.text !== proofText)
      throw this.#unfit("what it gives back is not what it was given");
    if ((await this.writeRecord(proofKey, proofText, neverSequence)) !== undefined) {
      throw this.#unfit("it takes a message that expects another before it");
    }
  }

  async #configOf(manager: JetStreamManager): Promise<StreamConfig | undefined> {
    try {
      return (await manager.streams.info(this.#stream)).config;
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === noStream) return undefined;
      throw error;
    }
  }

  #newConfig() {
    return {
      name: this.#stream,
      subjects: [`${this.#stream}.>`],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.New,
      max_msgs_per_subject: 1,
    };
  }

  /** A stream that drops frames, or would hold more than one under a name, is none for them. */
  #checkConfig(config: StreamConfig): void {
    const wrong =
      (!config.subjects?.includes(`${this.#stream}.>`) && `its subjects have to include ${this.#stream}.>`) ||
      (config.retention !== RetentionPolicy.Limits &&
        "its retention has to be limits, or frames are dropped when read") ||
      (config.max_age > 0 && "it drops frames by their age (max_age)") ||
      (config.discard !== DiscardPolicy.New && "it drops the oldest when it is full: discard has to be new") ||
      (config.max_msgs_per_subject !== 1 && "it has to keep one message for each subject (max_msgs_per_subject 1)") ||
      (config.discard_new_per_subject && "discard_new_per_subject keeps ledgers from being changed") ||
      (config.no_ack && "it does not acknowledge (no_ack)");
    if (typeof wrong === "string") throw this.#unfit(wrong);
  }

  #unfit(why: string): SinkError {
    return new SinkError(`${this.place}: this stream cannot keep frames: ${why}`, {
      retryable: false,
      hints: ["change it with nats stream edit, or name another stream, which is made as it has to be"],
    });
  }

  #absent(wasThere: boolean): SinkError {
    return wasThere
      ? new SinkError(`${this.place}: the stream is gone`, {
          retryable: true,
          hints: ["bring it back; a receiver that is started again begins a new one"],
        })
      : new SinkError(`${this.place}: there is no such stream, and --no-create makes none`, {
          retryable: false,
          hints: ["leave out --no-create the first time, or look whether it is the right server and stream"],
        });
  }

  hasPath(path: string): boolean {
    return this.#frameSubject(path).length <= subjectBytesMax;
  }

  hasLedger(origin: Origin): boolean {
    return 3 * ledgerKeyBytes(origin) <= subjectBytesMax;
  }

  refusal(bytes: number): SinkError | undefined {
    if (bytes + textBytes <= this.#payloadBytesMax) return undefined;
    return refused(
      this.place,
      `a frame of ${bytes} bytes is too large for the server (max_payload ${this.#payloadBytesMax})`,
    );
  }

  #frameSubject(path: string): string {
    return `${this.#stream}.frame.${encodeTokens(path)}`;
  }

  #recordSubject(key: string): string {
    return `${this.#stream}.record.${encodeTokens(key)}`;
  }

  async put(path: string, record: FrameRecord, bytes: Uint8Array): Promise<"stored" | "taken"> {
    const texts = headers();
    for (const [key, text] of Object.entries(encodeRecord(record))) texts.set(headerPrefix + key, text);
    const sequence = await this.#publish(this.#frameSubject(path), bytes, 0, texts);
    return sequence === "taken" ? "taken" : "stored";
  }

  /** The sequence of the message. */
  #publish(subject: string, bytes: Uint8Array, last: number, texts: MsgHdrs = headers()): Promise<number | "taken"> {
    return this.#ask(async ({ client }) => {
      const expect = { lastSubjectSequence: last };
      const ack = await client.publish(subject, bytes, { expect, headers: texts, timeout: answerMs });
      if (ack.stream !== this.#stream) throw new TryAgain(`the stream ${ack.stream} has answered instead`);
      return ack.seq;
    });
  }

  /** Without the bytes, which only a consumer leaves out. */
  async look(path: string): Promise<FrameRecord | "foreign" | undefined> {
    const found = await this.#ask((open) => this.#heads(open, this.#frameSubject(path), 1, 1));
    if (found === "taken") throw new TryAgain("an answer that is none to a look");
    const [head] = found.heads;
    return head && recordOf(head);
  }

  /**
   * Frames that were stored one after another are read so, a few hundred at a time: from the first that is asked for
   * on, what follows it in its folder. Where that finds too few of those that are asked for, it ends.
   */
  async lookTogether(folder: string, paths: readonly string[]): Promise<ReadonlyMap<string, FrameRecord | "foreign">> {
    const wanted = new Set(paths.map((path) => this.#frameSubject(path)));
    const records = new Map<string, FrameRecord | "foreign">();
    const subjects = `${this.#frameSubject(folder)}.>`;
    for (const path of paths) {
      const first = this.#frameSubject(path);
      if (!wanted.has(first)) continue;
      const found = await this.#ask(async (open) => {
        const { heads } = await this.#heads(open, first, 1, 1);
        const [head] = heads;
        return head === undefined ? [] : (await this.#heads(open, subjects, head.sequence, wanted.size)).heads;
      });
      if (found === "taken") throw new TryAgain("an answer that is none to a look");
      wanted.delete(first);
      const before = wanted.size;
      for (const head of found) {
        wanted.delete(head.subject);
        records.set(decodeTokens(head.subject.slice(`${this.#stream}.frame.`.length)), recordOf(head));
      }
      if (before - wanted.size < found.length * togetherLeast || found.length < 2) break;
    }
    return records;
  }

  async hasFramesIn(folder: string): Promise<boolean> {
    return (await this.#last(`${this.#frameSubject(folder.replace(/\/$/, ""))}.>`)) !== undefined;
  }

  async readRecord(key: string): Promise<StoredRecord | undefined> {
    const message = await this.#last(this.#recordSubject(key));
    return message && { text: message.string(), version: String(message.seq) };
  }

  async writeRecord(key: string, text: string, version: string | undefined): Promise<string | undefined> {
    const sequence = await this.#publish(this.#recordSubject(key), Buffer.from(text), Number(version ?? 0));
    return sequence === "taken" ? undefined : String(sequence);
  }

  async #last(subject: string): Promise<StoredMsg | undefined> {
    const found = await this.#ask(({ manager }) => manager.streams.getMessage(this.#stream, { last_by_subj: subject }));
    return found === null || found === "taken" ? undefined : found;
  }

  listRecords(from: string | undefined): Promise<Page> {
    return this.#list(this.#recordSubject(ledgerFolder.replace(/\/$/, "")), `${this.#stream}.record.`, from);
  }

  listFrames(from: string | undefined): Promise<Page> {
    return this.#list(`${this.#stream}.frame`, `${this.#stream}.frame.`, from);
  }

  /** In the order of storing, so what comes in the meantime is not missed. */
  async #list(below: string, root: string, from: string | undefined): Promise<Page> {
    const found = await this.#ask((open) => this.#heads(open, `${below}.>`, Number(from ?? 1), pageMessages));
    if (found === "taken") throw new TryAgain("an answer that is none to a list");
    const { heads, more } = found;
    const names = heads.map(({ subject }) => decodeTokens(subject.slice(root.length)));
    const last = heads.at(-1)?.sequence ?? 0;
    return { names, next: more ? String(last + 1) : undefined };
  }

  /** Messages without their bytes, from a sequence on; `more`: there are more than `most`. */
  async #heads(
    { client, manager }: Open,
    subjects: string,
    from: number,
    most: number,
  ): Promise<{ heads: Head[]; more: boolean }> {
    const info = await manager.consumers.add(this.#stream, {
      filter_subject: subjects,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: from,
      ack_policy: AckPolicy.None,
      headers_only: true,
      mem_storage: true,
      inactive_threshold: 3 * answerMs * 1e6,
    });
    const heads: Head[] = [];
    const count = Math.min(info.num_pending, most);
    try {
      if (count === 0) return { heads, more: false };
      const messages = await client.consumers
        .getConsumerFromInfo(info)
        .fetch({ max_messages: count, expires: answerMs });
      for await (const { subject, seq, headers: texts } of messages) {
        heads.push({
          subject,
          sequence: seq,
          texts,
          bytes: Number(texts?.get(JsHeaders.MessageSizeHdr) ?? Number.NaN),
        });
        if (heads.length === count) break;
      }
    } finally {
      // One that is left ends by itself.
      void manager.consumers.delete(this.#stream, info.name).catch(() => false);
    }
    if (heads.length < count) throw new TryAgain("not all that was asked for came");
    return { heads, more: info.num_pending > count };
  }

  async read(path: string): Promise<ReadFrame | undefined> {
    const message = await this.#last(this.#frameSubject(path));
    if (message === undefined) return undefined;
    const { data } = message;
    const record = decodeRecord(textsOf(message.header));
    return { record: record ?? "foreign", bytes: data.byteLength, crc32: crc32(data) };
  }

  close(): void {
    this.#link.close();
  }
}

function recordOf({ texts, bytes }: Head): FrameRecord | "foreign" {
  const record = decodeRecord(textsOf(texts));
  return record?.frame.bytes === bytes ? record : "foreign";
}

function textsOf(found: MsgHdrs | undefined): RecordTexts {
  if (found === undefined) return {};
  const own = found.keys().filter((key) => key.startsWith(headerPrefix));
  return Object.fromEntries(own.map((key) => [key.slice(headerPrefix.length), found.get(key)]));
}
