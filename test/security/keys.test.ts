import { describe, expect, test } from "bun:test";
import { createPublicKey, X509Certificate } from "node:crypto";
import * as fc from "fast-check";
import { decodeBech32, encodeBech32 } from "../../src/security/bech32.ts";
import { identityOf, isSmallOrder, publicKeyOfCertificate } from "../../src/security/certificate.ts";
import { FormatError } from "../../src/security/format-error.ts";
import { formatKeyFile, parseKeyFile } from "../../src/security/key-file.ts";
import { hashOfFingerprint } from "../../src/security/fingerprint.ts";
import { fingerprintOf, keyPairFromSeed, spkiHash } from "../../src/security/key-pair.ts";
import { advancePins } from "../../src/security/pins.ts";
import { keyLast, keyOne, keys, keyTwo, keyZero } from "./vectors.ts";

describe("Bech32", () => {
  // The valid and invalid texts of BIP 173 whose data are whole bytes, or not.
  test("takes and refuses what BIP 173 does", () => {
    expect(decodeBech32("a", "A12UEL5L")).toEqual(new Uint8Array());
    expect(decodeBech32("a", "a12uel5l")).toEqual(new Uint8Array());
    expect(encodeBech32("a", new Uint8Array())).toBe("a12uel5l");
    // Mixed letters, another prefix, a wrong checksum, a letter that is none, too short.
    for (const text of ["A12uel5l", "b12uel5l", "a12uel5m", "a1buel5l", "a1", "a", "", "1qzzfhee"]) {
      expect(decodeBech32("a", text)).toBeUndefined();
    }
    // All 32 values: 160 bits, which are 20 bytes.
    const all = "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw";
    const bytes = decodeBech32("abcdef", all);
    expect(bytes?.toHex()).toBe("00443214c74254b635cf84653a56d7c675be77df");
    expect(encodeBech32("abcdef", bytes ?? new Uint8Array())).toBe(all);
    // Padding that is not zero: one value of 5 bits that are no byte, and bits left over that are set.
    expect(decodeBech32("a", "a1lqfn3a")).toBeUndefined();
    expect(decodeBech32("?", "?1ezyfcl")).toEqual(new Uint8Array());
  });

  test("gives back any bytes, and finds every wrong letter", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.nat(), fc.nat({ max: 30 }), (bytes, position, step) => {
        const text = encodeBech32("fp", bytes);
        expect(decodeBech32("fp", text)).toEqual(bytes);
        expect(decodeBech32("fp", text.toUpperCase())).toEqual(bytes);
        const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
        const at = 3 + (position % (text.length - 3));
        const wrong = alphabet[(alphabet.indexOf(text.charAt(at)) + 1 + step) % 32] ?? "";
        expect(decodeBech32("fp", text.slice(0, at) + wrong + text.slice(at + 1))).toBeUndefined();
      }),
    );
  });
});

test.each(keys)("the key $fingerprint", ({ seed, spki, line, fingerprint }) => {
  const pair = keyPairFromSeed(Uint8Array.fromHex(seed));
  expect(pair.spki.toHex()).toBe(spki);
  expect(pair.fingerprint).toBe(fingerprint);
  expect(fingerprintOf(pair.spki)).toBe(fingerprint);
  expect(hashOfFingerprint(fingerprint)).toEqual(spkiHash(pair.spki));
  expect(hashOfFingerprint(fingerprint.toUpperCase())).toBeUndefined();
  expect(formatKeyFile({ seed: pair.seed })).toBe(`${line}\n`);
  expect(parseKeyFile(`${line}\n`).seed.toHex()).toBe(seed);
});

test("a certificate carries the key, and is read by others", () => {
  const pair = keyPairFromSeed(Uint8Array.fromHex(keyTwo.seed));
  const { certificate, privateKey, fingerprint } = identityOf(pair);
  expect(fingerprint).toBe(keyTwo.fingerprint);
  expect(createPublicKey(privateKey).export({ type: "spki", format: "der" }).toHex()).toBe(keyTwo.spki);
  const read = new X509Certificate(certificate);
  expect(read.subject).toBe("CN=framepipe");
  expect(read.verify(read.publicKey)).toBe(true);
  expect([read.validFromDate.getTime(), read.validToDate.getTime()]).toEqual([0, Date.parse("9999-12-31T23:59:59Z")]);
  expect(publicKeyOfCertificate(new Uint8Array(read.raw))).toEqual(pair.spki);
});

test.skipIf(Bun.which("openssl") === null)("openssl agrees with the certificate", async () => {
  const { certificate } = identityOf(keyPairFromSeed(Uint8Array.fromHex(keyOne.seed)));
  const openssl = Bun.spawn(["openssl", "x509", "-noout", "-pubkey", "-subject"], {
    stdin: new TextEncoder().encode(certificate),
    stderr: "pipe",
  });
  expect(await openssl.stdout.text()).toContain(Uint8Array.fromHex(keyOne.spki).toBase64());
  expect(await openssl.exited).toBe(0);
});

