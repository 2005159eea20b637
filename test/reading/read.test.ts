/** What is given out of a directory in each form, and what becomes of frames that are not as they were stored. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { scanTar } from "../../src/archive-formats/tar/scan.ts";
import { crc32 } from "../../src/bytes/checksum.ts";
import { UserError } from "../../src/errors.ts";
import type { HeldFrame } from "../../src/frame.ts";
import { MiB } from "../../src/limits.ts";
import { read, type ReadOptions, type ReadReport } from "../../src/reading/read.ts";
import { openNodeArchiveFile } from "../../src/sinks/archive/archive-file.ts";
import { type Catalogue, type FrameRow, ownFolder } from "../../src/sinks/directory/catalogue.ts";
import { openSqliteCatalogue } from "../../src/sinks/directory/sqlite-catalogue.ts";
import { Random } from "../support/random.ts";
import { session } from "../sinks/suite.ts";

const startNs = 1_795_602_720_000_000_000n;
const msNs = 1_000_000n;
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

let directory: string;
let catalogue: Catalogue;
let count = 0;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "framepipe-"));
  mkdirSync(join(directory, ownFolder));
  catalogue = openSqliteCatalogue(directory, "never");
  count = 0;
});
afterEach(() => {
  catalogue.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Stores a frame `ms` after the first, as a receiver leaves it. */
function store(source: string, name: string, ms: number, bytes: Uint8Array, changes: Partial<FrameRow> = {}): string {
  const path = changes.path ?? `rig/${source}/${name}`;
  const origin = { device: "rig", source, session };
  const capturedNs = startNs + BigInt(ms) * msNs;
  const frame = { origin, sequence: (count += 1), name, bytes: bytes.length, capturedNs };
  const row = { frame, path, number: 1, crc32: crc32(bytes), receivedNs: startNs + 5n, ...changes };
  catalogue.record({ frames: [row], gaps: [], ends: [], outcomes: [], nowNs: 1n });
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), bytes);
  return join(directory, path);
}

interface Given {
  readonly bytes: Buffer;
  readonly text: string;
  readonly leftOut: string[];
  readonly report: ReadReport;
}

async function given(options: Partial<ReadOptions> & Pick<ReadOptions, "as">): Promise<Given> {
  const [views, leftOut]: [Uint8Array[], string[]] = [[], []];
  const report = await read({
    directory,
    wanted: [],
    clock: "sender",
    output: (view) => Promise.resolve(void views.push(view.slice())),
    leftOut: ({ path }, problem) => leftOut.push(`${path} ${problem}`),
    ...options,
  });
  const bytes = Buffer.concat(views);
  return { bytes, text: bytes.toString(), leftOut, report };
}

