/**
 * The ledgers of all sessions, as records of a store. What is entered while a ledger is being written goes with its
 * next writing, so a slow store is written to less often.
 *
 *     change -> what is there, as far as is known -> put together -> written in its place -> told
 *                        ^------------- another receiver was first -------------'
 */
import { SinkError } from "../../errors.ts";
import type { Origin } from "../../frame.ts";
import { KiB, MiB } from "../../limits.ts";
import { decodeLedger, Ledger } from "./ledger.ts";
import type { Remote } from "./remote.ts";

/** A part that is larger is left as it is, and a next one is begun: each group writes the last one anew. */
const partBytesMax: number = 64 * KiB;
/** Text of the parts that are remembered, of all sessions: what is not is read again before it is written. */
const rememberedBytesMax: number = 4 * MiB;
/** Other receivers write between our reading and our writing; each time one of them gets on. */
const racesMax = 100;

/** The last part of a ledger as it is in the store. */
interface Part {
  readonly index: number;
  /** Undefined: it is not there yet. */
  readonly version: string | undefined;
  readonly ledger: Ledger;
  readonly bytes: number;
}

interface Waiting {
  readonly change: Ledger;
  readonly written: Promise<void>;
}

export class Ledgers {
  readonly #remote: Pick<Remote, "place" | "readRecord" | "writeRecord">;
  readonly #partBytesMax: number;
  readonly #parts = new Map<string, Part>();
  #rememberedBytes = 0;
  /** What goes with the next writing, and the writing that is under way, by key. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #writing = new Map<string, Promise<void>>();

  /** The calls of `remote` are persistent already. */
  constructor(remote: Pick<Remote, "place" | "readRecord" | "writeRecord">, bytesMax: number = partBytesMax) {
    this.#remote = remote;
    this.#partBytesMax = bytesMax;
  }

  /** Resolves when it is in the store. */
  enter(change: Ledger): Promise<void> {
    const key = ledgerKey(change.origin);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      waiting.change.enter(change);
      return waiting.written;
    }
    const written = this.#writeNext(key, change);
    this.#waiting.set(key, { change, written });
    return written;
  }

  /** When what is being written is written, or has failed, which was told to those who had entered it. */
  async #writeNext(key: string, change: Ledger): Promise<void> {
    await this.#writing.get(key)?.catch(() => undefined);
    // More may still be entered in this turn.
    await Promise.resolve();
    this.#waiting.delete(key);
    const writing = this.#write(key, change);
    this.#writing.set(key, writing);
    try {
      await writing;
    } finally {
      if (this.#writing.get(key) === writing) this.#writing.delete(key);
    }
  }

  async #write(key: string, change: Ledger): Promise<void> {
    for (let race = 0; race < racesMax; race += 1) {
      const part = this.#parts.get(key) ?? (await this.#lastPart(key, change.origin));
      this.#forget(key);
      const isFull = part.bytes >= this.#partBytesMax;
      const index = isFull ? part.index + 1 : part.index;
      const ledger = new Ledger(change.origin);
      if (!isFull) ledger.enter(part.ledger);
      ledger.enter(change);
      const text = ledger.encode();
      const version = await this.#remote.writeRecord(`${key}.${index}.json`, text, isFull ? undefined : part.version);
      if (version === undefined) continue;
      this.#remember(key, { index, version, ledger, bytes: text.length });
      return;
    }
    throw new SinkError(`${this.#remote.place}: another program keeps changing ${key}`, { retryable: true });
  }

  async #lastPart(key: string, origin: Origin): Promise<Part> {
    let last: Part = { index: 1, version: undefined, ledger: new Ledger(origin), bytes: 0 };
    for await (const part of this.#partsOf(key)) last = part;
    return last;
  }

  async *#partsOf(key: string): AsyncGenerator<Part, void, void> {
    for (let index = 1; ; index += 1) {
      const name = `${key}.${index}.json`;
      const record = await this.#remote.readRecord(name);
      if (record === undefined) return;
      const ledger = decodeLedger(record.text);
      if (ledger === undefined) {
        throw new SinkError(`${this.#remote.place}: ${name} is no ledger that this version can read`, {
          retryable: true,
          hints: ["it was changed by another program, or written by a newer framepipe"],
        });
      }
      yield { index, version: record.version, ledger, bytes: record.text.length };
    }
  }

  /** All of it, from the store. */
  async read(origin: Origin): Promise<Ledger> {
    const whole = new Ledger(origin);
    for await (const { ledger } of this.#partsOf(ledgerKey(origin))) whole.enter(ledger);
    return whole;
  }

  #remember(key: string, part: Part): void {
    this.#forget(key);
    this.#parts.set(key, part);
    this.#rememberedBytes += part.bytes;
    for (const oldest of this.#parts.keys()) {
      if (this.#rememberedBytes <= rememberedBytesMax || oldest === key) return;
      this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    this.#rememberedBytes -= this.#parts.get(key)?.bytes ?? 0;
    this.#parts.delete(key);
  }
}

/** Ours, beside the frames: no name of a frame has a hidden segment. */
export const ownFolder = ".framepipe/";
export const ledgerFolder: string = `${ownFolder}ledger/`;

/** Behind it, parts are numbered from 1. */
function ledgerKey({ device, source, session }: Origin): string {
  return `${ledgerFolder}${encodeURIComponent(device)}/${encodeURIComponent(source)}/${session}`;
}

/** Whether all that is kept of a source has a key, and of which length. */
export function ledgerKeyBytes(origin: Origin): number {
  return ledgerKey(origin).length;
}