test("keys that prove nothing are none", () => {
  // All points of small order, with either sign: each is the y of a point with 8 P = 0.
  expect(isSmallOrder(new Uint8Array(32))).toBe(true);
  expect(isSmallOrder(Uint8Array.of(1, ...new Uint8Array(30), 0x80))).toBe(true);
  expect(isSmallOrder(Uint8Array.fromHex(keyZero.spki).subarray(12))).toBe(false);
  // In a certificate that is sound but for its key; and no certificate at all.
  const pair = keyPairFromSeed(Uint8Array.fromHex(keyTwo.seed));
  const raw = Uint8Array.from(new X509Certificate(identityOf(pair).certificate).raw);
  expect(publicKeyOfCertificate(raw)).toEqual(pair.spki);
  const at = Buffer.from(raw).indexOf(pair.spki) + 12;
  raw.fill(0, at, at + 32);
  expect(new X509Certificate(raw).publicKey.asymmetricKeyType).toBe("ed25519");
  expect(publicKeyOfCertificate(raw)).toBeUndefined();
  expect(publicKeyOfCertificate(new Uint8Array([0x30, 0x03, 0x02, 0x01, 0x00]))).toBeUndefined();
  expect(publicKeyOfCertificate(new Uint8Array())).toBeUndefined();
});

describe("a key file", () => {
  const seed = Uint8Array.fromHex(keyZero.seed);
  const pins = [keyOne.fingerprint, keyTwo.fingerprint];
  const receiver = { address: "recorder:8000", pins };

  test("says the key, and whom it knows", () => {
    const text = `${keyZero.line}\nreceiver recorder:8000 ${pins.join(" ")}\n`;
    expect(formatKeyFile({ seed, receiver })).toBe(text);
    expect(parseKeyFile(text)).toEqual({ seed, receiver });
    expect(parseKeyFile(`# a remark\n\n  ${text.replaceAll("\n", "\r\n")}`)).toEqual({ seed, receiver });
    const gateway = { seed, upstream: { address: "[fd00::1]:9", pins: pins.slice(1) }, spare: keyLast.fingerprint };
    expect(parseKeyFile(formatKeyFile(gateway))).toEqual(gateway);
  });

  test.each([
    ["", "does not begin with a key"],
    ["\n\n", "does not begin with a key"],
    ["-----BEGIN PRIVATE KEY-----", "does not begin with a key"],
    [keyZero.line.toLowerCase(), "does not begin with a key"],
    [keyZero.line.slice(0, -1), "its key is damaged"],
    [`${keyZero.line} x`, "its key is damaged"],
    [`${keyZero.line}\nreceiver recorder ${pins[0]}`, "no HOST:PORT after receiver"],
    [`${keyZero.line}\nreceiver 8000 ${pins[0]}`, "no HOST:PORT after receiver"],
    [`${keyZero.line}\nreceiver recorder:8000`, "0 public keys after receiver, expected 1 to 4"],
    [`${keyZero.line}\nreceiver recorder:8000 ${pins[0]}x`, "a public key after receiver is damaged"],
    [`${keyZero.line}\nspare ${pins[0]}\nspare ${pins[1]}`, "stands there twice: spare"],
    [`${keyZero.line}\nspare ${pins[0]} ${pins[1]}`, "2 public keys after spare, expected 1"],
    [`${keyZero.line}\nowner me`, "a line that has no place here, or stands there twice: owner"],
  ])("that is %j says what is wrong", (text, problem) => {
    expect(() => parseKeyFile(text)).toThrow(problem);
    expect(() => parseKeyFile(text)).toThrow(FormatError);
  });

  test("never shows its key in an error", () => {
    fc.assert(
      fc.property(fc.nat({ max: keyTwo.line.length }), fc.constantFrom("\n", " ", "-", "é"), (at, mark) => {
        const text = `${keyTwo.line.slice(0, at)}${mark}${keyTwo.line.slice(at)}\n`;
        let message = "";
        try {
          parseKeyFile(text);
        } catch (error) {
          message = String(error);
        }
        for (let from = 15; from + 6 <= keyTwo.line.length; from += 1) {
          expect(message).not.toContain(keyTwo.line.slice(from, from + 6));
        }
      }),
    );
  });
});

describe("pins", () => {
  const [a, b, c, d] = ["A", "B", "C", "D"] as const;
  test.each([
    ["the present key cannot name another", [a, b], a, [a, d], [a, b]],
    ["the same with what is known already", [a, b], a, [a, b], [a, b]],
    ["the spare replaces what came before it and names the next", [a, b], b, [b, c], [b, c]],
    ["a single pin names the next", [a], a, [a, b], [a, b]],
    ["a single pin that names none", [a], a, [a], [a]],
    ["a receiver that does not name itself names no other", [a], a, [b, c], [a]],
    ["only one more, the next", [a], a, [a, b, c], [a, b]],
    ["a middle one drops those before it", [a, b, c], b, [b, d], [b, c]],
    ["the same key again is none", [a], a, [a, a], [a]],
  ])("%s", (_, known, proven, announced, after) => {
    expect(advancePins(known, proven, announced)).toEqual(after);
  });
});
