/**
 * Names of files as names of frames. The name of a file is bytes, that of a frame is text (wire/PROTOCOL.md section 7):
 * a byte that is not part of valid UTF-8 becomes `%` and two upper-case hexadecimal digits, and so do `\` and a `%`
 * that stands before two hexadecimal digits. So each name stands for one sequence of bytes, and nearly every one for
 * itself.
 *
 * Sources know files by these names alone; the bytes are what the system gives and is given.
 */
import { isUtf8 } from "node:buffer";
import type { FilePath } from "../../system/file-path.ts";

/** U+FFFD stands for bytes that are no text, and for itself. */
const suspect = /[%\\\ufffd]/;
const escapePattern = /%([0-9A-F]{2})/g;

const percent = 0x25;
const backslash = 0x5c;

/** Whether a file's name may not be its frame's. `decoded`: as the system's calls give it. */
export function mayNeedEscape(decoded: string): boolean {
  return suspect.test(decoded);
}

/** `name`: as the file has it. */
export function escapedName(name: FilePath): string {
  const decoded = name.toString();
  if (!mayNeedEscape(decoded)) return decoded;
  const bytes = Buffer.from(name);
  let escaped = "";
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at] as number;
    const character = bytes.subarray(at, at + characterBytes(byte));
    if (!isUtf8(character)) escaped += hexadecimal(byte);
    else if (byte === backslash || (byte === percent && isHex(bytes[at + 1]) && isHex(bytes[at + 2])))
      escaped += hexadecimal(byte);
    else {
      escaped += character.toString();
      at += character.length - 1;
    }
    at += 1;
  }
  return escaped;
}

/** The file's name, or path, that `escaped` stands for: text if it is that. */
export function fileName(escaped: string): FilePath {
  if (!escaped.includes("%")) return escaped;
  const pieces = escaped
    .split(escapePattern)
    .map((piece, index) => Buffer.from(piece, index % 2 === 0 ? "utf8" : "hex"));
  const bytes = Buffer.concat(pieces);
  return isUtf8(bytes) ? bytes.toString() : bytes;
}

/** As patterns are compared with it. */
export function readableName(escaped: string): string {
  return fileName(escaped).toString();
}

/** As it is shown to a person: as it is, if it is text. */
export function shownName(escaped: string): string {
  const name = fileName(escaped);
  return typeof name === "string" ? name : escaped;
}

/** By the first byte. */
function characterBytes(first: number): number {
  if (first < 0xc0) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

function isHex(byte: number | undefined): boolean {
  return byte !== undefined && /[0-9A-Fa-f]/.test(String.fromCharCode(byte));
}

function hexadecimal(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}
