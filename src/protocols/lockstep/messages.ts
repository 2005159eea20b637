/**
 * The messages of lockstep/PROTOCOL.md section 2 as bytes, in both directions. Nothing marks where a header ends, so a
 * reader here is given everything that has arrived and says what it would mean if that were all; whether it is all is
 * decided by the receiver (time) and by `endsItself` (the name).
 */
import { assert, ProtocolCode, ProtocolError } from "../../errors.ts";
import { frameBytesCeiling, lockstepHeaderBytesMax, lockstepReadBytes } from "../../limits.ts";
import { nameProblem } from "../../names.ts";

export interface SessionHeader {
  readonly format: string;
  readonly directory: string;
}

export interface FrameHeader {
  /** Length of the payload in bytes. */
  readonly bytes: number;
  /** As the peer said it, safe or not. Bytes that are not UTF-8 are written `\xNN`, which no safe name has. */
  readonly name: string;
}

const BAR = 0x7c;
const ZERO = 0x30;
const NINE = 0x39;
const lengthDigitsMax = 16;

const encoder = new TextEncoder();
const controls = /[\u0000-\u001f\u007f-\u009f]/;

export const okBytes: Uint8Array = encoder.encode("ok");
export const continueBytes: Uint8Array = encoder.encode("continue");
export const overBytes: Uint8Array = encoder.encode("over");

/** Names that end so are complete at once. None may begin another, or a split header would be taken too early. */
export const selfEndingExtensions: readonly string[] = [
  ".jpg",
  ".jpeg",
  ".png",
  ".bmp",
  ".tiff",
  ".gif",
  ".webp",
  ".pgm",
  ".ppm",
  ".pbm",
  ".pnm",
  ".raw",
  ".y4m",
  ".jp2",
  ".exr",
  ".dng",
  ".heic",
  ".avif",
];
const selfEnding = new Set(selfEndingExtensions);

/** The name of an image: nothing more of this header is expected. */
export function endsItself(name: string): boolean {
  const dot = name.lastIndexOf(".");
  return dot >= 0 && name.length - dot <= 5 && selfEnding.has(name.slice(dot).toLowerCase());
}

/** Whether `view` is `word`, the beginning of it, or something else. `view` may go on behind `word`. */
export function matchWord(view: Uint8Array, word: Uint8Array): "yes" | "more" | "no" {
  const count = Math.min(view.length, word.length);
  for (let at = 0; at < count; at++) if (view[at] !== word[at]) return "no";
  return count === word.length ? "yes" : "more";
}

/**
 * Could a session header begin with these first bytes of a connection? `no` as soon as something stands there that
 * is not text (HTTP's CR LF, TLS's 16, the wire protocol's F5), `more` while there is no bar yet.
 */
export function lockstepMayBegin(prefix: Uint8Array): "yes" | "no" | "more" {
  const view = prefix.subarray(0, lockstepHeaderBytesMax);
  if (printable(view) === undefined) return "no";
  const bar = view.indexOf(BAR);
  if (bar > 0) return "yes";
  return bar === 0 || view.length === lockstepHeaderBytesMax ? "no" : "more";
}

/**
 * What the bytes of a session header mean, or undefined while it has no bar or ends inside a character.
 * Throws ProtocolError if they cannot become a session header.
 */
export function decodeSessionHeader(view: Uint8Array): SessionHeader | undefined {
  checkHeaderBytes(view, "session header");
  const text = printable(view);
  if (text === undefined) throw malformed("session header", view, "format|directory");
  const bar = text.indexOf("|");
  if (bar < 0 || Buffer.byteLength(text) < view.length) return undefined;
  if (bar === 0) throw malformed("session header", view, "a format before the bar");
  return { format: text.slice(0, bar), directory: text.slice(bar + 1) };
}

/**
 * The source that a session header names, a path of safe segments: a directory that is a safe path is kept whole, of
 * any other the last segment counts. Throws ProtocolError if that is not safe either.
 */
