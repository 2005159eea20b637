/**
 * The certificate that carries a key through TLS: signed by itself, everything but the key the same in each. Nobody
 * reads it for more than its key: who may do what stands in the device files, and devices have no clock that dates
 * could be held against.
 *
 * The lines of DER here only write. What a peer sends is read by the runtime.
 */
import { createPublicKey, type KeyObject, sign, X509Certificate } from "node:crypto";
import type { Identity } from "../ports.ts";
import { type KeyPair, rawPublicKey, spkiBytes } from "./key-pair.ts";

const tag = {
  integer: 0x02,
  bits: 0x03,
  oid: 0x06,
  utf8: 0x0c,
  time: 0x18,
  sequence: 0x30,
  set: 0x31,
  version: 0xa0,
  octets: 0x04,
  extensions: 0xa3,
  dns: 0x82,
  ip: 0x87,
};

const ed25519 = der(tag.sequence, der(tag.oid, Uint8Array.fromHex("2b6570")));
const commonName = der(tag.oid, Uint8Array.fromHex("550403"));
const subject = der(tag.sequence, der(tag.set, der(tag.sequence, commonName, der(tag.utf8, ascii("framepipe")))));
const ecdsaSha256 = der(tag.sequence, der(tag.oid, Uint8Array.fromHex("2a8648ce3d040302")));
const subjectAltName = der(tag.oid, Uint8Array.fromHex("551d11"));
/** From before any clock that was never set to the end of what can be written. */
const validity = der(tag.sequence, der(tag.time, ascii("19700101000000Z")), der(tag.time, ascii("99991231235959Z")));
const version3 = der(tag.version, der(tag.integer, Uint8Array.of(2)));
const serial = der(tag.integer, Uint8Array.of(1));

export function identityOf(pair: KeyPair): Identity {
  const body = der(tag.sequence, version3, serial, ed25519, subject, validity, subject, pair.spki);
  const signature = sign(null, body, pair.privateKey);
  const certificate = der(tag.sequence, body, ed25519, der(tag.bits, Uint8Array.of(0), signature));
  return {
    fingerprint: pair.fingerprint,
    certificate: pem("CERTIFICATE", certificate),
    privateKey: pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/**
 * What a web server shows, which browsers look at more closely: with a key of P-256, and for these names. `serial`:
 * some 16 bytes that no other certificate has. PEM.
 */
export function webCertificate(privateKey: KeyObject, serialBytes: Uint8Array, names: readonly string[]): string {
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const alternatives = names.map((name) => {
    const ip = /^\d+(?:\.\d+){3}$/.test(name) ? name.split(".").map(Number) : undefined;
    return ip === undefined ? der(tag.dns, ascii(name)) : der(tag.ip, Uint8Array.from(ip));
  });
  const extension = der(tag.sequence, subjectAltName, der(tag.octets, der(tag.sequence, ...alternatives)));
  const body = der(
    tag.sequence,
    version3,
    // A leading 0: it is not negative, and no longer than it has to be.
    der(tag.integer, Uint8Array.of(0, (serialBytes[0] ?? 0) | 0x80, ...serialBytes.subarray(1))),
    ecdsaSha256,
    subject,
    validity,
    subject,
    spki,
    der(tag.extensions, der(tag.sequence, extension)),
  );
  const signature = sign("sha256", body, privateKey);
  return pem("CERTIFICATE", der(tag.sequence, body, ecdsaSha256, der(tag.bits, Uint8Array.of(0), signature)));
}

/**
 * The public key (SPKI) in a certificate that a peer sent, DER. Undefined: it is no certificate, or its key is none
 * that can prove anything. That the peer *holds* the key is for the handshake to say.
 */
export function publicKeyOfCertificate(certificate: Uint8Array): Uint8Array | undefined {
  try {
    const key = new X509Certificate(certificate).publicKey;
    if (key.asymmetricKeyType !== "ed25519") return undefined;
    const spki = Uint8Array.from(key.export({ type: "spki", format: "der" }));
    return spki.length === spkiBytes && !isSmallOrder(rawPublicKey(spki)) ? spki : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Keys for which a signature can be made without a secret: the points of order 1, 2, 4 and 8, in every encoding that
 * some library takes. The sign, the top bit, does not matter.
 */
const smallOrder: ReadonlySet<string> = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

export function isSmallOrder(publicKey: Uint8Array): boolean {
  const unsigned = Uint8Array.from(publicKey);
  const last = unsigned.length - 1;
  unsigned[last] = (unsigned[last] ?? 0) & 0x7f;
  return smallOrder.has(unsigned.toHex());
}

/** One value: its tag, its length, its parts. */
function der(kind: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = parts.reduce((sum, { length }) => sum + length, 0);
  const length = bytes < 0x80 ? [bytes] : bytes < 0x100 ? [0x81, bytes] : [0x82, bytes >>> 8, bytes & 0xff];
  return Uint8Array.from(Buffer.concat([Uint8Array.of(kind, ...length), ...parts]));
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function pem(label: string, bytes: Uint8Array): string {
  const lines = bytes.toBase64().match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
