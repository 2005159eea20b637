/**
 * The proof in HELLO that a device holds an invitation: whose invitation, and a signature with the invitation's key
 * over this one connection. It names both ends' keys, because what TLS exports does not depend on the client's
 * certificate: without them a proof could be carried over to another device's key.
 *
 *     u8 1 | public key of the invitation, 32 | signature, 64
 */
import { createPublicKey, sign, verify } from "node:crypto";
import { isSmallOrder } from "./certificate.ts";
import { invitationIdOf, invitationKey } from "./invitation.ts";
import { rawPublicKey, spkiOfRaw } from "./key-pair.ts";

/** How the handshake exports the bytes that the proof is bound to, with an empty context. */
export const joinExporterLabel = "EXPORTER-framepipe-join-1";
export const joinExporterBytes = 32;
export const joinProofBytes = 97;

const version = 1;
const purpose = new TextEncoder().encode("framepipe join 1\0");

/** The connection and its two ends. */
export interface JoinBinding {
  /** What TLS exported for `joinExporterLabel`: 32 bytes. */
  readonly exporter: Uint8Array;
  /** SHA-256 of the receiver's public key. */
  readonly receiverSpkiHash: Uint8Array;
  /** SHA-256 of the device's public key. */
  readonly deviceSpkiHash: Uint8Array;
}

/** `secret`: the 16 bytes of the invitation. */
export function signJoin({ secret, ...binding }: JoinBinding & { readonly secret: Uint8Array }): Uint8Array {
  const key = invitationKey(secret);
  const signature = sign(null, signedBytes(binding), key.privateKey);
  return Uint8Array.from([version, ...rawPublicKey(key.spki), ...signature]);
}

/** The id of the invitation that the proof holds for. Undefined: it is no proof, or of another connection. */
export function verifyJoin({ proof, ...binding }: JoinBinding & { readonly proof: Uint8Array }): string | undefined {
  if (proof.length !== joinProofBytes || proof[0] !== version) return undefined;
  const publicKey = proof.subarray(1, 33);
  if (isSmallOrder(publicKey)) return undefined;
  try {
    const key = createPublicKey({ key: Buffer.from(spkiOfRaw(publicKey)), format: "der", type: "spki" });
    if (!verify(null, signedBytes(binding), key, proof.subarray(33))) return undefined;
  } catch {
    return undefined;
  }
  return invitationIdOf(publicKey);
}

function signedBytes({ exporter, receiverSpkiHash, deviceSpkiHash }: JoinBinding): Uint8Array {
  return Uint8Array.from([...purpose, ...exporter, ...receiverSpkiHash, ...deviceSpkiHash]);
}
