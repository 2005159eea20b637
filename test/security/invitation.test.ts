import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { encodeBech32 } from "../../src/security/bech32.ts";
import { parseDeviceFile } from "../../src/security/device-file.ts";
import { FormatError } from "../../src/security/format-error.ts";
import {
  invitationIdOf,
  invitationKey,
  makeInvitation,
  parseInvitation,
  parseInviteFile,
} from "../../src/security/invitation.ts";
import { signJoin, verifyJoin } from "../../src/security/join-proof.ts";
import { rawPublicKey, spkiHash } from "../../src/security/key-pair.ts";
import { invitations, keyOne, keyZero } from "./vectors.ts";

const bytes = (hex: string): Uint8Array => Uint8Array.fromHex(hex);
const until = "until=2026-11-25T10:42:00Z";
const half = "5".repeat(64);

describe.each(invitations)("the invitation $id", (vector) => {
  const { device, address, pins, untilMs, id, line, file } = vector;
  const secret = bytes(vector.secret);
  const binding = {
    exporter: bytes(vector.exporter),
    receiverSpkiHash: spkiHash(bytes(vector.receiverSpki)),
    deviceSpkiHash: spkiHash(bytes(vector.deviceSpki)),
  };

  test("is printed, kept and read", () => {
    expect(rawPublicKey(invitationKey(secret).spki).toHex()).toBe(vector.publicKey);
    expect(invitationIdOf(bytes(vector.publicKey))).toBe(id);
    expect(makeInvitation({ secret, device, address, pins, untilMs })).toEqual({ line, id, file });
    expect(parseInvitation(`\n  ${line}\r\n`)).toEqual({ secret, address, pins });
    expect(parseInviteFile(file)).toEqual({ device, id, untilMs });
    expect(parseDeviceFile(file, keyZero.fingerprint)).toMatchObject({ device, fingerprint: keyZero.fingerprint });
  });

  test("is proven", () => {
    expect(signJoin({ secret, ...binding }).toHex()).toBe(vector.proof);
    expect(verifyJoin({ proof: bytes(vector.proof), ...binding })).toBe(id);
  });

  test("is proven on this connection, to this receiver, for this device, and by all of its bytes", () => {
    const proof = bytes(vector.proof);
    const changed = (of: Uint8Array, at: number): Uint8Array => of.with(at % of.length, (of[at % of.length] ?? 0) ^ 1);
    fc.assert(
      fc.property(fc.nat({ max: 1000 }), (at) => {
        expect(verifyJoin({ proof: changed(proof, at), ...binding })).toBeUndefined();
        for (const part of ["exporter", "receiverSpkiHash", "deviceSpkiHash"] as const) {
          expect(verifyJoin({ proof, ...binding, [part]: changed(binding[part], at) })).toBeUndefined();
        }
      }),
      { numRuns: 30 },
    );
    const { receiverSpkiHash, deviceSpkiHash, exporter } = binding;
    const turned = { exporter, receiverSpkiHash: deviceSpkiHash, deviceSpkiHash: receiverSpkiHash };
    expect(verifyJoin({ proof, ...turned })).toBeUndefined();
    expect(verifyJoin({ proof: proof.subarray(0, 96), ...binding })).toBeUndefined();
    expect(verifyJoin({ proof: Uint8Array.of(...proof, 0), ...binding })).toBeUndefined();
    expect(verifyJoin({ proof: new Uint8Array(), ...binding })).toBeUndefined();
  });

  test("is damaged by any other letter", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: line.indexOf(" ") - 1 }),
        fc.constantFrom(..."QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
        (at, letter) => {
          fc.pre(line[at] !== letter);
          expect(() => parseInvitation(line.slice(0, at) + letter + line.slice(at + 1))).toThrow(FormatError);
        },
      ),
    );
  });
});

test("a key that needs no secret proves nothing", () => {
  // The neutral point as key: R and s of zero would be a signature of anything.
  const proof = Uint8Array.of(1, 1, ...new Uint8Array(31), 1, ...new Uint8Array(63));
  const hash = new Uint8Array(32);
  expect(verifyJoin({ proof, exporter: hash, receiverSpkiHash: hash, deviceSpkiHash: hash })).toBeUndefined();
});

test.each([
  ["", "not one line"],
  ["recorder:8000", "not one line"],
  [(invitations[0]?.line ?? "").split(" ")[0] ?? "", "not one line"],
  [`${invitations[0]?.line} more`, "not one line"],
  [(invitations[0]?.line ?? "").replace("recorder:8000", "8000"), "not one line"],
  [`${keyOne.line} recorder:8000`, "not one line"],
])("%j is no invitation", (text, problem) => {
  expect(() => parseInvitation(text)).toThrow(problem);
});

test.each<[string, number[], string]>([
  ["none of the receiver's keys", [1, ...new Uint8Array(16)], "damaged"],
  ["part of a key", [1, ...new Uint8Array(16 + 33)], "damaged"],
  ["five keys", [1, ...new Uint8Array(16 + 5 * 32)], "damaged"],
  ["a later version", [2, ...new Uint8Array(16 + 32)], "of version 2, and this program knows version 1"],
  ["nothing", [], "of version 0"],
])("an invitation with %s is refused", (_, content, problem) => {
  const code = encodeBech32("framepipe-invitation-", Uint8Array.from(content)).toUpperCase();
  expect(() => parseInvitation(`${code} recorder:8000`)).toThrow(problem);
  expect(() => parseInvitation(`${code} recorder:8000`)).toThrow(FormatError);
});

test.each([
  [`device=rig-7 ${until}`, "no invitation="],
  [`device=rig-7 invitation=${half}`, "no until="],
  [`device=rig-7 invitation=${half} until=tomorrow`, "no until="],
  [`device=rig-7 invitation=${half} until=2026-13-25T10:42:00Z`, "no until="],
  [`device=rig-7 invitation=${half.slice(1)} ${until}`, "no invitation="],
  [`invitation=${half} ${until}`, "no device="],
  [`device=../rig invitation=${half} ${until}`, "segment in the device's name"],
])("%j is kept for nobody", (text, problem) => {
  expect(() => parseInviteFile(text)).toThrow(problem);
});

test("nobody is invited under a name that no device can have", () => {
  const about = { secret: new Uint8Array(16), address: "recorder:8000", pins: [keyOne.fingerprint], untilMs: 0 };
  expect(() => makeInvitation({ ...about, device: "a/b" })).toThrow("one segment");
  expect(() => makeInvitation({ ...about, device: ".a" })).toThrow("hidden segment");
  expect(parseInviteFile(makeInvitation({ ...about, device: "a, =%#*é" }).file).device).toBe("a, =%#*é");
});
