import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  deviceFileName,
  encodeWord,
  matchesDevice,
  parseDeviceFile,
  parseDeviceFileName,
} from "../../src/security/device-file.ts";
import { FormatError } from "../../src/security/format-error.ts";
import { type DeviceFileText, Grants } from "../../src/security/grants.ts";
import { fingerprintOf } from "../../src/security/key-pair.ts";
import { keyLast, keyOne, keyTwo, keyZero } from "./vectors.ts";

const [one, two, three, four] = [keyZero, keyOne, keyTwo, keyLast].map(({ fingerprint }) => fingerprint) as [
  string,
  string,
  string,
  string,
];

const file = (device: string, key: string, words = ""): DeviceFileText & { text: string } => ({
  name: deviceFileName(device, key),
  text: `device=${encodeWord(device)} ${words}\n`,
});

describe("a device file", () => {
  test("says what a key may do", () => {
    const text = "# the rig in hall 3\n\ndevice=rig-7 sources=visible,infra%20red max-rate=20Mbit quota=200G\n";
    expect(parseDeviceFile(text, one)).toEqual({
      fingerprint: one,
      device: "rig-7",
      sources: ["visible", "infra red"],
      maxRate: 2500,
      quota: 200e9,
      gateway: undefined,
    });
    expect(parseDeviceFile("device=north gateway devices=rig-*,cam-1", one).gateway).toEqual(["rig-*", "cam-1"]);
    expect(parseDeviceFile("device=north gateway", one).gateway).toEqual([]);
    expect(parseDeviceFile("device=a max-rate=1kbit quota=1", one)).toMatchObject({ maxRate: 0.125, quota: 1 });
    expect(parseDeviceFile(`device=${"x".repeat(180)}`, one).device).toHaveLength(180);
  });

  test.each([
    ["", "0 lines"],
    ["device=a\ndevice=b", "2 lines"],
    ["rig-7", "an unknown word"],
    ["sources=visible", "no device="],
    ["device=", "no device="],
    ["device=caf\ufffd", "not valid UTF-8 in the device's name"],
    ["device=a sources=caf\ufffd", "not valid UTF-8"],
    ["device", "device needs a value"],
    ["device=a source=visible", 'an unknown word: "source"'],
    ["device=a device=b", "twice"],
    ["device=a/b", "one segment"],
    ["device=..", "segment in the device's name"],
    ["device=a%2Fb", "one segment"],
    ["device=a%", "a % that is none"],
    ["device=a%FF", "a % that is none"],
    ["device=a%1B", "control character"],
    [`device=${"x".repeat(181)}`, "181 bytes, limit 180"],
    ["device=a sources=", "an empty item"],
    ["device=a sources=b,,c", "an empty item"],
    ["device=a sources=../b", "segment in sources="],
    ["device=a max-rate=20", "max-rate= needs a rate"],
    ["device=a max-rate=0kbit", "max-rate= needs a rate"],
    ["device=a quota=much", "quota= needs a size"],
    ["device=a quota=0", "quota= needs a size"],
    ["device=a devices=*", "for a gateway"],
    ["device=a gateway=yes", "gateway takes no value"],
    ["device=a gateway devices=../*", "segment in devices="],
  ])("that is %j says what is wrong", (text, problem) => {
    expect(() => parseDeviceFile(text, one)).toThrow(problem);
    expect(() => parseDeviceFile(text, one)).toThrow(FormatError);
  });

  test("of a device with several keys: the least quota is that of the device", () => {
    const grants = new Grants([file("rig", one, "quota=2k"), file("rig", two, "quota=1k"), file("free", three)]);
    expect(["rig", "free", "nobody"].map((device) => grants.quotaOf(device))).toEqual([1000, undefined, undefined]);
  });

  test("carries any name that a device can have", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }), (device) => {
        // U+FFFD is what stands where a name was no text.
        fc.pre(!/[\p{Cc}\p{Cs}/\\\ufffd]/u.test(device) && !device.startsWith("."));
        const { name, text } = file(device, one);
        expect(parseDeviceFile(text, one).device).toBe(device);
        expect(parseDeviceFileName(name)).toEqual({ device, fingerprint: one });
      }),
    );
  });

  test("has a name that ends with its key", () => {
    expect(parseDeviceFileName("revoked")).toBeUndefined();
    expect(parseDeviceFileName(`rig.7.${one}.device`)).toEqual({ device: "rig.7", fingerprint: one });
    for (const name of ["rig-7.device", `${one}.device`, `rig-7.${one}x.device`, `rig-7.${one.toUpperCase()}.device`]) {
      expect(() => parseDeviceFileName(name)).toThrow(FormatError);
    }
  });

  test.each<[string, string, boolean]>([
    ["rig-*", "rig-7", true],
    ["rig-*", "rig-", true],
    ["rig-*", "brig-7", false],
    ["rig-*", "rig-a/b", false],
    ["*-left", "cam-left", true],
    ["a*c*e", "abcde", true],
    ["a*c*e", "abde", false],
    ["cam.1", "camx1", false],
    ["cam%2A", "cam*", true],
    ["cam%2A", "cam1", false],
    ["*", "anything", true],
  ])("%s and %s", (pattern, device, matches) => {
    expect(matchesDevice(pattern, device)).toBe(matches);
  });
});

