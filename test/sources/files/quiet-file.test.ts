import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PictureEnd } from "../../../src/sources/files/picture-end.ts";
import { type Arrival, arrivalOf, type FileEvidence } from "../../../src/sources/files/quiet-file.ts";
import { inspectFile, QuietFile, quietMs, stateOf } from "../../../src/sources/files/quiet-file.ts";
import { hasLeases } from "./leases.ts";
import { jpegOf, pngOf } from "./pictures.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function put(name: string, content: Uint8Array | string): string {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
}

test("how long a file has to be quiet", () => {
  const rows: [PictureEnd, Arrival, number, number][] = [
    ["complete", "unknown", 0, 2_000],
    ["complete", "whole", 0, 2_000],
    ["unknown", "whole", 0, 2_000],
    ["unknown", "likely", 10, 2_000],
    ["unknown", "unknown", 2_000, 10_000],
    ["incomplete", "whole", 60_000, 60_000],
    ["incomplete", "unknown", 60_000, 60_000],
  ];
  for (const [end, arrival, nobody, notKnown] of rows) {
    expect(quietMs({ end, writers: "none" }, arrival)).toBe(nobody);
    expect(quietMs({ end, writers: "unknown" }, arrival)).toBe(notKnown);
    expect(quietMs({ end, writers: "open" }, arrival)).toBe(Infinity);
  }
});

describe("a file that waits", () => {
  /** Looks at it at these times, in these states; returns when it was finished. */
  function finishedMs(
    evidence: Omit<FileEvidence, "state">,
    states: readonly (readonly [untilMs: number, state: number])[],
  ): number {
    const file = new QuietFile(0);
    for (let nowMs = 0; ;) {
      const [, state] = states.find(([untilMs]) => nowMs < untilMs) ?? [0, 0];
      file.see(state, nowMs);
      const waitMs = file.judge("unknown", nowMs, () => ({ ...evidence, state }));
      if (waitMs === 0) return nowMs;
      if (nowMs > 100_000) return Infinity;
      nowMs += waitMs;
    }
  }

  test("is finished when its state has been the same for long enough, counted from the change that was seen", () => {
    const raw = { end: "unknown", writers: "none" } as const;
    expect(finishedMs(raw, [])).toBe(2_000);
    expect(finishedMs(raw, [[1_500, 1]])).toBe(4_000);
    expect(
      finishedMs({ end: "incomplete", writers: "none" }, [
        [3_000, 1],
        [6_000, 2],
      ]),
    ).toBe(66_000);
    expect(finishedMs({ end: "unknown", writers: "open" }, [])).toBe(Infinity);
  });

  test("is looked into again only if it has changed, and is held from when it was seen to be open", () => {
    const file = new QuietFile(0);
    const asked: (PictureEnd | undefined)[] = [];
    const look = (state: number, nowMs: number, evidence: Omit<FileEvidence, "state">): void => {
      file.see(state, nowMs);
      file.judge("unknown", nowMs, (end) => {
        asked.push(end);
        return { ...evidence, state };
      });
    };
    look(1, 0, { end: "incomplete", writers: "none" });
    look(1, 1_000, { end: "incomplete", writers: "none" });
    look(2, 2_000, { end: "unknown", writers: "open" });
    look(2, 3_000, { end: "unknown", writers: "open" });
    expect(file.heldSinceMs).toBe(2_000);
    look(2, 4_000, { end: "unknown", writers: "none" });
    expect(file.heldSinceMs).toBeUndefined();
    expect(asked).toEqual([undefined, "incomplete", undefined, undefined, undefined]);
  });
});

test("what is looked into is the state that was seen, or it is looked at again", () => {
  const file = new QuietFile(0);
  file.see(1, 0);
  const evidence = { end: "complete", writers: "none", state: 2 } as const;
  expect(file.judge("whole", 0, () => evidence)).toBeGreaterThan(0);
  file.see(2, 2);
  expect(file.judge("unknown", 2, () => evidence)).toBe(0);
});

test("a file that was renamed after it was written has come whole; one that was written here may have", () => {
  const path = put("made", "bytes");
  const arrival = (): Arrival => arrivalOf(statSync(path, { bigint: true }));
  expect(arrival()).toBe("likely");
  utimesSync(path, 1e9, 1e9);
  renameSync(path, join(root, "other"));
  renameSync(join(root, "other"), path);
  expect(arrival()).toBe("whole");
  writeFileSync(path, "");
  expect(arrival()).toBe("unknown");
});

test("the state of a file is another after writing, replacing, and linking", () => {
  const path = put("state", "bytes");
  const states = [stateOf(statSync(path, { bigint: true }))];
  utimesSync(path, 1e9, 1e9);
  states.push(stateOf(statSync(path, { bigint: true })));
  renameSync(put("another", "bytes"), path);
  states.push(stateOf(statSync(path, { bigint: true })));
  expect(new Set(states).size).toBe(3);
});