describe("lines", () => {
  beforeEach(() => {
    store("visible", "2.jpg", 40, text("ab"));
    store("infrared", "1.png", 41, text("c"));
    store("visible", "1.jpg", 0, text("abc"));
  });

  test("are a list in the order of time, with what it takes to find the frames", async () => {
    const { text: lines, report } = await given({ as: "list" });
    expect(lines).toBe(
      "2026-11-25T10:32:00.000Z\trig/visible\t3\trig/visible/1.jpg\n" +
        "2026-11-25T10:32:00.040Z\trig/visible\t2\trig/visible/2.jpg\n" +
        "2026-11-25T10:32:00.041Z\trig/infrared\t1\trig/infrared/1.png\n",
    );
    expect(report).toEqual({ frames: 3, bytes: 6, leftOut: 0, pairs: undefined, unpaired: [], complete: true });
  });

  test("are JSON with all that the catalogue says", async () => {
    const { text: lines } = await given({ as: "json", wanted: ["rig/visible"], fromNs: startNs + msNs });
    expect(lines.split("\n").map((line) => (line === "" ? line : (JSON.parse(line) as unknown)))).toEqual([
      {
        captured: "2026-11-25T10:32:00.040Z",
        device: "rig",
        source: "visible",
        session,
        sequence: 1,
        name: "2.jpg",
        path: "rig/visible/2.jpg",
        number: 1,
        bytes: 2,
        crc32: crc32(text("ab")),
        received: "2026-11-25T10:32:00.000000005Z",
      },
      "",
    ]);
  });

  test("are pairs, and say how many frames are in none", async () => {
    const wanted = ["rig/infrared", "rig/visible"];
    const list = await given({ as: "list", wanted, pairWithinNs: 20n * msNs });
    expect(list.text).toBe("2026-11-25T10:32:00.041Z\t-1\trig/infrared/1.png\trig/visible/2.jpg\n");
    expect(list.report).toMatchObject({ frames: 2, bytes: 3, pairs: 1 });
    expect(list.report.unpaired).toEqual([
      { source: "rig/infrared", frames: 0 },
      { source: "rig/visible", frames: 1 },
    ]);
    const json = await given({ as: "json", wanted: ["rig/visible", "rig/infrared"], pairWithinNs: 20n * msNs });
    expect(JSON.parse(json.text)).toMatchObject({ differenceMs: 1, frames: [{ name: "2.jpg" }, { name: "1.png" }] });
  });

  test("of sources that are not there, and pairs of one or three, are refused with what there is", async () => {
    const complaint = async (options: Partial<ReadOptions>): Promise<string> => {
      try {
        await given({ as: "list", ...options });
      } catch (error) {
        if (error instanceof UserError) return `${error.message} | ${error.hints.join()}`;
        throw error;
      }
      throw new Error("accepted");
    };
    expect(await complaint({ wanted: ["rig/vis"] })).toBe(
      `${directory} has nothing of rig/vis | it has rig/infrared, rig/visible`,
    );
    expect(await complaint({ wanted: ["rig/visible"], pairWithinNs: 1n })).toStartWith(
      "pairs are of two sources, and these are 1: rig/visible",
    );
    store("visible/left", "1.jpg", 0, text("x"));
    expect(await complaint({ wanted: ["rig"], pairWithinNs: 1n })).toContain("these are 3");
    expect((await given({ as: "list", wanted: ["rig/visible", "rig"] })).report.frames).toBe(4);
  });
});

test("a line is one line, whatever a catalogue says", async () => {
  store("visible", "1\n2\t3.jpg", 0, text("a"), { path: "rig/visible/1.jpg" });
  store("visi\tble", "1.jpg", 0, text("a"));
  const { text: lines } = await given({ as: "list" });
  expect(lines.split("\n")).toHaveLength(3);
  expect(lines.split("\t")).toHaveLength(7);
});