describe("grants", () => {
  test("a key writes as its own device, and names it or not", () => {
    const grants = new Grants([file("rig-7", one, "sources=visible"), file("rig-8", two)]);
    const grant = grants.grantOf(one);
    expect(grant).toMatchObject({ device: "rig-7", sources: ["visible"] });
    expect(grants.admit(one, "")).toEqual({ device: "rig-7", grant: grant ?? fail() });
    expect(grants.admit(one, "rig-7")).toEqual({ device: "rig-7", grant: grant ?? fail() });
    expect(grants.admit(one, "rig-8")).toEqual({ refused: `the key ${one}, which is rig-7, may not write as rig-8` });
    expect(grants.admit(three, "")).toEqual({ refused: `the key ${three} is not known here` });
    expect(grants.problems).toEqual([]);
    expect(grants.size).toBe(2);
  });

  test("a device may have several keys", () => {
    const grants = new Grants([file("rig-7", one), file("rig-7", two)]);
    expect(grants.keysOf("rig-7").toSorted()).toEqual([one, two].toSorted());
    expect(grants.admit(two, "rig-7").refused).toBeUndefined();
  });

  test("one key in several files is refused in all, whatever their order and whether they are good", () => {
    const files = [file("a", one), file("b", one), { name: deviceFileName("c", one), text: "nothing" }, file("d", two)];
    fc.assert(
      fc.property(fc.shuffledSubarray(files, { minLength: 2 }), (some) => {
        const grants = new Grants(some);
        const twice = some.filter(({ name }) => name.includes(one));
        if (twice.length < 2) return;
        expect(grants.grantOf(one)).toBeUndefined();
        const said = grants.problems.map(({ file: name, problem }) => `${name} ${problem}`).join("\n");
        for (const { name } of twice) expect(said).toContain(name);
      }),
    );
  });

  test("a bad file grants nothing, is named, and stands in nobody's way", () => {
    const bad = { name: deviceFileName("rig-7", one), text: "device=rig-7 source=visible\n" };
    const misnamed = { name: deviceFileName("rig-9", two), text: "device=rig-8\n" };
    const cutOff = { name: deviceFileName("rig-5", four), text: "device=rig-5" };
    const unread = {
      name: deviceFileName("rig-6", fingerprintOf(new Uint8Array(44))),
      text: new FormatError("permission denied"),
    };
    const nameless = { name: "rig-1.device", text: "device=rig-1\n" };
    const grants = new Grants([bad, misnamed, nameless, file("rig-3", three), cutOff, unread]);
    expect(grants.size).toBe(1);
    expect(grants.problems).toEqual([
      { file: bad.name, problem: 'an unknown word: "source"' },
      { file: misnamed.name, problem: "its name says rig-9, its line device=rig-8" },
      { file: "rig-1.device", problem: "its name does not end with a public key: rig-7.fp1….device" },
      { file: cutOff.name, problem: "it does not end with a line break, so it may be cut off" },
      { file: unread.name, problem: "permission denied" },
    ]);
  });

  test.each([`${one},stolen`, `stolen: ${one}`, `rig-7.${one}.device`, ` \t${one}\r`, `\uFEFF${one} now ${two}`])(
    "a line with a key revokes it, whatever stands around it: %p",
    (line) => {
      const grants = new Grants([file("rig-7", one), file("rig-8", two)], `${line}\n`);
      expect([grants.isRevoked(one), grants.isRevoked(two), grants.problems]).toEqual([true, false, []]);
    },
  );

  test("revoked beats everything", () => {
    const revoked = `# stolen\n${one} from hall 3\n\n${three}\nfp1nonsense\n`;
    const grants = new Grants([file("rig-7", one), file("rig-8", two)], revoked);
    expect(grants.admit(one, "")).toEqual({ refused: `the key ${one} is revoked` });
    expect(grants.isRevoked(three)).toBe(true);
    expect(grants.admit(two, "").refused).toBeUndefined();
    expect(grants.problems).toEqual([
      { file: "revoked", problem: "line 5 has no public key, or a mistyped one: fp1…" },
    ]);
  });

  test("a gateway writes as the devices it lists, but for those with a key of their own", () => {
    const grants = new Grants([file("north", one, "gateway devices=rig-*,cam-1"), file("rig-8", two)]);
    const grant = grants.grantOf(one) ?? fail();
    expect(grants.admit(one, "")).toEqual({ device: "north", grant });
    expect(grants.admit(one, "rig-7")).toEqual({ device: "rig-7", grant });
    expect(grants.admit(one, "cam-1")).toEqual({ device: "cam-1", grant });
    for (const device of ["cam-2", "rig-8", "rig-7/x", "../rig-7"]) {
      expect(grants.admit(one, device).refused).toContain(`the key ${one}, which is north,`.replace("the key ", ""));
    }
    // A device whose key is revoked or bad speaks through nobody either: but nothing says so, its file does not count.
    expect(new Grants([file("north", one, "gateway")]).admit(one, "rig-7").refused).toBeDefined();
    expect(new Grants([file("north", one)]).admit(one, "rig-7").refused).toBeDefined();
  });

  test("what no longer holds is known", () => {
    const before = new Grants([
      file("a", one),
      file("b", two, "sources=x"),
      file("north", three, "gateway devices=rig-*"),
      file("c", four),
    ]);
    expect(before.lostSince(new Grants([]))).toEqual([]);
    expect(new Grants([]).lostSince(before).toSorted()).toEqual([one, two, three, four].toSorted());
    const after = new Grants(
      [file("a", one), file("b", two, "sources=x,y"), file("north", three, "gateway devices=rig-*")],
      four,
    );
    expect(after.lostSince(before).toSorted()).toEqual([two, four].toSorted());
    const exact = new Grants([
      file("a", one),
      file("b", two, "sources=x"),
      file("north", three, "gateway devices=rig-*"),
      file("rig-1", four),
    ]);
    expect(exact.lostSince(before).toSorted()).toEqual([three, four].toSorted());
  });
});

function fail(): never {
  throw new Error("not there");
}
