/** The sender's options for what comes from a camera: how a stream is split, named and kept, and how all is paced. */
import { UserError } from "../errors.ts";
import { frameBytesMaxDefault, spoolBytesMaxDefault } from "../limits.ts";
import { nameProblem } from "../names.ts";
import type { SendingOrder } from "../protocols/source-ledger.ts";
import type { StreamInputOptions } from "../sources/open-source.ts";
import { frameNameDefault } from "../sources/stream/frame-names.ts";
import { formatBytes } from "./format.ts";
import type { Given, Text, ValueKey } from "./given.ts";
import { parseRate, parseSize } from "./values.ts";

const whenBehindWords = [
  "block",
  "spool",
  "drop-oldest",
] as const satisfies readonly StreamInputOptions["whenBehind"][];

const streamKeys = ["format", "name", "whenBehind", "spool", "spoolLimit"] as const satisfies readonly ValueKey[];

export function streamOptions(given: Given): StreamInputOptions {
  const whenBehind = oneOf(given.last("whenBehind"), whenBehindWords, "block", whenBehindHint);
  const spool = given.last("spool");
  const spoolLimit = given.last("spoolLimit");
  if (whenBehind === "spool" && spool === undefined) {
    throw new UserError("--when-behind spool needs a directory to keep frames in", [
      "for example --spool /var/spool/framepipe",
    ]);
  }
  const idle = whenBehind === "spool" ? undefined : (spool ?? spoolLimit);
  if (idle !== undefined) throw new UserError(`${idle.label} is for --when-behind spool`, ["add --when-behind spool"]);
  return {
    formats: given.all("format").map(givenFormat),
    nameTemplate: given.last("name")?.text ?? frameNameDefault,
    whenBehind,
    spool: spool?.text,
    spoolBytesMax: spoolLimit === undefined ? spoolBytesMaxDefault : positiveSize(spoolLimit, spoolLimit.text),
    onlyForStreams: streamKeys.map((key) => given.last(key)?.label).find((label) => label !== undefined),
  };
}

const whenBehindHint =
  "block stops reading the stream, spool keeps frames on disk, drop-oldest forgets those that waited longest";

const formatHint = "auto, jpeg, png, y4m or raw:BYTES; for one stream of several: infrared=raw:163840";

function givenFormat(given: Text): StreamInputOptions["formats"][number] {
  const equals = given.text.indexOf("=");
  const source = equals < 0 ? undefined : given.text.slice(0, equals);
  if (source !== undefined && nameProblem(source) !== undefined) {
    throw new UserError(`${given.label}: no source is named ${JSON.stringify(source)}`, [formatHint]);
  }
  const text = given.text.slice(equals + 1);
  if (text === "auto" || text === "jpeg" || text === "png" || text === "y4m") return { source, format: { kind: text } };
  if (!text.startsWith("raw:")) {
    const hint = text === "raw" ? "raw needs the size of a frame: raw:614400 for 640 x 480 with 16 bits" : formatHint;
    throw new UserError(`${given.label}: not a format: ${text}`, [hint]);
  }
  const bytes = positiveSize(given, text.slice(4));
  if (bytes > frameBytesMaxDefault) {
    throw new UserError(`${given.label}: a frame of ${formatBytes(bytes)} is too much`, [
      `at most ${formatBytes(frameBytesMaxDefault)}`,
    ]);
  }
  return { source, format: { kind: "raw", bytes } };
}

function positiveSize({ label }: Text, text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined && bytes > 0) return bytes;
  throw new UserError(`${label}: not a size: ${text}`, ["a number, then K M G (of 1000) or Ki Mi Gi (of 1024): 4G"]);
}

const orders = ["oldest", "newest"] as const satisfies readonly SendingOrder[];

export function sendingOrder(given: Given): SendingOrder {
  return oneOf(given.last("order"), orders, "oldest", "newest sends what is live first and the backlog behind it");
}

/** Bytes per millisecond. */
export function maxRate(given: Given): number | undefined {
  const text = given.last("maxRate");
  if (text === undefined) return undefined;
  const bitsPerSecond = parseRate(text.text);
  if (bitsPerSecond !== undefined && bitsPerSecond >= 1000) return bitsPerSecond / 8 / 1000;
  throw new UserError(`${text.label}: not a rate: ${text.text}`, ["a number with kbit, Mbit or Gbit: 20Mbit"]);
}

/** Frames per second. */
export function framesPerSecond(given: Given): number | undefined {
  const text = given.last("fps");
  if (text === undefined) return undefined;
  const fps = /^\d+(\.\d+)?$/.test(text.text.trim()) ? Number(text.text) : Number.NaN;
  if (fps >= 0.001 && fps <= 100_000) return fps;
  throw new UserError(`${text.label}: not a number of frames per second: ${text.text}`, ["for example 30 or 0.5"]);
}

function oneOf<Word extends string>(
  given: Text | undefined,
  words: readonly Word[],
  fallback: Word,
  hint: string,
): Word {
  if (given === undefined) return fallback;
  const word = words.find((known) => known === given.text);
  if (word !== undefined) return word;
  const expected = words.join(", ").replace(/, ([\w-]+)$/, " or $1");
  throw new UserError(`${given.label}: found ${given.text}, expected ${expected}`, [hint]);
}