describe("bytes", () => {
  const noise = new Random(5).bytes(64 * 1024);
  /** Larger than what is held while its checksum is computed, and of an odd size. */
  const large = Buffer.concat([...Array.from({ length: 145 }, () => noise), text("end")]);

  test("are the frames back to back, large ones too, and none of those that are not as they were stored", async () => {
    store("visible", "1.jpg", 1, text("one"));
    unlinkSync(store("visible", "2.jpg", 2, text("two")));
    writeFileSync(store("visible", "3.jpg", 3, text("three")), "THREE");
    writeFileSync(store("visible", "4.jpg", 4, text("four")), "longer");
    store("visible", "5.raw", 5, large);
    const link = store("visible", "6.jpg", 6, text("six"));
    unlinkSync(link);
    symlinkSync(join(directory, "rig/visible/1.jpg"), link);
    const outside = mkdtempSync(join(tmpdir(), "framepipe-"));
    writeFileSync(join(outside, "x"), "out");
    store("visible", "7.jpg", 7, text("out"), { path: `../${outside.slice(outside.lastIndexOf("/") + 1)}/x` });
    const spoiled = Buffer.from(large);
    spoiled[spoiled.length - 1] = 0;
    writeFileSync(store("visible", "8.raw", 8, large), spoiled);
    store("visible", "9.jpg", 9, new Uint8Array(0));
    store("visible", "10.jpg", 10, text("ten"));
    const { bytes, leftOut, report } = await given({ as: "stream" });
    rmSync(outside, { recursive: true });
    expect(bytes.equals(Buffer.concat([text("one"), large, text("ten")]))).toBe(true);
    expect(leftOut.map((line) => line.replace(/^\S+\//, ""))).toEqual([
      "2.jpg missing",
      "3.jpg has other bytes than were stored",
      "4.jpg has 6 bytes, stored were 4",
      "6.jpg is a symbolic link now, or behind one",
      "x is at no path that a frame can have: `..` segment",
      "8.raw has other bytes than were stored",
    ]);
    expect(report).toMatchObject({ frames: 4, bytes: 3 + large.length + 3, leftOut: 6, complete: true });
  });

  test("of y4m frames are one stream with one header", async () => {
    const header = "YUV4MPEG2 W2 H2 F30:1 C420\n";
    store("visible", "0.y4m", 0, new Uint8Array(0));
    store("visible", "1.y4m", 1, text(`${header}FRAME\n111111`));
    store("visible", "2.y4m", 2, text(`${header}FRAME\n222222`));
    store("visible", "3.y4m", 3, text("YUV4MPEG2 W4 H2 F30:1 C420\nFRAME\n333333333333"));
    store("visible", "4.jpg", 4, text("jpeg"));
    store("visible", "5.y4m", 5, text(`${header}FRAME\n555555`));
    const { text: stream, leftOut } = await given({ as: "stream" });
    expect(stream).toBe(`${header}FRAME\n111111FRAME\n222222FRAME\n555555`);
    expect(leftOut).toEqual([
      "rig/visible/3.y4m does not fit the stream, which began with a frame of another format or size",
      "rig/visible/4.jpg does not fit the stream, which began with a frame of another format or size",
    ]);
  });

  test("are a tar that tar unpacks, and that a receiver can go on with", async () => {
    const longName = `${"long/".repeat(40)}ü.raw`;
    store("visible", "1.jpg", 1, text("one"));
    unlinkSync(store("visible", "2.jpg", 2, text("two")));
    store("visible", longName, 3, large);
    store("visible", "1.jpg", 4, text("other"), { path: "rig/visible/1~2.jpg", number: 2 });
    const { bytes, leftOut } = await given({ as: "tar" });
    expect(leftOut).toEqual(["rig/visible/2.jpg missing"]);
    const place = mkdtempSync(join(tmpdir(), "framepipe-"));
    try {
      const archive = join(place, "day.tar");
      writeFileSync(archive, bytes);
      const { exitCode, stderr } = Bun.spawnSync(["tar", "-C", place, "-xf", archive], { stderr: "pipe" });
      expect([exitCode, stderr.toString()]).toEqual([0, ""]);
      expect(readFileSync(join(place, "rig/visible", longName)).equals(large)).toBe(true);
      expect(readFileSync(join(place, "rig/visible/1~2.jpg"), "utf8")).toBe("other");
      expect(statSync(join(place, "rig/visible/1.jpg"), { bigint: true }).mtimeNs).toBe(startNs + msNs);
      const file = openNodeArchiveFile(archive, false);
      const held: HeldFrame[] = [];
      const { end } = scanTar(archive, file, (frame) => held.push(frame));
      file.close();
      expect(end).toBe(bytes.length - 1024);
      expect(held).toEqual([
        {
          frame: {
            origin: { device: "rig", source: "visible", session },
            name: "1.jpg",
            sequence: 1,
            bytes: 3,
            capturedNs: startNs + msNs,
          },
          path: "rig/visible/1.jpg",
          number: 1,
          crc32: crc32(text("one")),
        },
        expect.objectContaining({ path: `rig/visible/${longName}`, crc32: crc32(large) }),
        expect.objectContaining({ path: "rig/visible/1~2.jpg", number: 2 }),
      ]);
    } finally {
      rmSync(place, { recursive: true });
    }
  });

  test("of a pair are both or none", async () => {
    for (let at = 0; at < 3; at += 1) store("visible", `${at}.jpg`, at * 100, text(`v${at}`));
    for (let at = 0; at < 3; at += 1) store("infrared", `${at}.jpg`, at * 100 + 5, text(`i${at}`));
    unlinkSync(join(directory, "rig/infrared/1.jpg"));
    const options = { as: "tar", wanted: ["rig/visible", "rig/infrared"], pairWithinNs: 20n * msNs } as const;
    const { bytes, leftOut, report } = await given(options);
    const { stdout } = Bun.spawnSync(["tar", "-t"], { stdin: bytes });
    expect(stdout.toString().trim().split("\n")).toEqual([
      "rig/visible/0.jpg",
      "rig/infrared/0.jpg",
      "rig/visible/2.jpg",
      "rig/infrared/2.jpg",
    ]);
    expect(leftOut).toEqual(["rig/infrared/1.jpg missing"]);
    expect(report).toMatchObject({ pairs: 2, frames: 4, leftOut: 1 });
  });

  test("of a frame that is removed in good order meanwhile are passed over", async () => {
    store("visible", "1.jpg", 1, text("one"));
    const path = store("visible", "2.jpg", 2, text("two"));
    const output = (): Promise<void> => {
      unlinkSync(path);
      const frames = catalogue.kept.oldest(9).filter((each) => each.path === "rig/visible/2.jpg");
      catalogue.kept.expire({ frames, gapsUpTo: [], gone: [] }, 9n);
      return Promise.resolve();
    };
    const { leftOut, report } = await given({ as: "stream", output });
    expect([leftOut, report.leftOut, report.frames]).toEqual([[], 0, 1]);
  });

  test("that change while they are given out end it with an error", async () => {
    const path = store("visible", "1.raw", 1, large);
    store("visible", "2.jpg", 2, text("two"));
    let views = 0;
    const output = (view: Uint8Array): Promise<void> => {
      views += 1;
      if (view.length === 4 * MiB) writeFileSync(path, "x".repeat(large.length));
      return Promise.resolve();
    };
    const reading = given({ as: "stream", output });
    await expect(reading).rejects.toThrow(
      "rig/visible/1.raw has other bytes than were stored, and was whole a moment ago",
    );
    expect(views).toBe(2);
  });

  test("end behind the frame in hand when they are told to, and a tar has its end", async () => {
    for (let at = 0; at < 5; at += 1) store("visible", `${at}.jpg`, at, text("frame"));
    const stop = new AbortController();
    const views: Uint8Array[] = [];
    const output = (view: Uint8Array): Promise<void> => {
      views.push(view.slice());
      // The bytes of the second frame.
      if (views.length === 5) stop.abort();
      return Promise.resolve();
    };
    const { report } = await given({ as: "tar", output, signal: stop.signal });
    expect(report).toMatchObject({ frames: 2, complete: false });
    const bytes = Buffer.concat(views);
    expect(bytes.subarray(-1024).every((byte) => byte === 0)).toBe(true);
    const { stdout, exitCode } = Bun.spawnSync(["tar", "-t"], { stdin: bytes });
    expect([exitCode, stdout.toString().trim().split("\n").length]).toEqual([0, 2]);
  });

  test("that a receiver stores meanwhile are not given out", async () => {
    // More than a page of rows.
    for (let at = 0; at < 600; at += 1) store("visible", `${at}.jpg`, at, text("old"));
    let more = 0;
    const output = (): Promise<void> => {
      if (more < 3) store("visible", `new ${(more += 1)}.jpg`, 590, text("new"));
      return Promise.resolve();
    };
    expect((await given({ as: "stream", output })).report.frames).toBe(600);
  });
});
