/**
 * What the texts of options mean. Each function gives the value, or says in a UserError which option or variable holds
 * something else, and what would be right.
 */
import { type Address, parseAddress } from "../address.ts";
import { UserError } from "../errors.ts";
import { invitationMsMax } from "../limits.ts";
import { givenNameProblem, nameProblem } from "../names.ts";
import { hashOfFingerprint } from "../security/fingerprint.ts";
import { sizeText } from "../size-text.ts";
import { type Captured, TimePattern } from "../sources/captured.ts";
import type { StreamInputOptions } from "../sources/open-source.ts";
import { pictureFormats } from "../splitters/splitter.ts";
import { deviceTemplateProblem } from "./device-name.ts";
import { formatBytes } from "./format.ts";
import { parseCount, parseDuration, parseRate, parseSize } from "../quantities.ts";
import { parseTime } from "../times.ts";

/** A text, and where it came from: `--out`, or `FRAMEPIPE_OUT`. */
export interface RawValue {
  readonly text: string;
  readonly label: string;
}

/** Throws UserError. */
export interface Parser<Value> {
  (raw: RawValue): Value;
  /** The only words it takes, if these can be listed. */
  readonly choices?: readonly string[];
}

export function plainText({ text }: RawValue): string {
  return text;
}

export const whenBehindHint =
  "block stops reading the stream, spool keeps frames on disk, drop-oldest forgets those that waited longest";
export const compareHint =
  "auto reads a file only where name, size and time prove nothing, always compares the bytes of every one";
export const syncHint = "batch flushes frames in groups, each one by one, never leaves it to the system";

export function choice<const Word extends string>(choices: readonly Word[], hint: string): Parser<Word> {
  const expected = choices.join(", ").replace(/, ([\w-]+)$/, " or $1");
  const parse = ({ text, label }: RawValue): Word => {
    const word = choices.find((known) => known === text);
    if (word !== undefined) return word;
    throw new UserError(`${label}: found ${text}, expected ${expected}`, [hint]);
  };
  return Object.assign(parse, { choices });
}

const capturedWords = ["auto", "mtime", "exif", "header", "arrival"] as const;
const capturedHint = "mtime and name: are for files, header and arrival for streams; name:IMG_%Y%m%d_%H%M%S";

export function capturedHow({ text, label }: RawValue): Captured {
  if (text.startsWith("name:")) return { kind: "name", pattern: new TimePattern(text.slice("name:".length)) };
  const kind = capturedWords.find((word) => word === text);
  if (kind !== undefined) return { kind };
  throw new UserError(`${label}: found ${text}, expected ${capturedWords.join(", ")} or name:PATTERN`, [capturedHint]);
}

/** Bytes, from `least` to `most`. */
export function size(
  least: number,
  most: number,
  fallback: number,
): { readonly takes: readonly ["SIZE", Parser<number>]; readonly default: number; readonly defaultText: string } {
  const parse = (raw: RawValue): number => bytesWithin(raw, least, most);
  return { takes: ["SIZE", parse], default: fallback, defaultText: sizeText(fallback) };
}

/** Bytes, at least `least`, without a default. */
export function sizeFrom(least: number): Parser<number> {
  return (raw) => bytesWithin(raw, least, Number.MAX_SAFE_INTEGER);
}

function bytesWithin({ text, label }: RawValue, least: number, most: number): number {
  const bytes = parseSize(text);
  if (bytes === undefined) {
    const hint = "a number, then K M G (of 1000) or Ki Mi Gi (of 1024): 256Mi";
    throw new UserError(`${label}: not a size: ${text}`, [hint]);
  }
  if (bytes < least)
    throw new UserError(`${label}: ${formatBytes(bytes)} is too little`, [`at least ${formatBytes(least)}`]);
  if (bytes > most)
    throw new UserError(`${label}: ${formatBytes(bytes)} is too much`, [`at most ${formatBytes(most)}`]);
  return bytes;
}

/** Milliseconds. */
export function duration({ text, label }: RawValue): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  throw new UserError(`${label}: not a duration: ${text}`, ["a number, then ms s m h or d: 90s"]);
}

export const asHint = "stream and tar give bytes out, list and json a line for each frame";
export const clockHint = "receiver corrects times by the offset that was measured when the frame arrived";

/** Nanoseconds since the epoch. */
export function moment({ text, label }: RawValue): bigint {
  const ns = parseTime(text, new Date());
  if (ns !== undefined) return ns;
  throw new UserError(`${label}: not a time: ${text}`, [
    "2026-11-25T10:32:07.120Z, on this machine's clock 2026-11-25T10:32, a day 2026-11-25, or of today 10:32",
  ]);
}

/** Milliseconds in which somebody can come. */
export function invitationTime(value: RawValue): number {
  const ms = duration(value);
  if (ms > 0 && ms <= invitationMsMax) return ms;
  const problem = ms === 0 ? "nobody could use the invitation" : `${value.text} is too long`;
  throw new UserError(`${value.label}: ${problem}`, ["10m is usual, and 3650d the most"]);
}

/** Milliseconds, and not none. */
export function positiveDuration(raw: RawValue): number {
  const ms = duration(raw);
  if (ms > 0) return ms;
  throw new UserError(`${raw.label}: found ${raw.text}, expected more than nothing`, ["30d, 12h or 90s"]);
}

