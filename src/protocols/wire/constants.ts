/** The numbers of PROTOCOL.md. A test reads them from there and compares. */
import type { GapReason, HeardOutcome, Notice, Outcome, RefusalReason } from "../../frame.ts";
import type { StoredOutcome, StretchClass } from "../../frame.ts";

export const magic = 0xf5;
export const version = 2;
/** The lowest and highest version spoken here. */
export const versionLowest = 2;
export const versionHighest = 2;

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
  stretch: 21,
  notice: 22,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];
export type KindName = keyof typeof Kind;

const kindNames = new Map<number, KindName>();
for (const name of Object.keys(Kind) as KindName[]) kindNames.set(Kind[name], name);

/** The name of a kind, undefined if it is not known in this version. */
export function kindName(kind: number): KindName | undefined {
  return kindNames.get(kind);
}

/** Bits of `features` in HELLO and WELCOME. A feature is used if both name it. */
export const Feature = {
  /** PROGRESS is sent. */
  progress: 1,
  /** A frame may go on where it was cut: verdict `continue`, and an offset in FRAME. */
  resume: 2,
  /** The message with LAST may have a digest. */
  digest: 4,
  /** Room kept: nothing uses it in this version. */
  compression: 8,
} as const;

/** Bit of `flags` in WELCOME: acks do not mean that anything is kept. */
export const flagKeepsNothing = 1;

/** FRAME and CHUNK: the frame's last byte is in this message, and its crc32, notes and digest are valid. */
export const flagLast = 1;

/** In HOLD and RESUME, in place of a source index. */
export const allSources = 0xffff;

/** Numbers of a table that a later version may use, and what they mean to us. */
interface UnknownNumbers<Word extends string> {
  readonly from: number;
  readonly to: number;
  readonly word: Word;
}

/** A two-way table between a word of the domain and its number on the wire. */
export class WireCodes<Word extends string, Unknown extends string = never> {
  readonly #numbers: Readonly<Record<Word, number>>;
  readonly #words = new Map<number, Word>();
  readonly #unknown: UnknownNumbers<Word | Unknown> | undefined;
  constructor(numbers: Readonly<Record<Word, number>>, unknown?: UnknownNumbers<Word | Unknown>) {
    this.#numbers = numbers;
    this.#unknown = unknown;
    for (const word of Object.keys(numbers) as Word[]) this.#words.set(numbers[word], word);
  }
  number(word: Word): number {
    return this.#numbers[word];
  }
  /** Undefined: a number that no version may use. */
  word(number: number): Word | Unknown | undefined {
    const word = this.#words.get(number);
    if (word !== undefined || this.#unknown === undefined) return word;
    return number >= this.#unknown.from && number <= this.#unknown.to ? this.#unknown.word : undefined;
  }
}

export const outcomeCodes: WireCodes<Outcome, HeardOutcome> = new WireCodes<Outcome, HeardOutcome>(
  { stored: 1, duplicate: 2, conflict: 3, recorded: 4, expired: 5 },
  { from: 6, to: 15, word: "unknown" },
);

export const refusalCodes: WireCodes<RefusalReason> = new WireCodes<RefusalReason>(
  { name: 16, "too-large": 17, checksum: 18, symlink: 19, storage: 20, format: 21, other: 31 },
  { from: 16, to: 31, word: "other" },
);

export const gapCodes: WireCodes<GapReason> = new WireCodes<GapReason>(
  { unreadable: 1, vanished: 2, changing: 3, refused: 4, dropped: 5, damaged: 6, duplicate: 7, expired: 8, other: 31 },
  { from: 1, to: 31, word: "other" },
);

export const stretchCodes: WireCodes<StretchClass> = new WireCodes<StretchClass>(
  { loss: 1, information: 2 },
  { from: 1, to: 15, word: "information" },
);

export const noticeCodes: WireCodes<Notice> = new WireCodes<Notice>(
  { "shared-device": 1, other: 31 },
  { from: 1, to: 31, word: "other" },
);

/** Verdicts below the refusals: a refusal's verdict is its number in `refusalCodes`. */
export const verdictWant = 0;
export const verdictHaveCodes: WireCodes<StoredOutcome> = new WireCodes({ duplicate: 1, stored: 2, conflict: 3 });
export const verdictExpired = 4;
export const verdictContinue = 5;
/** The highest verdict of a later version that settles a frame. */
export const verdictUnknownLast = 15;