export function sourceOf(header: SessionHeader): string {
  const { format, directory } = header;
  const whole = `${format}/${directory}`;
  if (!format.includes("/") && nameProblem(whole) === undefined) return whole;
  const last = directory.split(/[/\\]/).findLast((segment) => segment !== "" && segment !== ".") ?? "";
  const source = `${format}/${last}`;
  const problem = format.includes("/") ? "format of several segments" : nameProblem(source);
  if (problem === undefined) return source;
  const found = JSON.stringify(`${format}|${directory}`.slice(0, 100));
  throw new ProtocolError(ProtocolCode.malformed, `session header ${found}: ${problem}, expected safe names`);
}

/**
 * What the bytes of a frame header mean, or undefined while it has no bar.
 * Throws ProtocolError if they cannot become a frame header, or if the length is nonsense.
 */
export function decodeFrameHeader(view: Uint8Array): FrameHeader | undefined {
  checkHeaderBytes(view, "frame header");
  let bytes = 0;
  for (let at = 0; at < view.length; at++) {
    const byte = view[at] ?? 0;
    if (byte === BAR && at > 0) {
      if (bytes > frameBytesCeiling) {
        throw new ProtocolError(ProtocolCode.limit, `frame header: length of ${bytes}, limit ${frameBytesCeiling}`);
      }
      return { bytes, name: decodeName(view.subarray(at + 1)) };
    }
    if (byte < ZERO || byte > NINE) throw malformed("frame header", view, "length|name");
    if (at === lengthDigitsMax) throw malformed("frame header", view, `a length of at most ${lengthDigitsMax} digits`);
    bytes = bytes * 10 + (byte - ZERO);
  }
  return undefined;
}

/** `view` and what was expected in its place, as an error with the found bytes made readable. */
export function malformed(where: string, view: Uint8Array, expected: string): ProtocolError {
  const found = JSON.stringify(decodeName(view.subarray(0, 60)));
  return new ProtocolError(ProtocolCode.malformed, `lockstep ${where}: found ${found}, expected ${expected}`);
}

function checkHeaderBytes(view: Uint8Array, what: string): void {
  if (view.length <= lockstepHeaderBytesMax) return;
  throw new ProtocolError(
    ProtocolCode.limit,
    `${what} of ${view.length} bytes or more, limit ${lockstepHeaderBytesMax}`,
  );
}

/** The text up to its last whole character, or undefined if it is not UTF-8 or has control characters. */
function printable(view: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(view, { stream: true });
    return controls.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

function decodeName(view: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(view);
  } catch {
    let name = "";
    for (const byte of view) {
      name += byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
    }
    return name;
  }
}

/** SOURCE as `--send` names it, said in this protocol: its first segment, and the rest or the same again. */
export function sessionHeaderFor(source: string): SessionHeader {
  const slash = source.indexOf("/");
  return slash < 0
    ? { format: source, directory: source }
    : { format: source.slice(0, slash), directory: source.slice(slash + 1) };
}

/** Why a frame cannot be announced to an old receiver, in a few words for a person; undefined if it can. */
export function headerProblem(name: string, bytes: number): string | undefined {
  if (name === "") return "empty name";
  if (controls.test(name)) return "control character in the name";
  const length = encodeFrameHeader({ bytes, name }).length;
  return length > lockstepReadBytes ? `lockstep header of ${length} bytes, limit ${lockstepReadBytes}` : undefined;
}

/** `format|directory`. A source that is a safe name always fits. */
export function encodeSessionHeader(header: SessionHeader): Uint8Array {
  const encoded = encoder.encode(`${header.format}|${header.directory}`);
  assert(encoded.length <= lockstepReadBytes, "a session header fits one read of an old receiver");
  return encoded;
}

/** `length|name`. */
export function encodeFrameHeader(header: FrameHeader): Uint8Array {
  return encoder.encode(`${header.bytes}|${header.name}`);
}
