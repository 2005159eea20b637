/**
 * An invitation lets one new device in, once. What is printed holds 16 secret bytes, from which both ends make the same
 * Ed25519 key; what the receiver keeps holds only that key's public half, so whoever reads its disk cannot join.
 *
 *     FRAMEPIPE-INVITATION-1… HOST:PORT                        printed: version 1, the 16 bytes, the receiver's pins
 *     device=rig-7 invitation=9f…e2 until=2026-11-25T10:42:00Z kept in ID.invite: a device file's line and two words
 *
 * The file is the device file to come: joining renames it, and then those two words mean nothing.
 */
import { formatAddress, parseAddress } from "../address.ts";
import { assert } from "../errors.ts";
import { pinsMax } from "../limits.ts";
import { decodeBech32, encodeBech32 } from "./bech32.ts";
import { deviceNameProblem, deviceWords, encodeWord, parseDeviceFile } from "./device-file.ts";
import { FormatError } from "./format-error.ts";
import { fingerprintFromHash, hashOfFingerprint } from "./fingerprint.ts";
import { type KeyPair, keyPairFromSeed, rawPublicKey, sha256 } from "./key-pair.ts";

export const invitationSecretBytes = 16;
export const inviteFileEnd = ".invite";

const printedPrefix = "framepipe-invitation-";
const version = 1;
const hashBytes = 32;
const idBytes = 16;
const purpose = new TextEncoder().encode("framepipe invitation 1");

/** What the printed line says. */
export interface Invitation {
  readonly secret: Uint8Array;
  /** Where the receiver is to be found, `HOST:PORT`. */
  readonly address: string;
  /** The receiver's keys, the present one first. */
  readonly pins: readonly string[];
}

/** What the receiver keeps of it. */
export interface KeptInvitation {
  readonly device: string;
  readonly id: string;
  /** The moment from which it is no longer good, milliseconds since 1970 by the receiver's clock. */
  readonly untilMs: number;
}

export function invitationKey(secret: Uint8Array): KeyPair {
  assert(secret.length === invitationSecretBytes, "an invitation has 16 secret bytes");
  return keyPairFromSeed(sha256(purpose, secret));
}

/** The first 16 bytes of the SHA-256 of the invitation's public key (its 32 bytes), in hexadecimal. */
export function invitationIdOf(publicKey: Uint8Array): string {
  return sha256(publicKey).subarray(0, idBytes).toHex();
}

/** `secret`: 16 random bytes. Throws FormatError if the device cannot have this name. */
export function makeInvitation({
  secret,
  device,
  address,
  pins,
  untilMs,
}: Invitation & { readonly device: string; readonly untilMs: number }): {
  /** To print. Secret. */
  readonly line: string;
  readonly id: string;
  /** What to keep in the file `ID.invite`. */
  readonly file: string;
} {
  const problem = deviceNameProblem(device);
  if (problem !== undefined) throw new FormatError(problem);
  const publicKey = rawPublicKey(invitationKey(secret).spki);
  const bytes = [version, ...secret, ...pins.flatMap((pin) => [...(hashOfFingerprint(pin) ?? [])])];
  assert(bytes.length === 1 + invitationSecretBytes + pins.length * hashBytes, "pins are fingerprints");
  const until = new Date(untilMs).toISOString();
  return {
    line: `${encodeBech32(printedPrefix, Uint8Array.from(bytes)).toUpperCase()} ${address}`,
    id: invitationIdOf(publicKey),
    file: `device=${encodeWord(device)} invitation=${publicKey.toHex()} until=${until}\n`,
  };
}

/** Throws FormatError. */
export function parseInvitation(text: string): Invitation {
  const [code = "", place = "", ...rest] = text.trim().split(/\s+/);
  const address = parseAddress(place);
  const bytes = decodeBech32(printedPrefix, code);
  if (bytes === undefined || address?.host === undefined || rest.length > 0) {
    throw new FormatError("it is not one line FRAMEPIPE-INVITATION-1… HOST:PORT as --invite prints it, or is damaged");
  }
  if (bytes[0] !== version) {
    throw new FormatError(`it is of version ${bytes[0] ?? 0}, and this program knows version ${version}`);
  }
  const hashes = bytes.subarray(1 + invitationSecretBytes);
  const count = hashes.length / hashBytes;
  if (!Number.isInteger(count) || count < 1 || count > pinsMax) throw new FormatError("it is damaged");
  return {
    secret: bytes.slice(1, 1 + invitationSecretBytes),
    address: formatAddress(address.host, address.port),
    pins: Array.from({ length: count }, (_, index) =>
      fingerprintFromHash(hashes.subarray(index * hashBytes, (index + 1) * hashBytes)),
    ),
  };
}

/** Reads `ID.invite`. Throws FormatError, also for a line that would be no device file. */
export function parseInviteFile(text: string): KeptInvitation {
  const { device } = parseDeviceFile(text, "");
  const words = deviceWords(text);
  const publicKey = words.get("invitation") ?? "";
  if (!/^[\da-f]{64}$/.test(publicKey)) throw new FormatError("no invitation= with a public key");
  const until = words.get("until") ?? "";
  const untilMs = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z$/.test(until) ? Date.parse(until) : Number.NaN;
  if (Number.isNaN(untilMs)) throw new FormatError("no until= with a time such as 2026-11-25T10:42:00Z");
  return { device, id: invitationIdOf(Uint8Array.fromHex(publicKey)), untilMs };
}
