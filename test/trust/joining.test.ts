/** Invitations, from --invite to the device file, and a sender's side of it. */
import { expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { TrustEvent } from "../../src/events.ts";
import type { SenderTrust } from "../../src/ports.ts";
import { deviceFileName } from "../../src/security/device-file.ts";
import { invitationIdOf, invitationKey, parseInvitation } from "../../src/security/invitation.ts";
import { formatKeyFile } from "../../src/security/key-file.ts";
import { rawPublicKey } from "../../src/security/key-pair.ts";
import { readKey } from "../../src/trust/key-files.ts";
import { openSenderTrust } from "../../src/trust/sender-trust.ts";
import { keyLast, keyOne, keyTwo, keyZero } from "../security/vectors.ts";
import { TrustPlace } from "./folder.ts";

const [one, two] = [keyZero.fingerprint, keyOne.fingerprint];
const used = { refused: "the invitation is used or has expired" };

test("an invitation lets one key in, once, and tells who reads the folder nothing", async () => {
  using place = new TrustPlace();
  const trust = place.open();
  const { line } = place.invite("rig-7");
  expect(parseInvitation(line)).toMatchObject({ address: "recorder:8000", pins: [...trust.pins] });
  const [name = ""] = readdirSync(place.devices);
  const kept = readFileSync(join(place.devices, name), "utf8");
  expect(kept).not.toContain(parseInvitation(line).secret.toHex());
  expect(statSync(place.devices).mode & 0o777).toBe(0o700);
  expect(statSync(join(place.devices, name)).mode & 0o777).toBe(0o600);

  expect(await trust.join(place.proof(trust, line, one))).toMatchObject({ device: "rig-7" });
  expect(readdirSync(place.devices)).toEqual([deviceFileName("rig-7", one)]);
  expect(place.events.at(-1)).toEqual({ event: "granted", device: "rig-7", key: one });
  expect(trust.grantOf(one)?.device).toBe("rig-7");
  // Another key comes too late; the same one did not hear of it and asks again.
  expect(await trust.join(place.proof(trust, line, two))).toEqual(used);
  expect(await trust.join(place.proof(trust, line, one))).toMatchObject({ device: "rig-7" });
  // And so it is after a new start.
  const again = place.open();
  expect(await again.join(place.proof(again, line, one))).toMatchObject({ device: "rig-7" });
  expect(await again.join(place.proof(again, line, two))).toEqual(used);
  expect(readdirSync(place.devices)).toEqual([deviceFileName("rig-7", one)]);
});

test("of many that come at once, at two receivers with the same folder, one joins", async () => {
  using place = new TrustPlace();
  const [here, there] = [place.open(), place.open()];
  for (let round = 0; round < 20; round += 1) {
    const { line } = place.invite(`rig-${round}`);
    const keys = [keyZero, keyOne, keyTwo, keyLast].map(({ fingerprint }) => fingerprint);
    const answers = await Promise.all(
      keys.map((key, index) => {
        const trust = index % 2 === 0 ? here : there;
        return trust.join(place.proof(trust, line, key));
      }),
    );
    const winners = answers.filter(({ refused }) => refused === undefined);
    expect(winners).toHaveLength(1);
    const files = readdirSync(place.devices);
    expect(files).toHaveLength(1);
    for (const file of files) rmSync(join(place.devices, file));
    place.clock.pass(3_000);
  }
});

test("an invitation is good until its time, by the receiver's clock", async () => {
  using place = new TrustPlace();
  const trust = place.open();
  const first = place.invite("rig-7", 60_000).line;
  place.clock.pass(59_999);
  expect(await trust.join(place.proof(trust, first, one))).toMatchObject({ device: "rig-7" });
  const second = place.invite("rig-8", 60_000).line;
  place.clock.pass(60_000);
  expect(await trust.join(place.proof(trust, second, two))).toEqual(used);
  expect(trust.grantOf(two)).toBeUndefined();
  // The next one that is made clears up.
  place.invite("rig-9");
  expect(readdirSync(place.devices).filter((name) => name.endsWith(".invite"))).toHaveLength(1);
});

test("a device that is in and was invited again uses the invitation up", async () => {
  using place = new TrustPlace();
  const trust = place.open();
  place.grant("rig-7", one);
  const { line, staysValid } = place.invite("rig-7");
  expect(staysValid).toEqual([deviceFileName("rig-7", one)]);
  expect(place.invite("rig-7").staysValid).toHaveLength(2);
  const other = place.invite("rig-8");
  place.clock.pass(1_000);
  expect(await trust.join(place.proof(trust, line, one))).toMatchObject({ device: "rig-7" });
  expect(await trust.join(place.proof(trust, line, two))).toEqual(used);
  // Another device's invitation is left for that device, which both ends hear of.
  const remark = "this key is rig-7 already, so the invitation for rig-8 is left";
  expect(await trust.join(place.proof(trust, other.line, one))).toMatchObject({ device: "rig-7", remark });
  expect(place.events.at(-1)).toEqual({ event: "invitation-left", device: "rig-7", invited: "rig-8" });
  expect(await trust.join(place.proof(trust, other.line, two))).toMatchObject({ device: "rig-8" });
});

test("while it is not known who may send nobody joins, and the invitation stays", async () => {
  using place = new TrustPlace();
  const trust = place.open();
  const { line } = place.invite("rig-7");
  const revoked = join(place.devices, "revoked");
  mkdirSync(revoked);
  place.clock.pass(2_000);
  expect(trust.trouble).toBeDefined();
  expect((await trust.join(place.proof(trust, line, one))).refused).toContain("cannot be taken up now");
  rmSync(revoked, { recursive: true });
  place.clock.pass(2_000);
  expect(await trust.join(place.proof(trust, line, one))).toMatchObject({ device: "rig-7" });
});

test("a revoked key does not join, and does not use the invitation up", async () => {
  using place = new TrustPlace();
  const trust = place.open();
  const { line } = place.invite("rig-7");
  writeFileSync(join(place.devices, "revoked"), `${one}\n`);
  place.clock.pass(1_000);
  expect(await trust.join(place.proof(trust, line, one))).toEqual({ refused: `the key ${one} is revoked` });
  expect(await trust.join(place.proof(trust, line, two))).toMatchObject({ device: "rig-7" });
});

test("a device file that somebody wrote is never replaced", async () => {
  using place = new TrustPlace();
  const trust = place.open();
  const { line } = place.invite("rig-7");
  const path = place.grant("rig-7", one, "source=visible");
  const before = readFileSync(path, "utf8");
  const answer = await trust.join(place.proof(trust, line, one));
  expect(answer.refused).toContain("has a device file that does not count");
  expect(readFileSync(path, "utf8")).toBe(before);
});

test("what a person adds to an invitation holds for the device", async () => {
  using place = new TrustPlace();
  const trust = place.open();
  const { line } = place.invite("rig-7");
  const [name = ""] = readdirSync(place.devices);
  const path = join(place.devices, name);
  writeFileSync(path, readFileSync(path, "utf8").replace("\n", " sources=visible\n"));
  expect(await trust.join(place.proof(trust, line, one))).toMatchObject({ grant: { sources: ["visible"] } });
});

test("an invitation that was tampered with lets nobody in", async () => {
  using place = new TrustPlace();
  const trust = place.open();
  const { line } = place.invite("rig-7");
  const [name = ""] = readdirSync(place.devices);
  const path = join(place.devices, name);
  const before = readFileSync(path, "utf8");
  // The public half of another one, under this one's name.
  const stranger = rawPublicKey(invitationKey(new Uint8Array(16)).spki);
  writeFileSync(path, before.replace(/invitation=\w+/, `invitation=${stranger.toHex()}`));
  expect((await trust.join(place.proof(trust, line, one))).refused).toContain("another's");
  appendFileSync(path, "device=rig-8\n");
  expect((await trust.join(place.proof(trust, line, one))).refused).toContain("damaged");
  writeFileSync(path, before);
  expect(invitationIdOf(rawPublicKey(invitationKey(parseInvitation(line).secret).spki))).toBe(name.split(".")[0] ?? "");
  const proof = place.proof(trust, line, one);
  expect(await trust.join({ ...proof, fingerprint: two })).toEqual({ refused: "the invitation is not proven" });
  expect(await trust.join({ ...proof, exporter: new Uint8Array(32) })).toEqual({
    refused: "the invitation is not proven",
  });
  expect(await trust.join(proof)).toMatchObject({ device: "rig-7" });
});

test("nobody is invited without a receiver's key, or under a name that none can have", () => {
  using place = new TrustPlace();
  expect(() => place.invite("rig-7")).toThrow("there is no key");
  expect(existsSync(place.keyPath)).toBe(false);
  writeFileSync(place.keyPath, `${keyZero.line}\n`, { mode: 0o600 });
  expect(() => place.invite("rig-7")).toThrow("not the key of a receiver");
  place.open();
  expect(() => place.invite("a/b")).toThrow("one segment");
  expect(readdirSync(place.devices)).toEqual([]);
});

test.skipIf(process.getuid?.() !== 0)("an invitation belongs to whom the folder belongs to", () => {
  using place = new TrustPlace();
  place.open();
  place.grant("rig-1", one);
  Bun.spawnSync(["chown", "-R", "12345:12346", place.devices]);
  place.invite("rig-7");
  const name = readdirSync(place.devices).find((file) => file.endsWith(".invite")) ?? "";
  const { uid, gid, mode } = statSync(join(place.devices, name));
  expect([uid, gid, mode & 0o777]).toEqual([12345, 12346, 0o600]);
});

/** A sender's trust with its key file in `place`. */
function sender(place: TrustPlace, given: { join?: string; peer?: string }): SenderTrust & { events: TrustEvent[] } {
  const events: TrustEvent[] = [];
  const trust = openSenderTrust({
    keyPath: place.path("rig-7.key"),
    address: "recorder:8000",
    role: "receiver",
    join: given.join,
    peer: given.peer,
    onEvent: (event) => events.push(event),
  });
  return Object.assign(trust, { events });
}

const receiverOf = (place: TrustPlace) => readKey(place.path("rig-7.key"))?.file.receiver;

test("a sender joins, knows its receiver from then on, and passes the invitation over", async () => {
  using place = new TrustPlace();
  const trust = place.open();
  const invitation = place.path("invitation");
  writeFileSync(invitation, `${place.invite("rig-7").line}\n`);
  const first = sender(place, { join: invitation });
  expect(first.events).toMatchObject([{ event: "key-made", key: first.identity.fingerprint }]);
  expect(first.pins).toEqual(trust.pins);
  // Durable before anybody hears of it; and the receiver is not known before it has answered.
  expect(readKey(place.path("rig-7.key"))?.pair.fingerprint).toBe(first.identity.fingerprint);
  expect(receiverOf(place)).toBeUndefined();

  const exporter = new Uint8Array(32).fill(5);
  const { fingerprint } = first.identity;
  const proof = first.joinProof(exporter, trust.identity.fingerprint);
  expect(await trust.join({ proof, exporter, fingerprint })).toMatchObject({ device: "rig-7" });
  first.pinned(trust.identity.fingerprint, trust.pins);
  expect(receiverOf(place)).toEqual({ address: "recorder:8000", pins: trust.pins });
  expect(first.joinProof(exporter, trust.identity.fingerprint)).toHaveLength(0);

  for (const passedOver of [place.path("gone"), "-", place.keyPath]) {
    const later = sender(place, { join: passedOver });
    expect(later.events).toMatchObject([{ event: "invitation-passed-over" }]);
    expect(later.pins).toEqual(trust.pins);
    expect(later.joinProof(exporter, trust.identity.fingerprint)).toHaveLength(0);
  }
  // Invited anew by the same receiver, because its grant was removed: that one counts.
  rmSync(join(place.devices, deviceFileName("rig-7", fingerprint)));
  place.clock.pass(3_000);
  writeFileSync(invitation, place.invite("rig-7").line);
  const again = sender(place, { join: invitation });
  expect(
    await trust.join({ proof: again.joinProof(exporter, trust.identity.fingerprint), exporter, fingerprint }),
  ).toMatchObject({ device: "rig-7" });
});

test("a sender is not led to another receiver", () => {
  using place = new TrustPlace();
  using foreign = new TrustPlace();
  place.open();
  const other = foreign.open();
  const first = sender(place, { peer: one });
  first.pinned(one, [one]);
  const invitation = place.path("invitation");
  const { line } = foreign.invite("rig-7");
  writeFileSync(invitation, line.replace("recorder:8000", "elsewhere:8000"));
  expect(() => sender(place, { join: invitation })).toThrow("of another receiver");
  // At the same place it is what a service still has in its command after the receiver has changed its key twice.
  writeFileSync(invitation, line);
  const later = sender(place, { join: invitation });
  expect(later.events).toMatchObject([{ event: "invitation-passed-over" }]);
  expect(later.pins).toEqual([one]);
  expect(() => sender(place, { peer: other.identity.fingerprint })).toThrow("none of the keys");
  expect(sender(place, { peer: one }).pins).toEqual([one]);
  expect(receiverOf(place)?.pins).toEqual([one]);
});

test("a sender that knows no receiver makes no key", () => {
  using place = new TrustPlace();
  expect(() => sender(place, {})).toThrow("knows no receiver");
  expect(() => sender(place, { join: place.path("gone") })).toThrow("it is not there");
  writeFileSync(place.path("empty"), "");
  expect(() => sender(place, { join: place.path("empty") })).toThrow("it is not one line");
  expect(readdirSync(place.root)).toEqual(["empty"]);
});

test("a change of the receiver's key is kept, and only the last key may name the next", () => {
  using place = new TrustPlace();
  const [a, b, c] = [keyZero.fingerprint, keyOne.fingerprint, keyTwo.fingerprint];
  sender(place, { peer: a }).pinned(a, [a, b]);
  expect(receiverOf(place)?.pins).toEqual([a, b]);
  // A thief of the first key.
  sender(place, {}).pinned(a, [a, c]);
  expect(receiverOf(place)?.pins).toEqual([a, b]);
  const trust = sender(place, {});
  trust.pinned(b, [b, c]);
  expect([trust.pins, receiverOf(place)?.pins]).toEqual([
    [b, c],
    [b, c],
  ]);
});

test("a key file that cannot be written does not stop a run, and that is said", () => {
  using place = new TrustPlace();
  const trust = sender(place, { peer: one });
  rmSync(place.path("rig-7.key"));
  trust.pinned(one, [one, two]);
  expect(trust.events.at(-1)?.event).toBe("pins-not-kept");
  expect(trust.pins).toEqual([one, two]);
});

test.skipIf(process.platform === "win32")("a key that others can read is not used", () => {
  using place = new TrustPlace();
  const path = place.path("rig-7.key");
  writeFileSync(path, formatKeyFile({ seed: Uint8Array.fromHex(keyZero.seed) }), { mode: 0o600 });
  chmodSync(path, 0o644);
  expect(() => sender(place, { peer: two })).toThrow("other users can read the key");
});
