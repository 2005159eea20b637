/**
 * Bech32 (BIP 173): bytes as letters and digits that are easy to read out and to select, with a prefix that says what
 * they are and a checksum that finds typing errors. Texts here are longer than the 90 characters of BIP 173, for which
 * the checksum finds up to four errors for sure; beyond that it misses one in a thousand million.
 */

const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const generators = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3] as const;
const checksumLetters = 6;

/** `prefix` is in small letters. */
export function encodeBech32(prefix: string, bytes: Uint8Array): string {
  const values = regroup(bytes, 8, 5, true) ?? [];
  const check = remainder([...prefixValues(prefix), ...values, 0, 0, 0, 0, 0, 0]) ^ 1;
  const checksum = Array.from({ length: checksumLetters }, (_, index) => (check >>> (5 * (5 - index))) & 31);
  return `${prefix}1${[...values, ...checksum].map((value) => alphabet[value]).join("")}`;
}

/** All small or all capital letters. Undefined: not Bech32 with this prefix, or mistyped. */
export function decodeBech32(prefix: string, text: string): Uint8Array | undefined {
  const small = text.toLowerCase();
  if (text !== small && text !== text.toUpperCase()) return undefined;
  if (!small.startsWith(`${prefix}1`)) return undefined;
  const values = Array.from(small.slice(prefix.length + 1), (letter) => alphabet.indexOf(letter));
  if (values.length < checksumLetters || values.includes(-1)) return undefined;
  if (remainder([...prefixValues(prefix), ...values]) !== 1) return undefined;
  const bytes = regroup(values.slice(0, -checksumLetters), 5, 8, false);
  return bytes === undefined ? undefined : Uint8Array.from(bytes);
}

function prefixValues(prefix: string): number[] {
  const codes = [...prefix].map((letter) => letter.charCodeAt(0));
  return [...codes.map((code) => code >>> 5), 0, ...codes.map((code) => code & 31)];
}

/** Of the polynomial that the values are, divided by the one of BIP 173. */
function remainder(values: readonly number[]): number {
  let rest = 1;
  for (const value of values) {
    const top = rest >>> 25;
    rest = ((rest & 0x1ffffff) << 5) ^ value;
    for (const [bit, generator] of generators.entries()) {
      if (((top >>> bit) & 1) === 1) rest ^= generator;
    }
  }
  return rest >>> 0;
}

/** The same bits in groups of another size. Undefined: what is left over is more than padding with zeros. */
function regroup(groups: Iterable<number>, from: number, to: number, pad: boolean): number[] | undefined {
  const result: number[] = [];
  let bits = 0;
  let held = 0;
  for (const group of groups) {
    held = ((held << from) | group) & 0xfff;
    bits += from;
    while (bits >= to) {
      bits -= to;
      result.push((held >>> bits) & ((1 << to) - 1));
    }
  }
  const rest = held & ((1 << bits) - 1);
  if (pad) {
    if (bits > 0) result.push(rest << (to - bits));
    return result;
  }
  return bits >= from || rest !== 0 ? undefined : result;
}
