/**
 * The key of one end, and what others know of it. An Ed25519 key is made from a seed of 32 bytes; its public half in
 * the form that certificates carry (SPKI, 44 bytes) has a *fingerprint*: `fp1…`, the Bech32 of its SHA-256.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { assert } from "../errors.ts";
import { fingerprintFromHash } from "./fingerprint.ts";

export const seedBytes = 32;
/** Of a public key as certificates carry it. */
export const spkiBytes = 44;

/** What stands before the 32 bytes of a seed (PKCS 8) and of a public key (SPKI), both RFC 8410. */
const seedHead = Uint8Array.fromHex("302e020100300506032b657004220420");
const publicKeyHead = Uint8Array.fromHex("302a300506032b6570032100");

export interface KeyPair {
  readonly seed: Uint8Array;
  readonly privateKey: KeyObject;
  /** The public half: 44 bytes. */
  readonly spki: Uint8Array;
  readonly fingerprint: string;
}

export function keyPairFromSeed(seed: Uint8Array): KeyPair {
  assert(seed.length === seedBytes, "a seed has 32 bytes");
  const pkcs8 = Buffer.concat([seedHead, seed]);
  const privateKey = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  const spki = Uint8Array.from(createPublicKey(privateKey).export({ type: "spki", format: "der" }));
  return { seed, privateKey, spki, fingerprint: fingerprintOf(spki) };
}

/** SHA-256 of a public key in its SPKI form. */
export function spkiHash(spki: Uint8Array): Uint8Array {
  return sha256(spki);
}

export function fingerprintOf(spki: Uint8Array): string {
  return fingerprintFromHash(spkiHash(spki));
}

/** The 32 bytes of a public key within its SPKI, which is this and a fixed head. */
export function rawPublicKey(spki: Uint8Array): Uint8Array {
  return spki.subarray(publicKeyHead.length);
}

export function spkiOfRaw(publicKey: Uint8Array): Uint8Array {
  return Uint8Array.from([...publicKeyHead, ...publicKey]);
}

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return Uint8Array.from(hash.digest());
}