describe("how a picture ends", () => {
  const jpeg = jpegOf("text");
  const thumbnailEnd = jpeg.indexOf("ffd9", "hex") + 2;
  /** Restart markers, a second scan with a table before it, stuffed bytes. */
  const scans = Buffer.concat([
    Buffer.from("ffd8ffc200110800100010030122000211010311 01".replace(" ", ""), "hex"),
    Buffer.from("ffda000801010000 3f00".replace(" ", ""), "hex"),
    Buffer.from("01ff0002ffd003ffffffc4000402ffffda00080101 00003f00".replace(" ", ""), "hex"),
    Buffer.from("0405ffd9", "hex"),
  ]);
  const bmp = Buffer.alloc(54 + 8 * 2);
  bmp.write("BM");
  bmp.writeUInt32LE(54, 10);
  bmp.writeUInt32LE(40, 14);
  bmp.writeInt32LE(2, 18);
  bmp.writeInt32LE(-2, 22);
  bmp.writeUInt32LE((24 << 16) | 1, 26);
  const pgm = Buffer.concat([Buffer.from("P5 # a comment\n4 2\n255\n"), Buffer.alloc(8, 0xff)]);
  const webp = Buffer.concat([Buffer.from("RIFF\x08\0\0\0WEBPdata")]);
  const box = (type: string, bytes: number): Buffer => {
    const made = Buffer.alloc(8 + bytes);
    made.writeUInt32BE(made.length);
    made.write(type, 4);
    return made;
  };
  const heif = Buffer.concat([box("ftyp", 16), box("meta", 30), box("mdat", 100)]);
  const cases: [string, string, Uint8Array | string, PictureEnd][] = [
    ["a JPEG", "1.JPG", jpeg, "complete"],
    ["with some bytes of the camera behind it", "1.jpg", Buffer.concat([jpeg, Buffer.alloc(50, 7)]), "complete"],
    ["filled up with zeros", "1.jpg", Buffer.concat([jpeg, Buffer.alloc(5000)]), "complete"],
    ["with much behind it", "1.jpg", Buffer.concat([jpeg, Buffer.alloc(5000, 7)]), "unknown"],
    ["with another behind it", "1.jpg", Buffer.concat([jpeg, jpeg]), "complete"],
    ["with half of another behind it", "1.jpg", Buffer.concat([jpeg, jpeg.subarray(0, 1500)]), "incomplete"],
    ["under no extension of it", "1.raw", jpeg, "unknown"],
    ["cut, under no extension of it", "1.raw", jpeg.subarray(0, -5), "incomplete"],
    ["without its last byte", "1.jpg", jpeg.subarray(0, -1), "incomplete"],
    ["cut behind the end of its thumbnail", "1.jpg", jpeg.subarray(0, thumbnailEnd), "incomplete"],
    ["cut behind the thumbnail's segment", "1.jpg", jpeg.subarray(0, jpeg.indexOf("fffe", "hex")), "incomplete"],
    [
      "reserved and filled with zeros",
      "1.jpg",
      Buffer.concat([jpeg.subarray(0, -900), Buffer.alloc(900)]),
      "incomplete",
    ],
    ["garbage behind its start", "1.jpg", Buffer.from("ffd8ffe000041111222233334444", "hex"), "unknown"],
    ["with several scans", "1.jpg", scans, "complete"],
    ["cut in a later scan", "1.jpg", scans.subarray(0, -2), "incomplete"],
    ["a PNG", "1.png", pngOf("text"), "complete"],
    ["without its last byte", "1.png", pngOf("text").subarray(0, -1), "incomplete"],
    ["a BMP", "1.bmp", bmp, "complete"],
    ["cut", "1.bmp", bmp.subarray(0, -1), "incomplete"],
    ["a PGM", "1.pgm", pgm, "complete"],
    ["cut", "1.pgm", pgm.subarray(0, -1), "incomplete"],
    ["a WebP", "1.webp", webp, "complete"],
    ["a HEIF", "1.heic", heif, "complete"],
    ["cut", "1.heic", heif.subarray(0, -1), "incomplete"],
    ["without its picture", "1.heic", heif.subarray(0, 62), "unknown"],
    ["an empty file", "1.jpg", "", "unknown"],
    ["one byte", "1.jpg", "x", "unknown"],
    ["something else", "1.raw", "something else", "unknown"],
  ];
  test.each(cases)("%s (%s)", (_what, name, content, end) => {
    expect(inspectFile(put(name, content)).end).toBe(end);
  });

  test("of any part of a JPEG or PNG is never complete", () => {
    for (const [name, whole] of [
      ["1.jpg", jpeg],
      ["1.jpg", scans],
      ["1.png", pngOf("text", 50)],
    ] as const) {
      for (let bytes = 12; bytes < whole.length; bytes += 1) {
        expect(inspectFile(put(name, whole.subarray(0, bytes))).end).toBe("incomplete");
      }
    }
  });
});

describe.skipIf(!hasLeases())("who writes", () => {
  test("is seen while a file is open for writing, in this process or another", () => {
    const path = put("half", "half");
    expect(inspectFile(path).writers).toBe("none");
    const writer = openSync(path, "a");
    expect(inspectFile(path).writers).toBe("open");
    writeSync(writer, " and half");
    expect(inspectFile(path).writers).toBe("open");
    closeSync(writer);
    expect(inspectFile(path).writers).toBe("none");
    const reader = openSync(path, "r");
    expect(inspectFile(path).writers).toBe("none");
    closeSync(reader);
  });

  test("asking does not disturb a writer, nor end this program", async () => {
    const path = put("log", "");
    const script = 'i=0; while [ $i -lt 3000 ]; do echo $i >> "$0" || exit 9; i=$((i+1)); done';
    const writer = Bun.spawn(["sh", "-c", script, path], { stderr: "inherit" });
    const seen = new Set<string>();
    for (let over = false; !over; await Bun.sleep(0)) {
      for (let asked = 0; asked < 200; asked += 1) seen.add(inspectFile(path).writers);
      over = writer.exitCode !== null;
    }
    expect(writer.exitCode).toBe(0);
    expect((await Bun.file(path).text()).trim().split("\n")).toEqual(Array.from({ length: 3000 }, (_, i) => `${i}`));
    expect(seen.has("none")).toBe(true);
    expect(seen.has("unknown")).toBe(false);
  });
});

test("a file that cannot be inspected is an error of the file system", () => {
  expect(() => inspectFile(join(root, "gone"))).toThrow("ENOENT");
});
