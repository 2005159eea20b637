/** The devices folder as people change it: what counts, from when on, and what is said. */
import { expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { deviceFileName } from "../../src/security/device-file.ts";
import { fingerprintFromHash } from "../../src/security/fingerprint.ts";
import { agreeMs, lookMs } from "../../src/trust/devices-folder.ts";
import { keyOne, keyTwo, keyZero } from "../security/vectors.ts";
import { TrustPlace } from "./folder.ts";

const [one, two, three] = [keyZero.fingerprint, keyOne.fingerprint, keyTwo.fingerprint] as const;
/** To root every file can be read. */
const isRoot = process.getuid?.() === 0;
const isWindows = process.platform === "win32";

test("nobody is granted anything at first, and that is said", () => {
  using place = new TrustPlace();
  const trust = place.open();
  expect(place.events.map(({ event }) => event)).toEqual(["key-made", "spare-made", "no-devices"]);
  expect(trust.grantOf(one)).toBeUndefined();
  expect(trust.admit(one, "rig-7")).toEqual({ refused: `the key ${one} is not known here` });
});

test("what is there at the start counts at once", () => {
  using place = new TrustPlace();
  place.grant("rig-7", one);
  const trust = place.open();
  expect(trust.grantOf(one)?.device).toBe("rig-7");
  expect(place.events.map(({ event }) => event)).toEqual(["key-made", "spare-made"]);
});

test.skipIf(process.platform !== "linux")("a file whose name is no text is spoken of, and grants nothing", () => {
  using place = new TrustPlace();
  const path = place.grant("rig-7", one);
  renameSync(path, Buffer.from(path.replace("rig-7", "caf\xe9"), "latin1"));
  const trust = place.open();
  place.clock.pass(1_000);
  const said = place.events.filter(({ event }) => event === "bad-device-file");
  expect(said).toMatchObject([{ problem: "its name is not valid UTF-8" }]);
  expect(trust.grantOf(one)).toBeUndefined();
});

test("a new file counts for whoever comes just then", () => {
  using place = new TrustPlace();
  const trust = place.open();
  place.clock.pass(300);
  place.grant("rig-7", one);
  expect(trust.admit(one, "").refused).toBeUndefined();
  expect(place.events.at(-1)).toEqual({ event: "granted", device: "rig-7", key: one });
  expect(place.lost).toEqual([]);
});

test("also right after a look that did not find it", () => {
  using place = new TrustPlace();
  const trust = place.open();
  place.clock.pass(300);
  expect(trust.grantOf(one)).toBeUndefined();
  place.grant("rig-8", two);
  expect(trust.grantOf(one)).toBeUndefined();
  place.grant("rig-7", one);
  expect(trust.grantOf(one)).toBeDefined();
});

test("a removed file ends its connections within a second, also where the system tells nothing", () => {
  using place = new TrustPlace();
  const path = place.grant("rig-7", one);
  place.grant("rig-8", two);
  const trust = place.open();
  place.clock.pass(5_700);
  rmSync(path);
  place.clock.pass(0);
  expect(trust.grantOf(one)).toBeDefined();
  place.clock.pass(lookMs + agreeMs);
  expect(trust.grantOf(one)).toBeUndefined();
  expect(place.lost).toEqual([one]);
  expect(place.events.at(-1)).toEqual({ event: "withdrawn", device: "rig-7", key: one });
  expect(trust.grantOf(two)).toBeDefined();
});

test("where the system tells of it, sooner", () => {
  using place = new TrustPlace();
  const path = place.grant("rig-7", one);
  place.open();
  place.clock.pass(100);
  rmSync(path);
  place.tell();
  place.tell();
  place.clock.pass(250);
  expect(place.lost).toEqual([one]);
});

test("an editor that replaces a file takes no grant away", () => {
  using place = new TrustPlace();
  const path = place.grant("rig-7", one, "sources=visible");
  const trust = place.open();
  place.clock.pass(1_000);
  renameSync(path, `${path}~`);
  place.tell();
  place.clock.pass(100);
  writeFileSync(path, readFileSync(`${path}~`));
  place.tell();
  place.clock.pass(2_000);
  expect(trust.grantOf(one)).toBeDefined();
  expect(place.lost).toEqual([]);
});

test("a changed line ends the connections that were made under the old one", () => {
  using place = new TrustPlace();
  const path = place.grant("rig-7", one, "sources=visible");
  const trust = place.open();
  appendFileSync(path, "# a remark changes nothing\n");
  place.clock.pass(2_000);
  expect(place.lost).toEqual([]);
  writeFileSync(path, "device=rig-7 sources=visible,infrared\n");
  place.clock.pass(2_000);
  expect(place.lost).toEqual([one]);
  expect(trust.grantOf(one)?.sources).toEqual(["visible", "infrared"]);
  // It may go on: nothing was withdrawn.
  expect(place.events.some(({ event }) => event === "withdrawn")).toBe(false);
});

test("half a file does not count, and nor does one that goes on changing", () => {
  using place = new TrustPlace();
  const trust = place.open();
  const path = place.grant("rig-7", one);
  truncateSync(path, 9);
  place.clock.pass(100);
  for (let step = 0; step < 10; step += 1) {
    appendFileSync(path, "#");
    place.tell();
    place.clock.pass(150);
    expect(trust.grantOf(one)).toBeUndefined();
    expect(place.events.some(({ event }) => event === "bad-device-file")).toBe(false);
  }
  place.clock.pass(2_000);
  expect(place.events.at(-1)).toMatchObject({ event: "bad-device-file", path });
  writeFileSync(path, "device=rig-7\n");
  place.clock.pass(2_000);
  expect(trust.grantOf(one)).toBeDefined();
});

test("a file that became bad grants nothing and is named, once", () => {
  using place = new TrustPlace();
  const path = place.grant("rig-7", one);
  const trust = place.open();
  writeFileSync(path, "device=rig-7 source=visible\n");
  place.clock.pass(60_000);
  expect(trust.grantOf(one)).toBeUndefined();
  expect(place.lost).toEqual([one]);
  const said = place.events.filter(({ event }) => event === "bad-device-file");
  expect(said).toEqual([{ event: "bad-device-file", path, problem: 'an unknown word: "source"' }]);
});

test("a file that cannot be read grants nothing and is named", () => {
  using place = new TrustPlace();
  place.grant("rig-8", two);
  mkdirSync(join(place.devices, deviceFileName("rig-7", one)));
  const trust = place.open();
  place.clock.pass(2_000);
  expect(place.events.at(-1)).toMatchObject({ event: "bad-device-file", problem: "it is no file (EINVAL)" });
  expect(trust.grantOf(two)).toBeDefined();
});

test("a link that leads nowhere, or to itself, stands in nobody's way", () => {
  using place = new TrustPlace();
  place.grant("rig-8", two);
  symlinkSync(place.path("nowhere"), join(place.devices, deviceFileName("rig-7", one)));
  const loop = join(place.devices, deviceFileName("rig-9", three));
  symlinkSync(loop, loop);
  const trust = place.open();
  place.clock.pass(2_000);
  expect(trust.trouble).toBeUndefined();
  expect(trust.grantOf(two)).toBeDefined();
  expect(place.events.at(-1)).toMatchObject({ event: "bad-device-file", path: loop });
});

test.skipIf(process.platform === "win32")(
  "a process without file handles keeps its grants, and goes on later",
  async () => {
    using place = new TrustPlace();
    place.grant("rig-7", one);
    // A process of its own, which may have 64.
    const script = `
    import { closeSync, openSync, rmSync, writeFileSync } from "node:fs";
    import { DevicesFolder } from ${JSON.stringify(join(import.meta.dir, "../../src/trust/devices-folder.ts"))};
    import { SimClock } from ${JSON.stringify(join(import.meta.dir, "../simulation/sim-clock.ts"))};
    const clock = new SimClock();
    const said = [];
    const folder = new DevicesFolder({
      path: ${JSON.stringify(place.devices)}, clock, watch: () => () => {},
      onGrants: () => {}, onTrouble: (trouble) => said.push(trouble === undefined ? "known" : "unknown"),
    });
    const keys = () => ${JSON.stringify([one, two])}.map((key) => folder.grants.grantOf(key)?.device ?? "none").join();
    said.push(keys());
    writeFileSync(${JSON.stringify(join(place.devices, deviceFileName("rig-8", two)))}, "device=rig-8\\n");
    const handles = [];
    try { for (;;) handles.push(openSync("/dev/null")); } catch {}
    clock.pass(5_000);
    said.push(keys());
    for (const handle of handles) closeSync(handle);
    clock.pass(5_000);
    said.push(keys());
    folder.dispose();
    console.log(said.join(" "));
  `;
    writeFileSync(place.path("script.ts"), script);
    const command = 'ulimit -n 64 && exec "$0" "$1"';
    const child = Bun.spawn(["sh", "-c", command, process.execPath, place.path("script.ts")], { stdout: "pipe" });
    expect((await child.stdout.text()).trim()).toBe("rig-7,none unknown rig-7,none known rig-7,rig-8");
  },
);

test("revoked beats everything, and part of the list brings nothing back", () => {
  using place = new TrustPlace();
  place.grant("rig-7", one);
  place.grant("rig-8", two);
  const trust = place.open();
  const revoked = join(place.devices, "revoked");
  writeFileSync(revoked, `${three} lost\n${one} stolen\n`);
  place.tell();
  place.clock.pass(1_000);
  expect(place.lost).toEqual([one]);
  expect(trust.admit(one, "")).toEqual({ refused: `the key ${one} is revoked` });
  // Somebody is writing it anew, and stops in the middle.
  writeFileSync(revoked, `${three} lost`);
  place.clock.pass(5_000);
  expect(trust.grantOf(one)).toBeUndefined();
  writeFileSync(revoked, `${three} lost\n`);
  place.clock.pass(5_000);
  expect(trust.grantOf(one)).toBeDefined();
  rmSync(revoked);
  place.clock.pass(5_000);
  expect(trust.admit(three, "").refused).toContain("is not known here");
});

test("a missing folder grants nothing; when it is back, so are its grants", () => {
  using place = new TrustPlace();
  place.grant("rig-7", one);
  const trust = place.open();
  renameSync(place.devices, `${place.devices}-away`);
  place.clock.pass(2_000);
  expect(trust.grantOf(one)).toBeUndefined();
  expect(place.lost).toEqual([one]);
  renameSync(`${place.devices}-away`, place.devices);
  place.clock.pass(1_000);
  expect(trust.grantOf(one)).toBeDefined();
  // It is another watch now, and works.
  rmSync(join(place.devices, deviceFileName("rig-7", one)));
  place.tell();
  place.clock.pass(250);
  expect(trust.grantOf(one)).toBeUndefined();
});

test("a folder that cannot be read leaves the last grants, and that is said", () => {
  using place = new TrustPlace();
  place.grant("rig-7", one);
  const trust = place.open();
  // For any user: something that is no folder stands there.
  renameSync(place.devices, `${place.devices}-away`);
  writeFileSync(place.devices, "");
  place.clock.pass(10_000);
  expect(trust.grantOf(one)).toBeDefined();
  expect(place.lost).toEqual([]);
  expect(trust.trouble).toContain("ENOTDIR");
  expect(place.events.filter(({ event }) => event === "grants-unknown")).toHaveLength(1);
  rmSync(place.devices);
  renameSync(`${place.devices}-away`, place.devices);
  place.clock.pass(1_000);
  expect(trust.trouble).toBeUndefined();
  expect(place.events.at(-1)).toEqual({ event: "grants-known", folder: place.devices });
});

test.skipIf(isWindows)("a folder that every user may write to is no answer", () => {
  using place = new TrustPlace();
  place.grant("rig-7", one);
  const trust = place.open();
  chmodSync(place.devices, 0o777);
  place.grant("rig-8", two);
  place.clock.pass(2_000);
  expect([trust.grantOf(one)?.device, trust.grantOf(two)]).toEqual(["rig-7", undefined]);
  expect(trust.trouble).toContain("every user of this machine can write to it");
  expect(() => place.open()).toThrow("every user of this machine can write to it");
  chmodSync(place.devices, 0o775);
  place.clock.pass(2_000);
  expect([trust.grantOf(two)?.device, trust.trouble]).toEqual(["rig-8", undefined]);
});

test("a list of revoked keys that cannot be read leaves the last grants too", () => {
  using place = new TrustPlace();
  place.grant("rig-7", one);
  place.grant("rig-8", two);
  const revoked = join(place.devices, "revoked");
  writeFileSync(revoked, `${one}\n`);
  const trust = place.open();
  rmSync(revoked);
  mkdirSync(revoked);
  place.clock.pass(10_000);
  expect(trust.trouble).toBeDefined();
  expect([trust.grantOf(one), trust.grantOf(two)?.device]).toEqual([undefined, "rig-8"]);
  // What changes meanwhile counts when the list can be read again, though nothing changes then.
  place.grant("rig-9", three);
  place.clock.pass(10_000);
  expect(trust.grantOf(three)).toBeUndefined();
  rmSync(revoked, { recursive: true });
  place.clock.pass(2_000);
  expect([trust.trouble, trust.grantOf(three)?.device]).toEqual([undefined, "rig-9"]);
  const said = place.events.map(({ event }) => event).filter((event) => event.startsWith("grants-"));
  expect(said).toEqual(["grants-unknown", "grants-known"]);
});

test("a list of revoked keys may be long, a line of one device may not", () => {
  using place = new TrustPlace();
  const long = `# ${"x".repeat(70_000)}\n`;
  writeFileSync(place.grant("rig-7", one), `${long}device=rig-7\n`);
  place.grant("rig-8", two);
  writeFileSync(join(place.devices, "revoked"), `${long}${two}\n`);
  const trust = place.open();
  place.clock.pass(2_000);
  expect([trust.grantOf(one), trust.grantOf(two)]).toEqual([undefined, undefined]);
  expect(place.events.at(-1)).toMatchObject({ event: "bad-device-file", problem: "it is too large (EFBIG)" });
});

test("of many files each is seen to in its turn, the list of revoked keys each time", () => {
  using place = new TrustPlace();
  const keys = Array.from({ length: 600 }, (_, index) =>
    fingerprintFromHash(new Uint8Array(32).fill(index).with(0, index >> 8)),
  );
  const paths = keys.map((key, index) => place.grant(`rig-${index}`, key));
  const revoked = join(place.devices, "revoked");
  writeFileSync(revoked, "");
  // Nothing came or went for long.
  utimesSync(place.devices, 1_600_000_000, 1_600_000_000);
  const trust = place.open();
  place.clock.pass(3_000);
  for (const at of [0, 300, 599]) {
    const { ino } = statSync(paths[at] ?? "");
    writeFileSync(paths[at] ?? "", `device=rig-${at} sources=x\n`);
    expect(statSync(paths[at] ?? "").ino).toBe(ino);
    place.clock.pass(3_000 + agreeMs);
    expect(trust.grantOf(keys[at] ?? "")?.sources).toEqual(["x"]);
  }
  appendFileSync(revoked, `${keys[7]}\n`);
  place.clock.pass(lookMs + agreeMs);
  expect(place.lost.at(-1)).toBe(keys[7] ?? "");
  expect(statSync(place.devices).mtimeMs).toBe(1_600_000_000_000);
});

test("it is looked at once a second when nothing happens, and not at all when it is over", () => {
  using place = new TrustPlace();
  place.grant("rig-7", one);
  const trust = place.open();
  place.clock.pass(5_000);
  let wakes = 0;
  const endMs = place.clock.nowMs() + 60_000;
  while (place.clock.nowMs() < endMs) if (place.clock.step()) wakes += 1;
  expect(wakes).toBeLessThanOrEqual(61);
  trust.dispose();
  expect(trust.grantOf(two)).toBeUndefined();
  expect(place.clock.step()).toBe(false);
});

test("at the start, what cannot be read is no answer", () => {
  using place = new TrustPlace();
  writeFileSync(place.devices, "");
  expect(() => place.open()).toThrow("who may send is not known");
});

test.skipIf(isRoot)("a folder without permission is no answer either", () => {
  using place = new TrustPlace();
  place.grant("rig-7", one);
  chmodSync(place.devices, 0);
  expect(() => place.open()).toThrow("permission denied");
  chmodSync(place.devices, 0o700);
});

test("files may be links, as mounted configurations are", () => {
  using place = new TrustPlace();
  const path = place.grant("rig-7", one);
  const elsewhere = place.path("elsewhere");
  renameSync(path, elsewhere);
  symlinkSync(elsewhere, path);
  const trust = place.open();
  expect(trust.grantOf(one)).toBeDefined();
  rmSync(elsewhere);
  place.clock.pass(2_000);
  expect(trust.grantOf(one)).toBeUndefined();
});
