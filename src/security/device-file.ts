/**
 * The receiver's line for one key, in a file whose name ends with the key: `rig-7.fp1….device`. It is written by
 * joining or by hand, and is what the key may do (KEYS.md section 4):
 *
 *     device=rig-7 sources=visible,infrared max-rate=20Mbit quota=200G
 *     device=north gateway devices=rig-*,cam-1
 *
 * Only `device=` must be there; it stands in the file's name as well, so that a list of the folder says who is who. An
 * unknown word makes the line bad: a mistyped limit must not become none. In values `%20` is a space and `%2C` a comma.
 * Lines that begin with `#` and empty ones are skipped.
 */
import { givenNameProblem } from "../names.ts";
import type { Grant } from "../ports.ts";
import { parseRate, parseSize } from "../quantities.ts";
import { FormatError } from "./format-error.ts";
import { hashOfFingerprint } from "./fingerprint.ts";

export const deviceFileEnd = ".device";
/** So that name, key and ending fit a file name of 255 bytes. */
export const deviceBytesMax = 180;

const words: ReadonlySet<string> = new Set([
  "device",
  "sources",
  "max-rate",
  "quota",
  "gateway",
  "devices",
  // What is left of an invitation that was taken up.
  "invitation",
  "until",
]);

/** Why no device with a key can have this name; undefined if it can. The name is not repeated. */
export function deviceNameProblem(device: string): string | undefined {
  const problem = givenNameProblem(device);
  if (problem !== undefined) return `${problem} in the device's name`;
  if (device.includes("/")) return "a device with a key has one segment, and this name has a /";
  const bytes = Buffer.byteLength(device);
  return bytes > deviceBytesMax ? `a device's name of ${bytes} bytes, limit ${deviceBytesMax}` : undefined;
}

export function deviceFileName(device: string, fingerprint: string): string {
  return `${device}.${fingerprint}${deviceFileEnd}`;
}

/** What the name of a file in the devices folder says. Undefined: it is no device file. Throws FormatError. */
export function parseDeviceFileName(name: string): { device: string; fingerprint: string } | undefined {
  if (!name.endsWith(deviceFileEnd)) return undefined;
  const stem = name.slice(0, -deviceFileEnd.length);
  const dot = stem.lastIndexOf(".");
  const fingerprint = stem.slice(dot + 1);
  if (dot < 1 || hashOfFingerprint(fingerprint) === undefined) {
    throw new FormatError("its name does not end with a public key: rig-7.fp1….device");
  }
  return { device: stem.slice(0, dot), fingerprint };
}

/** Throws FormatError. */
export function parseDeviceFile(text: string, fingerprint: string): Grant {
  const found = deviceWords(text);
  const device = decodeWord(found.get("device") ?? "");
  if (device === "") throw new FormatError("no device= with a name");
  const problem = deviceNameProblem(device);
  if (problem !== undefined) throw new FormatError(problem);
  const isGateway = found.has("gateway");
  if (found.has("devices") && !isGateway) throw new FormatError("devices= is for a gateway, and the word is not there");
  return {
    fingerprint,
    device,
    sources: listOf(found, "sources")?.map((source) => checkedSource(decodeWord(source))),
    maxRate: rateOf(found.get("max-rate")),
    quota: quotaOf(found.get("quota")),
    gateway: isGateway ? (listOf(found, "devices") ?? []).map(checkedPattern) : undefined,
  };
}

/** The words of the one line that counts, values as they are written. A word alone has an empty one. */
export function deviceWords(text: string): ReadonlyMap<string, string> {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  const [line = ""] = lines;
  if (lines.length !== 1) throw new FormatError(`${lines.length} lines, expected one`);
  const found = new Map<string, string>();
  for (const word of line.split(/\s+/)) {
    const equals = word.indexOf("=");
    const key = equals === -1 ? word : word.slice(0, equals);
    if (!words.has(key)) throw new FormatError(`an unknown word: ${JSON.stringify(key.slice(0, 40))}`);
    if (found.has(key)) throw new FormatError(`${key} stands there twice`);
    if ((equals === -1) !== (key === "gateway")) {
      throw new FormatError(key === "gateway" ? "gateway takes no value" : `${key} needs a value: ${key}=…`);
    }
    found.set(key, equals === -1 ? "" : word.slice(equals + 1));
  }
  return found;
}

/** As it stands in a line: what would end a word or an item of a list is escaped. */
export function encodeWord(text: string): string {
  return text.replaceAll(/[\s%,*=#]/gu, (letter) =>
    [...new TextEncoder().encode(letter)]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`)
      .join(""),
  );
}

function decodeWord(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new FormatError("a % that is none of %20 and the like");
  }
}

function listOf(found: ReadonlyMap<string, string>, key: string): string[] | undefined {
  const items = found.get(key)?.split(",");
  if (items?.includes("") === true) throw new FormatError(`an empty item in ${key}=`);
  return items;
}

function checkedSource(source: string): string {
  const problem = givenNameProblem(source);
  if (problem !== undefined) throw new FormatError(`${problem} in sources=`);
  return source;
}

/** A name in which `*` stands for any characters but `/`. Kept as it is written. */
function checkedPattern(pattern: string): string {
  const problem = givenNameProblem(pattern.split("*").map(decodeWord).join("x"));
  if (problem !== undefined) throw new FormatError(`${problem} in devices=`);
  return pattern;
}

/** Whether a pattern of `devices=` is meant for this device. */
export function matchesDevice(pattern: string, device: string): boolean {
  const parts = pattern.split("*").map((part) => RegExp.escape(decodeWord(part)));
  return new RegExp(`^${parts.join("[^/]*")}$`, "u").test(device);
}

/** Bytes per millisecond. */
function rateOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bitsPerSecond = parseRate(text);
  if (bitsPerSecond === undefined || bitsPerSecond < 1000) throw new FormatError("max-rate= needs a rate: 20Mbit");
  return bitsPerSecond / 8 / 1000;
}

/** Bytes. */
function quotaOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = parseSize(text);
  if (bytes === undefined || bytes === 0) throw new FormatError("quota= needs a size: 200G");
  return bytes;
}
