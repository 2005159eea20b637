/**
 * The text of a key file (KEYS.md section 2), which only the program writes, and only for itself to read:
 *
 *     FRAMEPIPE-KEY-1…                         the seed, Bech32 in capital letters: always the first line
 *     receiver HOST:PORT fp1… fp1…             a sender's: whom it sends to, keys in order, the present one first
 *     upstream HOST:PORT fp1… fp1…             a gateway's: whom it hands on to
 *     spare fp1…                               a receiver's: the key that comes after this one
 *
 * Lines that begin with `#` and empty ones are skipped, and lost when the file is written again.
 */
import { formatAddress, parseAddress } from "../address.ts";
import { pinsMax } from "../limits.ts";
import { decodeBech32, encodeBech32 } from "./bech32.ts";
import { FormatError } from "./format-error.ts";
import { hashOfFingerprint } from "./fingerprint.ts";
import { seedBytes } from "./key-pair.ts";

const seedPrefix = "framepipe-key-";

/** A receiver, as a sender knows it. */
export interface KnownReceiver {
  /** `HOST:PORT` where it was met. A note for people: what counts is its key. */
  readonly address: string;
  /** Fingerprints, the present key first. At least one. */
  readonly pins: readonly string[];
}

export interface KeyFile {
  readonly seed: Uint8Array;
  readonly receiver?: KnownReceiver | undefined;
  readonly upstream?: KnownReceiver | undefined;
  /** Fingerprint. */
  readonly spare?: string | undefined;
}

/** Throws FormatError. */
export function parseKeyFile(text: string): KeyFile {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  const [first = "", ...rest] = lines;
  const seed = first === first.toUpperCase() ? decodeBech32(seedPrefix, first) : undefined;
  if (seed?.length !== seedBytes) {
    throw new FormatError(
      first.startsWith("FRAMEPIPE-KEY-1") ? "its key is damaged" : "it does not begin with a key: FRAMEPIPE-KEY-1…",
    );
  }
  let [receiver, upstream]: (KnownReceiver | undefined)[] = [];
  let spare: string | undefined;
  for (const line of rest) {
    const [word = "", ...values] = line.split(/\s+/);
    if (word === "receiver" && receiver === undefined) receiver = parseKnown(word, values);
    else if (word === "upstream" && upstream === undefined) upstream = parseKnown(word, values);
    else if (word === "spare" && spare === undefined) [spare] = parsePins(word, values, 1);
    else throw new FormatError(`a line that has no place here, or stands there twice: ${shown(word)}`);
  }
  return { seed, receiver, upstream, spare };
}

export function formatKeyFile({ seed, receiver, upstream, spare }: KeyFile): string {
  const known = ({ address, pins }: KnownReceiver): string => [address, ...pins].join(" ");
  const lines = [
    encodeBech32(seedPrefix, seed).toUpperCase(),
    ...(receiver === undefined ? [] : [`receiver ${known(receiver)}`]),
    ...(upstream === undefined ? [] : [`upstream ${known(upstream)}`]),
    ...(spare === undefined ? [] : [`spare ${spare}`]),
  ];
  return `${lines.join("\n")}\n`;
}

function parseKnown(word: string, [address = "", ...pins]: readonly string[]): KnownReceiver {
  const parsed = parseAddress(address);
  if (parsed?.host === undefined) throw new FormatError(`no HOST:PORT after ${word}`);
  return { address: formatAddress(parsed.host, parsed.port), pins: parsePins(word, pins, pinsMax) };
}

function parsePins(word: string, pins: readonly string[], most: number): readonly string[] {
  if (pins.length === 0 || pins.length > most) {
    throw new FormatError(`${pins.length} public keys after ${word}, expected 1${most === 1 ? "" : ` to ${most}`}`);
  }
  if (pins.some((pin) => hashOfFingerprint(pin) === undefined)) {
    throw new FormatError(`a public key after ${word} is damaged`);
  }
  return pins;
}

/** Part of a key that was broken over two lines must not be shown. */
function shown(word: string): string {
  return /^[a-z]{1,16}$/.test(word) ? word : "a word";
}