/** Bytes per millisecond. */
export function rate({ text, label }: RawValue): number {
  const bitsPerSecond = parseRate(text);
  if (bitsPerSecond !== undefined && bitsPerSecond >= 1000) return bitsPerSecond / 8 / 1000;
  throw new UserError(`${label}: not a rate: ${text}`, ["a number with kbit, Mbit or Gbit: 20Mbit"]);
}

export function framesPerSecond({ text, label }: RawValue): number {
  const fps = /^\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (fps >= 0.001 && fps <= 100_000) return fps;
  throw new UserError(`${label}: not a number of frames per second: ${text}`, ["for example 30 or 0.5"]);
}

export interface Invitee extends Peer {
  readonly device: string;
}

/** `DEVICE@HOST:PORT`. */
export function invitee({ text, label }: RawValue): Invitee {
  const at = text.lastIndexOf("@");
  const example = "the device, and where it finds this receiver: rig-7@recorder:8000";
  if (at < 1) throw new UserError(`${label}: no device in ${text}`, [example]);
  const device = text.slice(0, at);
  const problem = givenNameProblem(device);
  if (problem !== undefined) throw new UserError(`${label}: ${problem} in ${JSON.stringify(device)}`, [example]);
  return { ...reachable({ text: text.slice(at + 1), label }, `${device}@`), device };
}

/** A fingerprint. */
export function publicKey({ text, label }: RawValue): string {
  if (hashOfFingerprint(text) !== undefined) return text;
  throw new UserError(`${label}: not a public key, or mistyped: ${text}`, [
    "fp1 and 58 letters and digits, as the receiver says when it makes its key",
  ]);
}

/** How many strangers, 0 for any number. */
export function strangerCount({ text, label }: RawValue): number {
  const count = parseCount(text);
  if (count !== undefined) return count;
  throw new UserError(`${label}: not a number of connections: ${text}`, ["a whole number; 0: any, behind a balancer"]);
}

export function connectionCount({ text, label }: RawValue): number {
  const count = parseCount(text);
  if (count !== undefined && count > 0) return count;
  throw new UserError(`${label}: not a number of connections: ${text}`, ["a whole number from 1"]);
}

export function deviceName({ text, label }: RawValue): string {
  const problem = deviceTemplateProblem(text);
  if (problem === undefined) return text;
  throw new UserError(`${label}: ${problem} in ${JSON.stringify(text)}`, [
    "it names a directory at the receiver: letters, digits, - and _ are safe, / makes sub-directories",
  ]);
}

const formatHint = "auto, jpeg, png, y4m, pnm, bmp or raw:BYTES; for one stream of several: infrared=raw:163840";

/** `[SOURCE=]FORMAT`. */
export function streamFormat({ text, label }: RawValue): StreamInputOptions["formats"][number] {
  const equals = text.indexOf("=");
  const source = equals < 0 ? undefined : text.slice(0, equals);
  if (source !== undefined && nameProblem(source) !== undefined) {
    throw new UserError(`${label}: no source is named ${JSON.stringify(source)}`, [formatHint]);
  }
  const kind = text.slice(equals + 1);
  const picture = pictureFormats.find((known) => known === kind);
  if (kind === "auto" || picture !== undefined) return { source, format: { kind: picture ?? "auto" } };
  if (kind.startsWith("raw:")) {
    const bytes = bytesWithin({ text: kind.slice("raw:".length), label }, 1, Number.MAX_SAFE_INTEGER);
    return { source, format: { kind: "raw", bytes } };
  }
  const hint = kind === "raw" ? "raw needs the size of a frame: raw:614400 for 640 x 480 with 16 bits" : formatHint;
  throw new UserError(`${label}: not a format: ${kind}`, [hint]);
}

const peerExamples = "for example 192.168.1.20:8000, camera-store:8000 or [fd00::20]:8000";
const listenExamples = "for example 8000, 192.168.1.20:8000 or [fd00::20]:8000";

function address({ text, label }: RawValue, examples: string): Address {
  const parsed = parseAddress(text);
  if (parsed !== undefined) return parsed;
  const bare = !text.includes("[") && text.split(":").length > 2;
  const hint = bare ? "an IPv6 address stands in brackets: [fd00::20]:8000" : `${examples}; a port is at most 65535`;
  throw new UserError(`${label}: not an address: ${text}`, [hint]);
}

export interface Peer {
  readonly host: string;
  readonly port: number;
}

/** Where to connect to. */
export function peerAddress(raw: RawValue): Peer {
  return reachable(raw, `${raw.label.startsWith("--") ? `${raw.label} ` : ""}`);
}

/** `before` is what stands before the address where it is typed. */
function reachable(raw: RawValue, before: string): Peer {
  const { host, port } = address(raw, peerExamples);
  if (host === undefined) {
    throw new UserError(`${raw.label}: no host in ${raw.text}`, [
      `on this machine: ${before}localhost:${port}`,
      peerExamples,
    ]);
  }
  if (port === 0)
    throw new UserError(`${raw.label}: no port in ${raw.text}`, ["the receiver says on which port it listens"]);
  return { host, port };
}

/** Where to listen. */
export function listenAddress(raw: RawValue): Address {
  return address(raw, listenExamples);
}
