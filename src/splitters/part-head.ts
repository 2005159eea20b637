/**
 * Multipart streams put text between pictures: a separator and the head of the next part.
 *
 *     \r\n--boundary\r\nContent-Type: image/jpeg\r\nContent-Length: 10247\r\nX-Timestamp: 1763812345.678901\r\n\r\n
 *
 * Cameras leave out the dashes, the first line break or the length.
 */
import type { Metadata } from "../frame.ts";
import { metadataKeyBytesMax } from "../limits.ts";
import type { PieceQueue } from "./piece-queue.ts";

/** The boundary may have 70 characters, and cameras send three to eight short lines. */
export const partHeadBytesMax = 1024;

export interface PartHead {
  /** Where its separator begins, with the line break before it. */
  readonly from: number;
  /** The separator's line; empty if there is none. */
  readonly separator: string;
  /** Not that of an empty part, which has no picture. */
  readonly contentBytes: number | undefined;
  readonly timeNs: bigint | undefined;
  /** As pairs of a frame's metadata. */
  readonly fields: Metadata;
}

export const noFields: Metadata = new Map();

/** What describes the part, and not the picture. */
const ownFields = /^content-/;
const otherFields = /^(?!content-)[A-Za-z]/im;
/** With the prefix, a key of metadata has room for so many characters. */
const fieldNameMax = metadataKeyBytesMax - "header_".length;

/** Lines of fields, and the blank line. */
const fields = /(?:[A-Za-z][A-Za-z0-9-]{0,63}:[\t\x20-\x7e]*\r?\n)+\r?\n$/;
/** The line before the fields is the separator, behind whatever the picture ended with. */
const separatorLine = /(\r?\n)?(--[\x21-\x7e]{1,72}|(?<=[\n]|^)[\x21-\x7e]{1,72})\r?\n$/;

/** The head that ends at `to`, with a blank line, and begins at `low` at the earliest. */
export function partHeadBefore(bytes: PieceQueue, low: number, to: number): PartHead | undefined {
  if (to - low < 4 || bytes.byteAt(to - 1) !== 0x0a) return undefined;
  const from = Math.max(low, to - partHeadBytesMax);
  const text = bytes.textAt(from, to);
  const found = fields.exec(text);
  if (found === null) return undefined;
  const line = separatorLine.exec(text.slice(0, found.index));
  // Other text has lines with colons, too.
  if (line?.[2]?.startsWith("--") !== true && !/^content-/im.test(found[0])) return undefined;
  const length = /^content-length:[ \t]*(\d{1,15})[ \t]*\r?$/im.exec(found[0])?.[1];
  return {
    from: from + (line?.index ?? found.index),
    separator: line?.[2] ?? "",
    contentBytes: Number(length ?? 0) === 0 ? undefined : Number(length),
    fields: fieldsOf(found[0]),
    timeNs: secondsToNs(/^x-timestamp:[ \t]*([\d.]+)[ \t]*\r?$/im.exec(found[0])?.[1]),
  };
}

/** `X-Exposure: 1/60` is `header_x-exposure` with the value `1/60`. */
function fieldsOf(text: string): Metadata {
  if (!otherFields.test(text)) return noFields;
  const pairs: [string, string][] = [];
  for (const [, name = "", value = ""] of text.matchAll(/^([A-Za-z0-9-]+):(.*?)\r?$/gm)) {
    const key = name.toLowerCase();
    const shown = value.replaceAll("\t", " ").trim();
    if (!ownFields.test(key) && key.length <= fieldNameMax && shown !== "") pairs.push([`header_${key}`, shown]);
  }
  return pairs.length === 0 ? noFields : new Map(pairs);
}

/** `1763812345.678901`, to the nanosecond. */
function secondsToNs(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  const [, seconds, fraction = ""] = /^(\d{1,10})(?:\.(\d{0,9})\d*)?$/.exec(text) ?? [];
  return seconds === undefined ? undefined : BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
}

const head = /^[A-Za-z][A-Za-z0-9-]{0,63}:[\t\x20-\x7e]*$/;

/** Whether text between pictures is nothing but separators and heads. */
export function isMultipartText(text: string): boolean {
  const lines = text.split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    if (line === "" || head.test(line)) continue;
    const separates = line.startsWith("--") || head.test(lines[index + 1] ?? "");
    if (!separates || !/^[\x21-\x7e]{1,72}$/.test(line)) return false;
  }
  return /^(?:content-|--)/im.test(text);
}

/** Where the picture ends whose stream ends at `to` in a multipart stream: before the last separator or line break. */
export function beforeLastSeparator(bytes: PieceQueue, low: number, to: number, { separator }: PartHead): number {
  const from = Math.max(low, to - partHeadBytesMax);
  const text = bytes.textAt(from, to);
  const at = separator === "" ? -1 : text.lastIndexOf(separator);
  const rest = at === -1 ? "" : text.slice(at + separator.length);
  const end = at !== -1 && /^(?:--)?\s*$/.test(rest) ? at : text.length;
  return from + text.slice(0, end).replace(/\r?\n$/, "").length;
}
