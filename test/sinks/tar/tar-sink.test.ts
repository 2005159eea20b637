/** The tar sink's own promises: what is in the archive, and that it outlives crashes, full disks and other programs. */
import { afterEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { encodeHead } from "../../../src/archive-formats/tar/format.ts";
import { scanTar } from "../../../src/archive-formats/tar/scan.ts";
import { crc32 } from "../../../src/bytes/checksum.ts";
import { SinkError, UserError } from "../../../src/errors.ts";
import type { Sink } from "../../../src/ports.ts";
import { openNodeArchiveFile } from "../../../src/sinks/archive/archive-file.ts";
import { Random } from "../../support/random.ts";
import { canMount, mountSmall } from "../../support/small-disk.ts";
import {
  type Result,
  commit,
  frameOf,
  inSession,
  lookupNow,
  openWriter,
  otherSession,
  session,
  sinkSuite,
  someEnd,
  someGap,
  stage,
  store,
} from "../suite.ts";
import { TarPlace } from "./tar-place.ts";

sinkSuite("tar", true, () => new TarPlace());
sinkSuite("tar, --sync each", true, () => new TarPlace({ sync: "each" }));
sinkSuite("tar, --sync never", true, () => new TarPlace({ sync: "never" }));

const places: TarPlace[] = [];
function makePlace(...args: ConstructorParameters<typeof TarPlace>): TarPlace {
  const place = new TarPlace(...args);
  places.push(place);
  return place;
}
afterEach(() => {
  for (const place of places.splice(0)) place.remove();
});

function userErrorOf(run: () => unknown): UserError {
  try {
    run();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

const origin = { device: "rig", source: "visible", session };

/** Which of these names, whose content is the name itself, the sink holds. */
function held(sink: Sink, names: readonly string[]): string[] {
  const verdicts = lookupNow(
    sink,
    origin,
    names.map((name) => frameOf(name, name)),
  );
  return names.filter((_name, index) => verdicts[index]?.kind === "have");
}

const long = `${"long/".repeat(30)}${"x".repeat(200)}.jpg`;

describe("tar sink: what is in the archive", () => {
  async function filledPlace(): Promise<TarPlace> {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one", { sequence: 7 }), "one");
    stage(sink, frameOf("1.jpg", "two"), "two");
    stage(sink, frameOf("größe 😀.png", "three"), "three");
    stage(sink, frameOf(long, "four", { capturedNs: 1n }), "four");
    sink.gap(someGap, () => {});
    sink.end(someEnd, () => {});
    await commit(sink);
    sink.dispose();
    return place;
  }

  test("GNU tar lists it without a complaint, with sizes and times", async () => {
    const place = await filledPlace();
    const lines = place.tar("-tv", "--full-time", "--quoting-style=literal").trimEnd().split("\n");
    expect(lines).toEqual([
      "-rw-r--r-- 0/0               3 2023-11-14 22:13:20.123456789 rig/visible/1.jpg",
      "-rw-r--r-- 0/0               3 2023-11-14 22:13:20.123456789 rig/visible/1~2.jpg",
      "-rw-r--r-- 0/0               5 2023-11-14 22:13:20.123456789 rig/visible/größe 😀.png",
      `-rw-r--r-- 0/0               4 1970-01-01 00:00:00.000000001 rig/visible/${long}`,
      expect.stringMatching(/ 2025-06-15 15:06:40.000000001 \.framepipe\/gaps\/\d{16}\.jsonl$/) as unknown as string,
      expect.stringMatching(/ 2025-06-15 15:06:40.000000001 \.framepipe\/ends\/\d{16}\.jsonl$/) as unknown as string,
    ]);
    expect(statSync(place.archive).size % 512).toBe(0);
  });

  test("gaps and ends can be read back", async () => {
    const place = await filledPlace();
    const { count, reason, name, detail, firstSequence } = someGap;
    // JSON has them in full; a number here is rounded.
    const recorded = Number(1_750_000_000_000_000_001n);
    expect(place.lines("gaps")).toEqual([{ ...origin, firstSequence, count, reason, name, detail, recorded }]);
    expect(place.lines("ends")).toEqual([{ ...origin, ...someEnd.totals, recorded }]);
    // All of them, from whatever commits.
    expect(place.tar("-x", "-O", "--wildcards", ".framepipe/gaps/*")).toEndWith(`"recorded":1750000000000000001}\n`);
  });

  test.skipIf(Bun.which("python3") === null)("Python's tarfile reads names, times, bytes and our facts", async () => {
    const place = await filledPlace();
    const program = `
import json, sys, tarfile, zlib
members = []
with tarfile.open(sys.argv[1]) as archive:
    for member in archive:
        data = archive.extractfile(member).read()
        facts = json.loads(member.pax_headers["comment"])
        assert facts["crc32"] == zlib.crc32(data)
        members.append([member.name, member.size, member.pax_headers["mtime"], data.decode()[:5], facts])
print(json.dumps(members))`;
    const result = Bun.spawnSync(["python3", "-W", "error", "-c", program, place.archive]);
    expect(result.stderr.toString()).toBe("");
    const members = JSON.parse(result.stdout.toString()) as [string, number, string, string, object][];
    expect(members.map(([name]) => name).slice(0, 4)).toEqual([
      "rig/visible/1.jpg",
      "rig/visible/1~2.jpg",
      "rig/visible/größe 😀.png",
      `rig/visible/${long}`,
    ]);
    const received = Number(1_750_000_000_000_000_001n);
    const facts = { framepipe: 1, device: "rig", source: "visible", session, received };
    expect(members[0]).toEqual([
      "rig/visible/1.jpg",
      3,
      "1700000000.123456789",
      "one",
      {
        ...facts,
        group: 0,
        archive: expect.stringMatching(/^[0-9a-f]{16}$/) as unknown as string,
        crc32: crc32(Buffer.from("one")),
        sequence: 7,
        name: "1.jpg",
        number: 1,
      },
    ]);
    expect(members[1]?.[4]).toMatchObject({ ...facts, name: "1.jpg", number: 2 });
    expect(members[3]?.slice(1, 4)).toEqual([4, "0.000000001", "four"]);
  });

  for (const program of ["bsdtar", "busybox"]) {
    test.skipIf(Bun.which(program) === null)(`${program} lists it without a complaint`, async () => {
      const place = await filledPlace();
      const words = program === "busybox" ? ["busybox", "tar", "-tf"] : ["bsdtar", "-tf"];
      const result = Bun.spawnSync([...words, place.archive], { env: { ...process.env, LC_ALL: "C.UTF-8" } });
      expect(result.stderr.toString()).toBe("");
      expect(result.stdout.toString().split("\n").slice(0, 2)).toEqual(["rig/visible/1.jpg", "rig/visible/1~2.jpg"]);
    });
  }

  test("is an empty archive before the first frame, and whole after each commit", async () => {
    const place = makePlace();
    const sink = place.open();
    expect(place.tar("-t")).toBe("");
    for (const name of ["1.jpg", "2.jpg", "3.jpg"]) {
      await store(sink, frameOf(name, name), name);
      expect(place.tar("-t")).toEndWith(`rig/visible/${name}\n`);
    }
    sink.dispose();
  });

  test("a layout gives the paths, and tells nothing of who sent what", async () => {
    const place = makePlace();
    const { Layout } = await import("../../../src/sinks/store/layout.ts");
    const sink = place.open({ layout: new Layout("{date}/{sequence}") });
    await store(sink, frameOf("1.jpg", "1.jpg"), "1.jpg");
    sink.dispose();
    expect(place.tar("-t")).toBe("2023-11-14/0\n");
    const other = place.open();
    expect(held(other, ["1.jpg", "2.jpg"])).toEqual(["1.jpg"]);
    other.dispose();
  });

  test("a member whose facts are torn is no stranger's, and nothing of its group counts unread", async () => {
    const place = makePlace();
    const first = place.open();
    await store(first, frameOf("1.jpg", "1.jpg"), "1.jpg");
    const at = statSync(place.archive).size - 1024;
    for (const name of ["2.jpg", "3.jpg"]) stage(first, frameOf(name, name), name);
    await commit(first);
    first.dispose();
    const memberBytes = (statSync(place.archive).size - 1024 - at) / 2;
    const torn = readFileSync(place.archive);
    // Of one member the bytes are lost, of the other its facts.
    torn.fill(0, at + memberBytes - 512, at + memberBytes);
    torn.fill(0, at + memberBytes + 512, at + memberBytes + 1024);
    writeFileSync(place.archive, torn);
    const sink = place.open();
    expect(held(sink, ["1.jpg", "2.jpg", "3.jpg"])).toEqual(["1.jpg"]);
    for (const name of ["2.jpg", "3.jpg"]) {
      expect(await store(sink, frameOf(name, name), name)).toBe("stored");
    }
    sink.dispose();
    expect([...place.stored().values()]).toEqual(["1.jpg", "2.jpg", "3.jpg"]);
  });

  test("what makes an archive ours is flushed before the rest of its first commit, unless --sync never", async () => {
    for (const sync of ["batch", "never"] as const) {
      const place = makePlace({ sync });
      const steps: string[] = [];
      const sink = place.open({}, (file) => ({
        write: (views, position) => {
          steps.push(`${position}: ${views.reduce((sum, view) => sum + view.byteLength, 0)}`);
          file.write(views, position);
        },
        sync: async () => {
          steps.push("sync");
          await file.sync();
        },
      }));
      await store(sink, frameOf("1.jpg", "1.jpg"), "1.jpg");
      const all = `0: ${statSync(place.archive).size}`;
      expect(steps).toEqual(sync === "never" ? [all] : ["0: 512", "sync", all, "sync"]);
      sink.dispose();
      // All that a power loss before the second flush may have left.
      truncateSync(place.archive, 512);
      truncateSync(place.archive, 20_000);
      const next = place.open();
      expect(await store(next, frameOf("1.jpg", "1.jpg"), "1.jpg")).toBe("stored");
      next.dispose();
      expect([...place.stored().values()]).toEqual(["1.jpg"]);
    }
  });

  test("members of 8 GiB and more, and archives of any size", () => {
    const place = makePlace();
    const bytes = 9 * 2 ** 30 + 5;
    const facts = { framepipe: 1, group: 0, crc32: 0, ...origin, sequence: 0, name: "1.raw", number: 1, received: 1 };
    const head = encodeHead({ path: "rig/1.raw", bytes, modifiedNs: 5n, comment: JSON.stringify(facts) });
    const end = head.byteLength + bytes + 507;
    const next = { ...facts, group: end, name: "2.raw" };
    const nextHead = encodeHead({ path: "rig/2.raw", bytes: 0, modifiedNs: 5n, comment: JSON.stringify(next) });
    const handle = openSync(place.archive, "w");
    writeSync(handle, head);
    writeSync(handle, nextHead, 0, nextHead.byteLength, end);
    ftruncateSync(handle, end + nextHead.byteLength + 1024);
    closeSync(handle);
    expect(place.tar("-tv")).toMatch(/ 9663676421 .*rig\/1\.raw\n.* 0 .*rig\/2\.raw\n/);
    const file = openNodeArchiveFile(place.archive, false);
    const frames: [string, number][] = [];
    const scanned = scanTar("x", file, ({ frame }) => frames.push([frame.name, frame.bytes]));
    expect(scanned.end).toBe(end + nextHead.byteLength);
    expect(frames).toEqual([
      ["1.raw", bytes],
      ["2.raw", 0],
    ]);
    file.close();
  });

  test("a frame too large for memory goes through a file that nobody sees", async () => {
    const place = makePlace();
    const sink = place.open({ frameBytesMax: 20_000_000 });
    const content = Buffer.alloc(9_000_001, new Random(1).bytes(5003));
    const writer = openWriter(sink, frameOf("1.raw", "", { bytes: content.byteLength }));
    for (let start = 0; start < content.byteLength; start += 700_000) {
      writer.write(content.subarray(start, start + 700_000));
    }
    expect(place.litter()).toEqual([".day.tar.lock"]);
    writer.finish(crc32(content), () => {});
    stage(sink, frameOf("2.jpg", "two"), "two");
    expect(await commit(sink)).toBeUndefined();
    sink.dispose();
    expect(place.litter()).toEqual([]);
    const dir = join(place.parent, "out");
    mkdirSync(dir);
    place.tar("-x", "-C", dir);
    expect(readFileSync(join(dir, "rig/visible/1.raw")).equals(content)).toBe(true);
    expect(readFileSync(join(dir, "rig/visible/2.jpg"), "utf8")).toBe("two");
  });
});

describe("tar sink: after a crash", () => {
  /** Commits of one to three frames, each with its name as content; `ends[i]` is the archive's size after commit i. */
  async function makeCommits(place: TarPlace, random: Random): Promise<{ ends: number[]; groups: string[][] }> {
    const sink = place.open();
    const ends: number[] = [];
    const groups: string[][] = [];
    for (let index = 0; index < 8; index += 1) {
      const names = Array.from({ length: 1 + random.int(3) }, (_, frame) => `${index}-${frame}.jpg`.padStart(4, "0"));
      for (const name of names) stage(sink, frameOf(name, name), name);
      if (random.chance(0.3)) sink.gap(someGap, () => {});
      expect(await commit(sink)).toBeUndefined();
      groups.push(names);
      ends.push(statSync(place.archive).size - 1024);
    }
    sink.dispose();
    return { ends, groups };
  }

  test("cut off anywhere: what was whole is held, the rest is sent again, and the archive is whole", async () => {
    const random = new Random(11);
    const place = makePlace();
    const { ends, groups } = await makeCommits(place, random);
    const names = groups.flat();
    const whole = join(place.parent, "whole");
    copyFileSync(place.archive, whole);
    for (let round = 0; round < 60; round += 1) {
      const cut = 512 + random.int(statSync(whole).size - 512);
      copyFileSync(whole, place.archive);
      truncateSync(place.archive, cut);
      const sink = place.open();
      const acknowledged = groups.filter((_group, index) => (ends[index] ?? 0) <= cut).flat();
      const known = held(sink, names);
      expect(known.slice(0, acknowledged.length), `cut at ${cut}`).toEqual(acknowledged);
      const results: Result[] = [];
      for (const name of names) stage(sink, frameOf(name, name, inSession(otherSession)), name, results);
      await commit(sink);
      expect(results).toEqual(names.map((name) => (known.includes(name) ? "duplicate" : "stored")));
      sink.dispose();
      // Unpacked into folders, which have no order; that of the archive is compared below.
      if (round % 10 === 0) expect([...place.stored().values()].toSorted()).toEqual(names.toSorted());
      expect(
        place
          .tar("-t")
          .split("\n")
          .filter((path) => path.startsWith("rig/")).length,
      ).toBe(names.length);
    }
  });

  test("heads without their bytes, as a power loss can leave them, are not taken for frames", async () => {
    const place = makePlace();
    const sink = place.open();
    const content = "y".repeat(2000);
    await store(sink, frameOf("1.jpg", content), content);
    const start = statSync(place.archive).size - 1024;
    stage(sink, frameOf("2.jpg", content), content);
    stage(sink, frameOf("3.jpg", content), content);
    stage(sink, frameOf("4.jpg", content), content);
    await commit(sink);
    sink.dispose();
    // The second of three: 1,536 bytes of heads and 2,048 of content each.
    const handle = openSync(place.archive, "r+");
    writeSync(handle, new Uint8Array(512), 0, 512, start + 3584 + 1536 + 512);
    closeSync(handle);
    const again = place.open();
    expect(place.tar("-t")).toBe("rig/visible/1.jpg\nrig/visible/2.jpg\n");
    const offers = ["1.jpg", "2.jpg", "3.jpg", "4.jpg"].map((name) => frameOf(name, content));
    expect(lookupNow(again, origin, offers).map(({ kind }) => kind)).toEqual(["have", "have", "want", "want"]);
    again.dispose();
  });

  test("damage in the middle is no torn end: the archive is refused and stays as it is", async () => {
    const place = makePlace();
    await makeCommits(place, new Random(3));
    const handle = openSync(place.archive, "r+");
    writeSync(handle, Buffer.from("damage"), 0, 6, 520);
    writeSync(handle, Buffer.from("damage"), 0, 6, 100);
    closeSync(handle);
    // Its very first block must still say whose it is.
    const start = Buffer.from(readFileSync(place.archive).subarray(0, 14)).toString();
    expect(start).toBe(".framepipe/pax");
    const before = readFileSync(place.archive);
    const error = userErrorOf(() => place.open());
    expect(error.message).toContain("it is not an archive that framepipe has begun");
    expect(readFileSync(place.archive).equals(before)).toBe(true);

    const other = makePlace();
    const { ends } = await makeCommits(other, new Random(4));
    const second = openSync(other.archive, "r+");
    writeSync(second, Buffer.from("damage"), 0, 6, (ends[2] ?? 0) + 100);
    closeSync(second);
    const damagedBytes = readFileSync(other.archive);
    expect(userErrorOf(() => other.open()).message).toContain(`it is damaged at byte ${ends[2]}`);
    expect(readFileSync(other.archive).equals(damagedBytes)).toBe(true);
  });

  test("what is found is flushed before it is called stored, unless --sync never", async () => {
    for (const [sync, expected] of [
      ["batch", ["syncNow"]],
      ["never", []],
    ] as const) {
      const place = makePlace();
      const first = place.open({ sync: "never" });
      await store(first, frameOf("1.jpg", "1.jpg"), "1.jpg");
      first.dispose();
      const calls: string[] = [];
      const sink = place.open({ sync }, (file) => ({
        resize: (bytes) => {
          calls.push("resize");
          file.resize(bytes);
        },
        syncNow: () => {
          calls.push("syncNow");
          file.syncNow();
        },
      }));
      expect(calls).toEqual([...expected]);
      expect(held(sink, ["1.jpg"])).toEqual(["1.jpg"]);
      sink.dispose();
    }
  });

  test("a frame that is itself such an archive, torn by a kill, is no damage", async () => {
    const inner = makePlace();
    await makeCommits(inner, new Random(7));
    const content = readFileSync(inner.archive);
    for (const before of [[], ["1.jpg"]]) {
      const place = makePlace({ frameBytesMax: 1_000_000 });
      const sink = place.open();
      for (const name of before) await store(sink, frameOf(name, name), name);
      const start = statSync(place.archive).size;
      const frame = frameOf("day.tar", "", { bytes: content.byteLength });
      const writer = openWriter(sink, frame);
      writer.write(content);
      writer.finish(crc32(content), () => {});
      expect(await commit(sink)).toBeUndefined();
      sink.dispose();
      truncateSync(place.archive, start + content.byteLength - 512);
      const next = place.open();
      expect(held(next, before)).toEqual(before);
      expect(lookupNow(next, origin, [frame])).toEqual([{ kind: "want" }]);
      expect(statSync(place.archive).size).toBe(start);
      next.dispose();
    }
  });

  test("a killed receiver's lock is gone with it, and its archive is continued", () => {
    const place = makePlace();
    const suitePath = join(import.meta.dir, "../suite.ts");
    const program = `
      const { openSink } = await import(${JSON.stringify(join(import.meta.dir, "../../../src/sinks/open-sink.ts"))});
      const { stage, frameOf, commit, openWriter } = await import(${JSON.stringify(suitePath)});
      const options = { sync: "batch", frameBytesMax: 20e6, minFreeBytes: 0, onClosed: () => {} };
      const sink = openSink(${JSON.stringify(place.archive)}, options);
      stage(sink, frameOf("1.jpg", "1.jpg"), "1.jpg");
      await commit(sink);
      stage(sink, frameOf("2.jpg", "2.jpg"), "2.jpg");
      openWriter(sink, frameOf("3.jpg", "", { bytes: 9e6 })).write(new Uint8Array(5));
      process.kill(process.pid, "SIGKILL");`;
    // Without a test runner around it, bun:test of the suite cannot be imported: the child is a test itself.
    const file = join(place.parent, "child.test.ts");
    writeFileSync(file, `import { test } from "bun:test";\ntest("dies", async () => {${program}});`);
    const child = Bun.spawnSync([process.execPath, "test", file], {
      cwd: place.parent,
      stdout: "ignore",
      stderr: "ignore",
    });
    expect(child.signalCode).toBe("SIGKILL");
    unlinkSync(file);
    expect(place.litter()).toEqual([".day.tar.lock"]);
    const sink = place.open();
    expect(held(sink, ["1.jpg", "2.jpg"])).toEqual(["1.jpg"]);
    sink.dispose();
    expect(place.litter()).toEqual([]);
  });
});

describe("tar sink: beside other programs", () => {
  test("one receiver at a time, by whatever name it calls the archive", async () => {
    const place = makePlace();
    const sink = place.open();
    const error = userErrorOf(() => place.open());
    expect(error.message).toBe(`${place.archive} is in use by another receiver`);
    expect(error.hints.length).toBe(1);
    const link = join(place.parent, "link.tar");
    symlinkSync(place.archive, link);
    expect(userErrorOf(() => place.open({ path: link })).message).toBe(`${link} is in use by another receiver`);
    // Whoever was refused has not taken the lock away.
    expect(userErrorOf(() => place.open()).message).toContain("in use");
    sink.dispose();
    place.open().dispose();
  });

  test("what framepipe has not begun is refused and stays as it is", () => {
    const contents: [what: string, bytes: Uint8Array][] = [
      ["text", Buffer.from("not an archive\n".repeat(100))],
      ["one byte", Buffer.from("x")],
      ["zeros", new Uint8Array(1_000_000)],
      ["zeros and more", Buffer.concat([new Uint8Array(2048), Buffer.from("data")])],
    ];
    for (const [what, bytes] of contents) {
      const place = makePlace();
      writeFileSync(place.archive, bytes);
      expect(userErrorOf(() => place.open()).message, what).toContain("it is not an archive that framepipe has begun");
      expect(readFileSync(place.archive).equals(bytes), what).toBe(true);
      expect(place.litter(), what).toEqual([]);
    }
    const place = makePlace();
    writeFileSync(join(place.parent, "file"), "a file");
    place.tar("-c", "-C", place.parent, "file");
    const before = readFileSync(place.archive);
    expect(userErrorOf(() => place.open()).message).toContain("it is not an archive that framepipe has begun");
    expect(readFileSync(place.archive).equals(before)).toBe(true);
  });

  test("an empty file and an empty archive are begun", async () => {
    for (const make of [
      (place: TarPlace) => writeFileSync(place.archive, ""),
      (place: TarPlace) => place.tar("-c", "-T", "/dev/null"),
    ]) {
      const place = makePlace();
      make(place);
      const sink = place.open();
      expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
      sink.dispose();
      expect(place.stored()).toEqual(new Map([["rig/visible/1.jpg", "one"]]));
    }
  });

  test("what somebody has added is kept, and its path is taken", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    sink.dispose();
    const deep = join(place.parent, "rig/visible", "deep".repeat(30));
    mkdirSync(deep, { recursive: true });
    writeFileSync(join(place.parent, "rig/visible/2.jpg"), "a stranger's");
    writeFileSync(join(deep, "3.jpg"), "deep");
    place.tar("-r", "-C", place.parent, "rig");
    const again = place.open();
    expect(await store(again, frameOf("2.jpg", "two"), "two")).toBe("conflict");
    expect(await store(again, frameOf(`${"deep".repeat(30)}/3.jpg`, "three"), "three")).toBe("conflict");
    expect(await store(again, frameOf("1.jpg", "one"), "one")).toBe("stored");
    again.dispose();
    expect(Object.fromEntries(place.stored())).toEqual({
      "rig/visible/1.jpg": "one",
      "rig/visible/2.jpg": "a stranger's",
      "rig/visible/2~2.jpg": "two",
      [`rig/visible/${"deep".repeat(30)}/3.jpg`]: "deep",
      [`rig/visible/${"deep".repeat(30)}/3~2.jpg`]: "three",
    });
  });

  test.skipIf(Bun.which("python3") === null)("what somebody has added in GNU's format is read", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    sink.dispose();
    const name = `${"deep/".repeat(20)}2.jpg`;
    const program = `
import io, sys, tarfile
with tarfile.open(sys.argv[1], "a", format=tarfile.GNU_FORMAT) as archive:
    member = tarfile.TarInfo(sys.argv[2])
    member.size = 3
    archive.addfile(member, io.BytesIO(b"old"))`;
    expect(Bun.spawnSync(["python3", "-c", program, place.archive, `rig/visible/${name}`]).stderr.toString()).toBe("");
    const again = place.open();
    expect(await store(again, frameOf(name, "two"), "two")).toBe("conflict");
    again.dispose();
    // Unpacked into folders, which have no order.
    expect([...place.stored().values()].toSorted()).toEqual(["old", "one", "two"]);
  });

  test("what somebody has added and not finished is cut off", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    sink.dispose();
    const end = statSync(place.archive).size - 1024;
    writeFileSync(join(place.parent, "large"), new Uint8Array(5000));
    place.tar("-r", "--format=ustar", "-C", place.parent, "large");
    truncateSync(place.archive, end + 512 + 4000);
    place.open().dispose();
    expect(statSync(place.archive).size).toBe(end + 1024);
    expect(place.tar("-t")).toBe("rig/visible/1.jpg\n");
  });

  test("places where no archive can be are user errors with a hint", () => {
    const place = makePlace();
    mkdirSync(place.archive);
    expect(userErrorOf(() => place.open()).message).toBe(`cannot store in ${place.archive}: it is not a file`);
    const gone = join(place.parent, "a/b.tar");
    const error = userErrorOf(() => place.open({ path: gone }));
    expect(error.message).toBe(`cannot store in ${gone}: there is no directory ${join(place.parent, "a")} (ENOENT)`);
    expect(error.hints).toEqual([`make it: mkdir -p '${join(place.parent, "a")}'`]);
    writeFileSync(join(place.parent, "file"), "");
    const below = userErrorOf(() => place.open({ path: join(place.parent, "file/x.tar") }));
    expect(below.message).toContain("a file stands where a directory is needed (ENOTDIR)");
    symlinkSync("circle.tar", join(place.parent, "circle.tar"));
    const circle = userErrorOf(() => place.open({ path: join(place.parent, "circle.tar") }));
    expect(circle.message).toContain("its symbolic links lead in a circle (ELOOP)");
    const longName = userErrorOf(() => place.open({ path: join(place.parent, `${"x".repeat(250)}.tar`) }));
    expect(longName.message).toContain("its name is too long: a lock file has to lie beside it");
  });
});

