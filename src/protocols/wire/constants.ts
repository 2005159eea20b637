/** The numbers of PROTOCOL.md. A test reads them from there and compares. */
import type { GapReason, Outcome, RefusalReason, StoredOutcome } from "../../frame.ts";

export const magic = 0xf5;
export const version = 1;
/** The lowest and highest version spoken here. */
export const versionLowest = 1;
export const versionHighest = 1;

/** Magic, version, kind, flags, headBytes, payloadBytes. */
export const headerBytes = 12;
/** The check behind the head. */
export const checkBytes = 4;
export const sessionBytes = 16;

export const Kind = {
  hello: 1,
  welcome: 2,
  refuse: 3,
  source: 4,
  offer: 5,
  want: 6,
  frame: 7,
  chunk: 8,
  gap: 9,
  ack: 10,
  reject: 11,
  hold: 12,
  resume: 13,
  ping: 14,
  pong: 15,
  end: 16,
  ended: 17,
  bye: 18,
  farewell: 19,
  progress: 20,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];
export type KindName = keyof typeof Kind;

const kindNames = new Map<number, KindName>();
for (const name of Object.keys(Kind) as KindName[]) kindNames.set(Kind[name], name);

/** The name of a kind, undefined if it is not known in this version. */
export function kindName(kind: number): KindName | undefined {
  return kindNames.get(kind);
}

/** Bit of `features` in HELLO: progress reports are wanted; in WELCOME: they will come. */
export const featureProgress = 1;

/** FRAME and CHUNK: the frame's last byte is in this message, and its crc32 is valid. */
export const flagLast = 1;

/** A two-way table between a word of the domain and its number on the wire. */
export class WireCodes<Word extends string> {
  readonly #numbers: Readonly<Record<Word, number>>;
  readonly #words = new Map<number, Word>();
  constructor(numbers: Readonly<Record<Word, number>>) {
    this.#numbers = numbers;
    for (const word of Object.keys(numbers) as Word[]) this.#words.set(numbers[word], word);
  }
  number(word: Word): number {
    return this.#numbers[word];
  }
  /** Undefined: a number that this version does not know. */
  word(number: number): Word | undefined {
    return this.#words.get(number);
  }
}

export const outcomeCodes: WireCodes<Outcome> = new WireCodes({ stored: 1, already: 2, conflict: 3, recorded: 4 });

export const refusalCodes: WireCodes<RefusalReason> = new WireCodes({
  name: 16,
  "too-large": 17,
  checksum: 18,
  link: 19,
  storage: 20,
  format: 21,
});

export const gapCodes: WireCodes<GapReason> = new WireCodes({
  unreadable: 1,
  vanished: 2,
  changing: 3,
  refused: 4,
  dropped: 5,
});

/** Verdicts below the refusals: a refusal's verdict is its number in `refusalCodes`. */
export const verdictWant = 0;
export const verdictHaveCodes: WireCodes<StoredOutcome> = new WireCodes({ already: 1, stored: 2, conflict: 3 });
