/**
 * The text of a public key: `fp1…`, the Bech32 of the SHA-256 of its SPKI. Apart from the keys themselves, so that the
 * command line can check one without loading cryptography.
 */
import { decodeBech32, encodeBech32 } from "./bech32.ts";

const prefix = "fp";
const hashBytes = 32;

export function fingerprintFromHash(hash: Uint8Array): string {
  return encodeBech32(prefix, hash);
}

/** The SHA-256 that a fingerprint stands for. Undefined: it is none, or mistyped. Only small letters are taken. */
export function hashOfFingerprint(text: string): Uint8Array | undefined {
  const hash = text === text.toLowerCase() ? decodeBech32(prefix, text) : undefined;
  return hash?.length === hashBytes ? hash : undefined;
}