describe("tar sink: when the disk fails", () => {
  test("offers during a commit do not see what is not yet on the disk", async () => {
    const place = makePlace();
    const { promise: flushed, resolve: flush } = Promise.withResolvers<void>();
    let waits = false;
    const sink = place.open({}, (file) => ({ sync: () => (waits ? flushed : file.sync()) }));
    await store(sink, frameOf("1.jpg", "1.jpg"), "1.jpg");
    waits = true;
    stage(sink, frameOf("2.jpg", "2.jpg"), "2.jpg");
    const done = commit(sink);
    await Bun.sleep(20);
    expect(place.tar("-t")).toBe("rig/visible/1.jpg\nrig/visible/2.jpg\n");
    expect(held(sink, ["1.jpg", "2.jpg"])).toEqual(["1.jpg"]);
    flush();
    await done;
    expect(held(sink, ["1.jpg", "2.jpg"])).toEqual(["1.jpg", "2.jpg"]);
    sink.dispose();
  });

  test("--sync never does not wait for the disk", async () => {
    const place = makePlace({ sync: "never" });
    const sync = (): never => {
      throw new Error("not asked for");
    };
    const sink = place.open({}, () => ({ sync }));
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
    sink.dispose();
  });

  test("after a failed write or flush the archive ends where it did, and is readable at once", async () => {
    const place = makePlace();
    let failing = false;
    const sink = place.open({}, (file) => ({
      sync: async () => {
        await file.sync();
        if (failing) throw Object.assign(new Error("no"), { code: "EIO" });
      },
    }));
    await store(sink, frameOf("1.jpg", "1.jpg"), "1.jpg");
    const before = readFileSync(place.archive);
    failing = true;
    const results = stage(sink, frameOf("2.jpg", "2.jpg"), "2.jpg");
    const failure = await commit(sink);
    expect(failure?.message).toBe(
      `${place.archive}: cannot store frames: the disk reports an input/output error (EIO)`,
    );
    expect(results).toEqual([failure] as Result[]);
    expect(readFileSync(place.archive).equals(before)).toBe(true);
    expect(held(sink, ["1.jpg", "2.jpg"])).toEqual(["1.jpg"]);
    failing = false;
    expect(sink.ready(1)).toBeUndefined();
    expect(await store(sink, frameOf("2.jpg", "2.jpg"), "2.jpg")).toBe("stored");
    sink.dispose();
    expect([...place.stored().values()]).toEqual(["1.jpg", "2.jpg"]);
  });

  test("--sync each commits frame by frame: those before a failure are stored", async () => {
    const place = makePlace({ sync: "each" });
    let syncs = 0;
    const sink = place.open({}, (file) => ({
      sync: async () => {
        syncs += 1;
        // The first of them is that of the archive's first block.
        if (syncs === 3) throw Object.assign(new Error("no room"), { code: "ENOSPC" });
        await file.sync();
      },
    }));
    const results: Result[] = [];
    for (const name of ["1.jpg", "2.jpg", "3.jpg"]) stage(sink, frameOf(name, name), name, results);
    const failure = await commit(sink);
    expect(results).toEqual(["stored", failure, failure] as Result[]);
    sink.dispose();
    expect(place.tar("-t")).toBe("rig/visible/1.jpg\n");
  });

  test("behind a failure that nothing heals nothing more is written", async () => {
    const place = makePlace();
    let writes = 0;
    const sink = place.open({}, (file) => ({
      write: (views, position) => {
        writes += 1;
        if (writes === 1) throw new SinkError("broken for good", { retryable: false });
        file.write(views, position);
      },
    }));
    const results = stage(sink, frameOf("1.jpg", "one"), "one");
    const failing = commit(sink);
    stage(sink, frameOf("2.jpg", "two"), "two", results);
    const failure = await failing;
    expect(await commit(sink)).toBe(failure as SinkError);
    expect([writes, results]).toEqual([1, [failure, failure] as Result[]]);
    sink.dispose();
  });

  test("while a commit runs, dispose leaves the file to it", async () => {
    const place = makePlace();
    const { promise: flushed, resolve: flush } = Promise.withResolvers<void>();
    let closed = 0;
    const sink = place.open({}, (file) => ({
      sync: () => flushed,
      close: () => {
        closed += 1;
        file.close();
      },
    }));
    const results = stage(sink, frameOf("1.jpg", "one"), "one");
    const done = commit(sink);
    await Bun.sleep(5);
    sink.dispose();
    expect(closed).toBe(0);
    flush();
    expect(await done).toBeUndefined();
    expect([closed, results]).toEqual([1, ["stored"]]);
  });

  test("an archive that vanishes is waited for, never made anew, and used again when it is back", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "1.jpg"), "1.jpg");
    const away = join(place.parent, "away");
    renameSync(place.archive, away);
    for (let call = 0; call < 3; call += 1) {
      expect(sink.ready(1)?.message).toBe(`${place.archive} is gone; nothing is stored until it is back`);
    }
    expect(() => held(sink, ["1.jpg"])).toThrow(SinkError);
    expect(place.litter()).toEqual(["away"]);
    renameSync(away, place.archive);
    expect(sink.ready(1)).toBeUndefined();
    expect(held(sink, ["1.jpg"])).toEqual(["1.jpg"]);
    expect(await store(sink, frameOf("2.jpg", "2.jpg"), "2.jpg")).toBe("stored");
    sink.dispose();
    expect(place.litter()).toEqual([]);
  });

  test("another archive in its place is used, and no other file", async () => {
    const other = makePlace();
    const otherSink = other.open();
    await store(otherSink, frameOf("0.jpg", "0.jpg"), "0.jpg");
    otherSink.dispose();
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "1.jpg"), "1.jpg");
    const begun = openWriter(sink, frameOf("2.jpg", "2.jpg"));
    begun.write(Buffer.from("2.jpg"));
    writeFileSync(`${place.archive}.new`, "no archive, and long enough to be looked at: ".repeat(20));
    renameSync(`${place.archive}.new`, place.archive);
    expect(sink.ready(1)).toBeInstanceOf(SinkError);
    expect(sink.ready(1)?.message).toContain("it is not an archive that framepipe has begun");
    renameSync(other.archive, place.archive);
    expect(sink.ready(1)).toBeUndefined();
    expect(held(sink, ["0.jpg", "1.jpg"])).toEqual(["0.jpg"]);
    const results: Result[] = [];
    begun.finish(crc32(Buffer.from("2.jpg")), (result) => results.push(result));
    await commit(sink);
    expect(results).toEqual(["stored"]);
    sink.dispose();
    expect([...place.stored().values()]).toEqual(["0.jpg", "2.jpg"]);
  });

  test("below --min-free it is not ready", () => {
    const place = makePlace({ minFreeBytes: Number.MAX_SAFE_INTEGER });
    const sink = place.open();
    expect(sink.ready(1)?.message).toMatch(/ free, below --min-free /);
    sink.dispose();
  });

  test.skipIf(!canMount())("a full disk: nothing torn, told to the frames, and with room they are stored", async () => {
    const place = makePlace();
    const dir = join(place.parent, "disk");
    const unmount = mountSmall(dir, 1_000_000);
    try {
      const archive = join(dir, "day.tar");
      const filler = join(dir, "filler");
      const sink = place.open({ path: archive, frameBytesMax: 1_000_000 });
      await store(sink, frameOf("1.jpg", "one"), "one");
      writeFileSync(filler, Buffer.alloc(500_000));
      const content = "x".repeat(600_000);
      const results = stage(sink, frameOf("2.jpg", content), content);
      const failure = await commit(sink);
      expect(failure?.message).toBe(`${archive}: cannot store frames: the disk is full (ENOSPC)`);
      expect(results).toEqual([failure] as Result[]);
      expect(Bun.spawnSync(["tar", "-tf", archive]).stdout.toString()).toBe("rig/visible/1.jpg\n");
      expect(sink.ready(600_000)?.message).toContain("too little for a frame of 585 KiB");
      unlinkSync(filler);
      expect(sink.ready(600_000)).toBeUndefined();
      expect(await store(sink, frameOf("2.jpg", content), content)).toBe("stored");
      sink.dispose();

      // No room for anything when it starts: the sender waits.
      writeFileSync(filler, "");
      try {
        for (;;) appendFileSync(filler, Buffer.alloc(4096));
      } catch {
        // Now it is full.
      }
      const full = place.open({ path: archive });
      expect(full.ready(1)).toBeInstanceOf(SinkError);
      unlinkSync(filler);
      expect(full.ready(1)).toBeUndefined();
      expect(await store(full, frameOf("1.jpg", "one"), "one")).toBe("stored");
      full.dispose();
      expect(Bun.spawnSync(["tar", "-tf", archive]).stdout.toString()).toBe("rig/visible/1.jpg\nrig/visible/2.jpg\n");
    } finally {
      unmount();
    }
  });
});
