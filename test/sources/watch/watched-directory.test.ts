import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type FrameEntry, Note } from "../../../src/frame.ts";
import { compareNatural } from "../../../src/names.ts";
import type { Clock, Listed } from "../../../src/ports.ts";
import type { SourceProblem } from "../../../src/sources/files/frame-files.ts";
import { WatchedDirectory, type WatchedDirectoryOptions } from "../../../src/sources/watch/watched-directory.ts";
import { systemClock } from "../../../src/system/system-clock.ts";
import type { OnFolderEvent, WatchFolder } from "../../../src/system/watch-folder.ts";
import { Random } from "../../support/random.ts";
import { hasLeases } from "../files/leases.ts";
import { jpegOf } from "../files/pictures.ts";

const end = Buffer.from("ffd9", "hex");
const jpeg = jpegOf;

/** Time that passes so many times faster, for what takes seconds. The wall clock does not: files have its times. */
function hurried(factor: number): Clock {
  return {
    ...systemClock,
    nowMs: () => systemClock.nowMs() * factor,
    after: (delayMs, run) => systemClock.after(delayMs / factor, run),
  };
}

let base = "";
let root = "";
let problems: SourceProblem[] = [];
let opened: WatchedDirectory[] = [];

/** Many small files are made in memory if that can be had: how long a disk takes is not the question. */
const quickFolder = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

beforeEach(() => {
  base = mkdtempSync(join(quickFolder, "framepipe-"));
  root = join(base, "camera");
  mkdirSync(root);
  problems = [];
  opened = [];
});
afterEach(() => {
  for (const source of opened) source.dispose();
  rmSync(base, { recursive: true, force: true });
});

function put(name: string, content: string | Uint8Array = jpeg(name), folder = root): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

/** As frames should be handed over: whole, by rename. */
function hand(name: string, content: string | Uint8Array = jpeg(name)): string {
  const temporary = put(`.${name.replaceAll("/", "_")}`, content);
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  renameSync(temporary, path);
  return path;
}

function age(path: string, seconds: number): void {
  const time = new Date(Date.now() - seconds * 1000);
  utimesSync(path, time, time);
}

/** A source, and all that was listed of it, as a session does it: it lists until there is nothing, then waits. */
class Watched {
  readonly source: WatchedDirectory;
  readonly listed: Listed[] = [];
  readonly listedAtMs: number[] = [];
  /** Nothing is listed until this is false. */
  paused: boolean;
  /** Each frame is settled at once, as if the receiver had it. */
  readonly #settling: boolean;

  constructor(
    options: Partial<WatchedDirectoryOptions> & { readonly paused?: boolean; readonly settling?: boolean } = {},
  ) {
    this.source = new WatchedDirectory({
      name: "visible",
      root,
      clock: systemClock,
      onProblem: (problem) => problems.push(problem),
      ...options,
    });
    this.paused = options.paused ?? false;
    this.#settling = options.settling ?? options.deleteSent !== true;
    opened.push(this.source);
    this.source.onReady = () => this.list();
    expect(this.source.list(0)).toEqual([]);
    this.list();
  }

  list(): void {
    if (this.paused) return;
    for (let batch = this.source.list(100); batch.length > 0; batch = this.source.list(100)) {
      expect(batch.length).toBeLessThanOrEqual(100);
      for (const listed of batch) {
        this.listed.push(listed);
        this.listedAtMs.push(performance.now());
        if (this.#settling) this.settle(this.listed.length - 1);
      }
    }
  }

  get names(): string[] {
    return this.listed.map(({ name }) => name);
  }

  /** As a gap if it is one. */
  settle(index: number, crc32?: number): void {
    const listed = this.listed.at(index) as Listed;
    const gap = "failure" in listed;
    const entry = gap ? { name: listed.name, bytes: 0, capturedNs: 0n } : listed;
    this.source.settled(entry, gap ? undefined : "stored", crc32);
  }

  entry(index: number): FrameEntry {
    const listed = this.listed.at(index);
    if (listed === undefined || "failure" in listed) throw new Error(`no frame: ${JSON.stringify(listed)}`);
    return listed;
  }

  content(index: number): Buffer {
    const frame = this.source.open(this.entry(index));
    const into = Buffer.alloc(frame.bytes);
    try {
      frame.read(into);
    } finally {
      frame.close();
    }
    return into;
  }

  async until(count: number, withinMs = 8000): Promise<void> {
    await until(
      () => this.listed.length >= count,
      withinMs,
      () => `${this.listed.length} of ${count} listed`,
    );
    // What comes twice comes soon.
    await Bun.sleep(30);
    expect(this.names).toHaveLength(count);
  }
}

async function until(done: () => boolean, withinMs = 8000, what = (): string => "it did not happen"): Promise<void> {
  const startMs = performance.now();
  while (!done()) {
    if (performance.now() - startMs > withinMs) throw new Error(what());
    await Bun.sleep(2);
  }
}

/**
 * The longest time without a turn for timers, in milliseconds of this thread's processor time: on the clock it is as
 * long as whatever else the machine does.
 */
function watchTurns(): () => number {
  let longestMicroseconds = 0;
  let last = process.threadCpuUsage();
  const beat = setInterval(() => {
    const { user, system } = process.threadCpuUsage(last);
    longestMicroseconds = Math.max(longestMicroseconds, user + system);
    last = process.threadCpuUsage();
  }, 1);
  return () => {
    clearInterval(beat);
    return longestMicroseconds / 1000;
  };
}

/** Watches begin with the first list; this is when they stand. */
async function watching(options: ConstructorParameters<typeof Watched>[0] = {}): Promise<Watched> {
  const watched = new Watched(options);
  await Bun.sleep(30);
  return watched;
}

/** Tells nothing of itself; what it would have told can be told by hand. */
function silent(): { readonly watchFolder: WatchFolder; readonly tell: Map<string, OnFolderEvent> } {
  const tell = new Map<string, OnFolderEvent>();
  const watchFolder: WatchFolder = (path, onEvent) => {
    const below = `${path}`.slice(root.length);
    tell.set(below, onEvent);
    return () => tell.delete(below);
  };
  return { watchFolder, tell };
}

describe("what is there at the start", () => {
  test("is known to nobody before it is asked for: a run that ends then has left something", () => {
    put("1.jpg");
    const onProblem = (problem: SourceProblem): void => void problems.push(problem);
    const source = new WatchedDirectory({ name: "visible", root, clock: systemClock, onProblem });
    opened.push(source);
    expect(source.unlistedFrames).toBeUndefined();
  });

  test("comes in natural order, hidden and temporary names left out, without `live`", async () => {
    for (const name of ["10.jpg", "2.jpg", "1/b.jpg", "1/10/x.jpg", "1/9/x.jpg", "a/z.jpg", "a.jpg"])
      age(put(name), 100);
    for (const name of [".1.jpg", ".thumb/1.jpg", "3.jpg.tmp", "4.part", "5.jpg.PARTIAL", "6.jpg~"])
      age(put(name), 100);
    const watched = new Watched();
    await watched.until(7);
    expect(watched.names).toEqual(["1/9/x.jpg", "1/10/x.jpg", "1/b.jpg", "2.jpg", "10.jpg", "a/z.jpg", "a.jpg"]);
    expect(watched.listed.some((listed) => "live" in listed)).toBe(false);
    expect(watched.content(3)).toEqual(jpeg("2.jpg"));
    expect(problems).toEqual([]);
  });

  test("include, links, bad names: as in a directory that is not watched, each said once", async () => {
    for (const name of ["1.jpg", "2.png", "a/3.jpg", "line\nbreak.jpg"]) age(put(name), 100);
    symlinkSync("nowhere", join(root, "dangling.jpg"));
    symlinkSync(base, join(root, "a/loop"));
    const watched = new Watched({ include: ["*.jpg"], clock: hurried(500) });
    await watched.until(4);
    expect(watched.names).toEqual(["1.jpg", "a/3.jpg", "dangling.jpg", ""]);
    // Minutes later, all of it has been looked at again.
    await Bun.sleep(500);
    await watched.until(4);
    expect(problems).toMatchObject([{ reason: "symlink", path: join(root, "a/loop") }]);
  });

  test("a file that is being written at the start is waited for", async () => {
    const fd = openSync(join(root, "1.jpg"), "w");
    writeSync(fd, jpeg().subarray(0, 1000));
    age(put("2.jpg"), 100);
    const watched = new Watched();
    await watched.until(1);
    writeSync(fd, jpeg().subarray(1000));
    closeSync(fd);
    await watched.until(2);
    expect(watched.names).toEqual(["2.jpg", "1.jpg"]);
    expect(watched.content(1)).toEqual(jpeg());
  });

  test("20,000 files keep nobody waiting", async () => {
    for (let number = 0; number < 20_000; number += 1) writeFileSync(join(root, `${number}`), "");
    Bun.spawnSync(["sh", "-c", `find . -type f -print0 | xargs -0 touch -d '2 hours ago'`], { cwd: root });
    const longestTurnMs = watchTurns();
    const watched = new Watched();
    await watched.until(20_000, 20_000);
    expect(watched.names).toEqual(Array.from({ length: 20_000 }, (_, number) => `${number}`));
    expect(longestTurnMs()).toBeLessThan(150);
  }, 60_000);
});

describe("what appears", () => {
  test("by rename is listed at once, whatever it is, and is live", async () => {
    const watched = await watching();
    const delays: number[] = [];
    for (const [index, name] of ["1.jpg", "2.raw", "3.png", "4.jpg"].entries()) {
      // Neither a trailer nor a known type, nor even JPEG data.
      hand(name, `whole ${name}`);
      const handedMs = performance.now();
      await watched.until(index + 1);
      delays.push((watched.listedAtMs[index] as number) - handedMs);
      expect(watched.listed[index]).toMatchObject({ name, live: true });
      expect(watched.content(index).toString()).toBe(`whole ${name}`);
    }
    // Right after it was written its times do not tell; a report of writing would come within 10 ms.
    expect(Math.min(...delays)).toBeLessThan(40);
  });

  test("from another directory, over an old frame, or as a link", async () => {
    const watched = await watching();
    renameSync(put("x", "moved in", base), join(root, "1"));
    await watched.until(1);
    hand("1", "moved over");
    await watched.until(2);
    symlinkSync(put("target", "behind a link", base), join(root, "2"));
    await watched.until(3);
    expect(watched.names).toEqual(["1", "1", "2"]);
    expect(watched.content(1).toString()).toBe("moved over");
    expect(watched.content(2).toString()).toBe("behind a link");
  });

  test("written in place is listed soon after its trailer", async () => {
    const watched = await watching();
    const delays: number[] = [];
    for (let index = 0; index < 3; index += 1) {
      put(`${index}.jpg`);
      const writtenMs = performance.now();
      await watched.until(index + 1);
      delays.push((watched.listedAtMs[index] as number) - writtenMs);
      expect(watched.content(index)).toEqual(jpeg(`${index}.jpg`));
    }
    // A machine that is busy may be late once.
    expect(Math.min(...delays)).toBeLessThan(400);
  });

  test.each([true, false])(
    "a slow writer's file is listed once, when it is whole (kept open: %p)",
    async (keptOpen) => {
      const watched = await watching();
      const content = jpeg("slow", 100_000);
      const path = join(root, "1.jpg");
      let fd = openSync(path, "w");
      for (const [from, to] of [
        [0, 50_000],
        [50_000, 100_000],
        [100_000, content.length],
      ] as const) {
        writeSync(fd, content.subarray(from, to));
        if (!keptOpen) closeSync(fd);
        await Bun.sleep(300);
        if (to < content.length) expect(watched.listed).toEqual([]);
        if (!keptOpen) fd = openSync(path, "a");
      }
      closeSync(fd);
      await watched.until(1);
      expect(watched.content(0)).toEqual(content);
    },
  );

  test.skipIf(!hasLeases())("a type without a trailer is waited for as long as somebody has it open", async () => {
    const watched = await watching({ clock: hurried(10) });
    const fd = openSync(join(root, "1.raw"), "w");
    writeSync(fd, "half");
    // 3 s for the source: longer than any wait for a file that is closed.
    await Bun.sleep(300);
    expect(watched.listed).toEqual([]);
    // As if it had paused for minutes.
    age(join(root, "1.raw"), 200);
    await Bun.sleep(100);
    expect(watched.listed).toEqual([]);
    writeSync(fd, " and half");
    closeSync(fd);
    await watched.until(1);
    expect(watched.content(0).toString()).toBe("half and half");
  });

  test("an empty file has not come whole: a script will append to it", async () => {
    const watched = await watching();
    const path = join(root, "1.raw");
    closeSync(openSync(path, "w"));
    await Bun.sleep(200);
    expect(watched.listed).toEqual([]);
    appendFileSync(path, "content");
    await watched.until(1);
    expect(watched.content(0).toString()).toBe("content");
  });

  test.skipIf(!hasLeases())(
    "a writer that never closes its files is named after a minute, and waited for",
    async () => {
      const watched = await watching({ clock: hurried(200) });
      const fd = openSync(join(root, "1.jpg"), "w");
      writeSync(fd, jpeg());
      await until(() => problems.length > 0);
      expect(problems).toMatchObject([{ path: join(root, "1.jpg"), reason: "held" }]);
      expect(watched.listed).toEqual([]);
      closeSync(fd);
      await watched.until(1);
      watched.source.dispose();
      expect(problems).toHaveLength(1);
    },
  );

  test.skipIf(!hasLeases())("what is held open, or is not finished, is named when we are stopped", async () => {
    const watched = await watching();
    const fd = openSync(join(root, "1.raw"), "w");
    writeSync(fd, "half");
    put("2.jpg", jpeg().subarray(0, 500));
    await Bun.sleep(50);
    watched.source.dispose();
    watched.source.dispose();
    closeSync(fd);
    expect(problems.map(({ path, reason }) => [path, reason])).toEqual([
      [join(root, "1.raw"), "unfinished"],
      [join(root, "2.jpg"), "unfinished"],
    ]);
  });

  test("a JPEG that never gets its end is sent as it is after a minute, with a note", async () => {
    const watched = await watching({ clock: hurried(100) });
    put("1.jpg", jpeg().subarray(0, 500));
    put("2.jpg", "");
    await watched.until(2);
    expect(watched.listed).toMatchObject([
      { name: "2.jpg", bytes: 0 },
      { name: "1.jpg", bytes: 500, notes: Note.incomplete },
    ]);
    expect(problems).toMatchObject([{ path: join(root, "1.jpg"), reason: "incomplete" }]);
    put("1.jpg", jpeg());
    await watched.until(3);
    expect(watched.entry(2).notes).toBeUndefined();
  });

  test("under a temporary name only when it has its own", async () => {
    const watched = await watching();
    for (const name of ["1.jpg.tmp", "2.part", "3.jpg.partial", "4.jpg~", ".5.jpg"]) put(name);
    await Bun.sleep(100);
    expect(watched.listed).toEqual([]);
    renameSync(join(root, "1.jpg.tmp"), join(root, "1.jpg"));
    renameSync(join(root, ".5.jpg"), join(root, "5.jpg"));
    await watched.until(2);
    expect(watched.names).toEqual(["1.jpg", "5.jpg"]);
  });

  test("in new folders, made with files at once, moved in, moved on", async () => {
    const watched = await watching();
    put("a/b/c/1.jpg");
    put("a/b/2.jpg");
    put("a/.hidden/3.jpg");
    await watched.until(2);
    // Both wait to be quiet: which is the first to be is a matter of chance. So it is wherever names are sorted here.
    expect(watched.names.toSorted(compareNatural)).toEqual(["a/b/2.jpg", "a/b/c/1.jpg"]);
    hand("a/b/c/4.jpg");
    await watched.until(3);
    put("x/5.jpg", jpeg(), base);
    renameSync(join(base, "x"), join(root, "x"));
    await watched.until(4);
    renameSync(join(root, "x"), join(root, "y"));
    await watched.until(5);
    hand("y/6.jpg");
    await watched.until(6);
    expect(watched.names.slice(2)).toEqual(["a/b/c/4.jpg", "x/5.jpg", "y/5.jpg", "y/6.jpg"]);
  });

  test("in a folder that was removed and made again", async () => {
    const watched = await watching();
    for (let round = 0; round < 3; round += 1) {
      put("a/1.jpg", jpeg(`round ${round}`));
      await watched.until(2 * round + 1);
      hand("a/2.jpg", jpeg(`round ${round}`));
      await watched.until(2 * round + 2);
      rmSync(join(root, "a"), { recursive: true });
    }
    expect(watched.names).toEqual(["a/1.jpg", "a/2.jpg", "a/1.jpg", "a/2.jpg", "a/1.jpg", "a/2.jpg"]);
  });

  test("only if it matches include", async () => {
    const watched = await watching({ include: ["*.jpg"] });
    hand("1.png");
    put("a/2.png");
    hand("2.jpg");
    put("a/3.jpg");
    await watched.until(2);
    expect(watched.names.toSorted(compareNatural)).toEqual(["2.jpg", "a/3.jpg"]);
  });

  test("again when it was rewritten, not when it was only touched upon", async () => {
    const watched = await watching();
    const path = hand("1.jpg", jpeg("first"));
    await watched.until(1);
    chmodSync(path, 0o600);
    await Bun.sleep(100);
    await watched.until(1);
    writeFileSync(path, jpeg("second!"));
    await watched.until(2);
    expect(watched.content(1)).toEqual(jpeg("second!"));
    // The same size, another time.
    await Bun.sleep(20);
    writeFileSync(path, jpeg("third!!"));
    await watched.until(3);
    expect(watched.content(2)).toEqual(jpeg("third!!"));
  });

  test("once, in its last state, if it was rewritten before it was listed", async () => {
    for (const order of ["oldest", "newest"] as const) {
      const watched = new Watched({ order, paused: true });
      await Bun.sleep(30);
      for (let state = 0; state < 5; state += 1) {
        hand(`${order}.jpg`, jpeg(`${order} ${state}`));
        await Bun.sleep(20);
      }
      const path = join(root, `${order}.jpg`);
      chmodSync(path, 0o600);
      await Bun.sleep(50);
      watched.paused = false;
      watched.list();
      const mine = watched.names.filter((name) => name === `${order}.jpg`);
      expect(mine).toHaveLength(1);
      expect(watched.content(watched.names.indexOf(`${order}.jpg`))).toEqual(jpeg(`${order} 4`));
      watched.source.dispose();
    }
  });

  test("often, and once in their last states, if nothing is listed for long", async () => {
    const { watchFolder, tell } = silent();
    const watched = new Watched({ watchFolder, paused: true, clock: hurried(20) });
    await Bun.sleep(30);
    const names = Array.from({ length: 150 }, (_, index) => `${index}`);
    for (let round = 1; round <= 8; round += 1) {
      for (const name of names) {
        age(put(name, "x".repeat(round)), 100 + round);
        tell.get("/")?.("changed", name);
      }
      await Bun.sleep(20);
    }
    watched.paused = false;
    watched.list();
    await watched.until(names.length);
    // Each came when it had been quiet for long enough, the last rounds of some before those of others.
    expect(watched.names.toSorted(compareNatural)).toEqual(names);
    expect(watched.listed.every((listed) => "bytes" in listed && listed.bytes === 8)).toBe(true);
  });

  test("also if a word of it comes just when it would be listed", async () => {
    const { watchFolder, tell } = silent();
    const watched = new Watched({ watchFolder, paused: true });
    hand("1.jpg");
    await Bun.sleep(50);
    tell.get("/")?.("changed", "1.jpg");
    expect(watched.source.list(10)).toEqual([]);
    watched.paused = false;
    await watched.until(1);
  });

  test("a file changed while it is read is reported, and listed again when it is whole", async () => {
    const watched = await watching();
    const path = hand("1.jpg", jpeg("first", 100_000));
    await watched.until(1);
    const frame = watched.source.open(watched.entry(0));
    frame.read(Buffer.alloc(1000));
    const fd = openSync(path, "w");
    writeSync(fd, jpeg("other", 50_000));
    expect(() => frame.read(Buffer.alloc(frame.bytes))).toThrow("bytes when opened");
    frame.close();
    closeSync(fd);
    await watched.until(2);
    expect(watched.content(1)).toEqual(jpeg("other", 50_000));
  });

  test("a file replaced while it is read is read whole, and listed again", async () => {
    const watched = await watching();
    hand("1.jpg", jpeg("first", 100_000));
    await watched.until(1);
    const frame = watched.source.open(watched.entry(0));
    const into: Buffer = Buffer.alloc(frame.bytes);
    frame.read(into.subarray(0, 1000));
    hand("1.jpg", jpeg("second"));
    frame.read(into.subarray(1000));
    frame.close();
    expect(into).toEqual(jpeg("first", 100_000));
    await watched.until(2);
    expect(watched.content(1)).toEqual(jpeg("second"));
  });

  test("and is gone before it was listed: still listed, so that the gap is said", async () => {
    const watched = await watching({ paused: true });
    // Sees the same events, and right behind it: when this one has the frame, both know of it.
    const witness = await watching();
    const path = hand("1.jpg");
    // Not a frame yet, so nobody misses it.
    const fd = openSync(join(root, "2.jpg"), "w");
    writeSync(fd, "half");
    await witness.until(1);
    unlinkSync(path);
    unlinkSync(join(root, "2.jpg"));
    closeSync(fd);
    await Bun.sleep(50);
    watched.paused = false;
    watched.list();
    expect(watched.names).toEqual(["1.jpg"]);
    expect(() => watched.source.open(watched.entry(0))).toThrow("no longer there");
  });

  test.each(["written in place", "by rename"])(
    "20,000 files in a burst, %s: each once",
    async (how) => {
      const watched = await watching();
      const longestTurnMs = watchTurns();
      const script =
        how === "by rename"
          ? "mkdir .d; cd .d; seq 20000 | split -l 1 -a 4; mv * .."
          : "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i > $i; done";
      const burst = Bun.spawn(["sh", "-c", script], { cwd: root, stdout: "ignore" });
      await watched.until(20_000, 25_000);
      expect(await burst.exited).toBe(0);
      expect(new Set(watched.names).size).toBe(20_000);
      expect(longestTurnMs()).toBeLessThan(100);
    },
    60_000,
  );
});

const hasFfmpeg = Bun.which("ffmpeg") !== null;

describe.skipIf(!hasFfmpeg)("ffmpeg writes numbered pictures", () => {
  test.each([
    ["1", "jpg"],
    ["0", "jpg"],
    ["0", "png"],
  ])("-atomic_writing %s, %s", async (atomic, type) => {
    const watched = await watching();
    const input = ["-re", "-f", "lavfi", "-i", "testsrc=size=640x480:rate=60", "-frames:v", "60"];
    const output = ["-f", "image2", "-atomic_writing", atomic, join(root, `%d.${type}`)];
    const ffmpeg = Bun.spawn(["ffmpeg", "-v", "error", "-nostdin", ...input, ...output]);
    const torn: string[] = [];
    const check = setInterval(() => {
      for (let index = torn.length; index < watched.listed.length; index += 1) {
        const content = watched.content(index);
        torn.push(content.subarray(-2).equals(end) || content.includes("IEND") ? "" : watched.entry(index).name);
      }
    }, 1);
    await watched.until(60, 15_000);
    expect(await ffmpeg.exited).toBe(0);
    await until(() => torn.length === 60);
    clearInterval(check);
    expect(watched.names).toEqual(Array.from({ length: 60 }, (_, index) => `${index + 1}.${type}`));
    expect(torn.filter((name) => name !== "")).toEqual([]);
    for (let index = 0; index < 60; index += 1) {
      expect(watched.content(index).length).toBe(watched.entry(index).bytes);
    }
  });
});

describe("a file that is written again and again", () => {
  test("has a picture of its own name each time, if there is a way to name them; others keep theirs", async () => {
    let count = 0;
    const namePicture = (_capturedNs: bigint, extension: string): string => `picture-${(count += 1)}.${extension}`;
    const watched = await watching({ namePicture, deleteSent: true });
    const sendLast = (content: Buffer): void => {
      expect(watched.content(-1)).toEqual(content);
      watched.settle(-1);
    };
    for (let round = 1; round <= 3; round += 1) {
      hand("a/latest.jpg", jpeg(`round ${round}`));
      await watched.until(round);
      sendLast(jpeg(`round ${round}`));
      expect(readdirSync(join(root, "a"))).toEqual([]);
    }
    hand("other.jpg", jpeg("other"));
    await watched.until(4);
    sendLast(jpeg("other"));
    expect(watched.names).toEqual(["a/latest.jpg", "picture-1.jpg", "picture-2.jpg", "other.jpg"]);
  });

  test("also while the one before is on its way", async () => {
    const watched = await watching({ namePicture: () => "second.jpg", settling: false });
    hand("latest.jpg", jpeg("first"));
    await watched.until(1);
    hand("latest.jpg", jpeg("second"));
    await Bun.sleep(60);
    watched.settle(0);
    await watched.until(2);
    expect(watched.names).toEqual(["latest.jpg", "second.jpg"]);
    expect(watched.content(1)).toEqual(jpeg("second"));
    watched.settle(1);
    await Bun.sleep(50);
    await watched.until(2);
  });
});

describe("order newest", () => {
  test("waits until it knows what is the newest", async () => {
    const random = new Random(3);
    const keys = Array.from({ length: 3000 }, () => 100 + random.int(1e6));
    for (const [index, seconds] of keys.entries()) age(put(`${index}-${seconds}`, "x"), seconds);
    const watched = new Watched({ order: "newest" });
    await watched.until(3000);
    expect(watched.names.map((name) => Number(name.split("-")[1]))).toEqual(keys.toSorted((a, b) => a - b));
  });

  test("the latest capture time first, the backlog behind", async () => {
    const random = new Random(7);
    const ages = Array.from({ length: 500 }, (_, index) => 100 + index);
    const shuffled = ages.map((seconds) => ({ seconds, key: random.next() })).toSorted((a, b) => a.key - b.key);
    for (const { seconds } of shuffled) age(put(`${random.int(1e9)}-${seconds}-.jpg`), seconds);
    const watched = new Watched({ order: "newest", paused: true });
    // Not before everything has been looked at.
    expect(watched.source.list(1)).toEqual([]);
    let first: Listed[] = [];
    await until(() => (first = watched.source.list(10)).length > 0);
    expect(first.map(({ name }) => name.split("-")[1])).toEqual(ages.slice(0, 10).map(String));
    const left = (count: number): Promise<void> => until(() => watched.source.unlistedFrames === count);
    hand("live-1");
    await left(491);
    hand("live-2");
    // A camera that has lost its clock.
    const lost = put(".lost-3");
    age(lost, 1e9);
    renameSync(lost, join(root, "lost-3"));
    await left(493);
    expect(watched.source.list(100, true).map(({ name }) => name)).toEqual(["live-2", "live-1", "lost-3"]);
    expect(watched.source.list(100, true)).toEqual([]);
    expect(watched.source.list(1000).map(({ name }) => name.split("-")[1])).toEqual(ages.slice(10).map(String));
  });
});

describe("deleteSent", () => {
  test("goes round: each file is deleted after its ack, and its name can come again", async () => {
    const watched = await watching({ deleteSent: true });
    for (let round = 0; round < 20; round += 1) {
      const path = hand(`a${round % 3}.jpg`, jpeg(`round ${round}`));
      await watched.until(round + 1);
      const content = watched.content(round);
      expect(content).toEqual(jpeg(`round ${round}`));
      expect(existsSync(path)).toBe(true);
      watched.source.settled(watched.entry(round), "stored", Bun.hash.crc32(content));
      expect(existsSync(path)).toBe(false);
    }
    expect(readdirSync(root)).toEqual([]);
    expect(problems).toEqual([]);
  });

  test("the same bytes with the same time come again once the first were deleted", async () => {
    const watched = await watching({ deleteSent: true });
    for (let round = 0; round < 2; round += 1) {
      const temporary = put(".1.jpg");
      utimesSync(temporary, 1.7e9, 1.7e9);
      renameSync(temporary, join(root, "1.jpg"));
      await watched.until(round + 1);
      watched.content(round);
      // The next one comes before the event of the deletion has been looked at.
      watched.source.settled(watched.entry(round), "stored", undefined);
    }
    expect(existsSync(join(root, "1.jpg"))).toBe(false);
  });

  test("a file that changed since it was sent is kept, and sent again", async () => {
    const watched = await watching({ deleteSent: true });
    const path = hand("1.jpg", jpeg("first"));
    await watched.until(1);
    watched.content(0);
    appendFileSync(path, jpeg("more"));
    watched.source.settled(watched.entry(0), "stored", undefined);
    expect(problems).toMatchObject([{ path, reason: "kept" }]);
    await watched.until(2);
    watched.content(1);
    watched.source.settled(watched.entry(1), "stored", undefined);
    expect(existsSync(path)).toBe(false);
  });

  test("folders that were emptied are left alone", async () => {
    const watched = await watching({ deleteSent: true });
    put("a/b/1.jpg");
    await watched.until(1);
    watched.content(0);
    watched.source.settled(watched.entry(0), "duplicate", undefined);
    expect(readdirSync(join(root, "a/b"))).toEqual([]);
    hand("a/b/2.jpg");
    await watched.until(2);
  });
});

describe("what is still open for writing", () => {
  test.skipIf(!hasLeases()).each(["1.jpg", "1.raw"])(
    "is not sent for being old: %s, of which only the head is there",
    async (name) => {
      const fd = openSync(join(root, name), "w");
      writeSync(fd, jpeg().subarray(0, 500));
      age(join(root, name), 200);
      age(put("2.jpg"), 200);
      const watched = await watching({ clock: hurried(10) });
      await Bun.sleep(300);
      expect(watched.names).toEqual(["2.jpg"]);
      writeSync(fd, jpeg().subarray(500));
      closeSync(fd);
      await watched.until(2);
      expect(watched.content(1)).toEqual(jpeg());
    },
  );

  test.skipIf(!hasLeases())("is kept after its ack, and what is written later is sent", async () => {
    const watched = await watching({ deleteSent: true, clock: hurried(10) });
    const path = hand("1.jpg", jpeg("first"));
    await watched.until(1);
    watched.content(0);
    const fd = openSync(path, "r+");
    watched.settle(0);
    expect(problems).toMatchObject([{ path, reason: "kept", detail: expect.stringContaining("open for writing") }]);
    writeSync(fd, jpeg("second", 3_000));
    await Bun.sleep(100);
    expect(watched.listed).toHaveLength(1);
    closeSync(fd);
    await watched.until(2);
    expect(watched.content(1)).toEqual(jpeg("second", 3_000));
    watched.settle(1);
    expect(readdirSync(root)).toEqual([]);
  });
});

describe("a frame that could not be read", () => {
  /** Not a file while it is opened. */
  function failToOpen(watched: Watched, index: number): void {
    const path = join(root, watched.entry(index).name);
    renameSync(path, join(base, "aside"));
    mkdirSync(path);
    expect(() => watched.source.open(watched.entry(index))).toThrow("not a file any more");
    rmSync(path, { recursive: true });
    renameSync(join(base, "aside"), path);
  }

  test("is listed again after an event, once it is settled", async () => {
    const { watchFolder, tell } = silent();
    const watched = await watching({ watchFolder, settling: false });
    const path = hand("1.jpg");
    tell.get("/")?.("renamed", "1.jpg");
    await watched.until(1);
    failToOpen(watched, 0);
    chmodSync(path, 0o600);
    tell.get("/")?.("changed", "1.jpg");
    await Bun.sleep(50);
    await watched.until(1);
    watched.source.settled(watched.entry(0), undefined, undefined);
    await watched.until(2);
    expect(watched.content(1)).toEqual(jpeg("1.jpg"));
  });

  test("is found by a scan of all files if no event comes, not by one of the new names", async () => {
    const { watchFolder } = silent();
    age(put("1.jpg"), 100);
    const watched = await watching({ watchFolder, clock: hurried(200) });
    await watched.until(1);
    failToOpen(watched, 0);
    await watched.until(2);
    expect(watched.content(1)).toEqual(jpeg("1.jpg"));
  });

  test.skipIf(process.getuid?.() !== 0)("is one gap as long as it cannot be opened", async () => {
    chmodSync(base, 0o755);
    const path = put("1.jpg");
    chmodSync(path, 0o600);
    age(path, 100);
    const watched = await watching({ clock: hurried(200), paused: true, settling: false });
    process.seteuid?.(65_534);
    try {
      watched.paused = false;
      watched.list();
      expect(() => watched.source.open(watched.entry(0))).toThrow("permission denied");
      watched.source.settled(watched.entry(0), undefined, undefined);
      // Minutes.
      await Bun.sleep(1000);
      await watched.until(1);
    } finally {
      process.seteuid?.(0);
    }
    chmodSync(path, 0o644);
    await watched.until(2);
  });
});

describe("a file rewritten while it is on its way", () => {
  test("is listed again when it is settled", async () => {
    const watched = await watching({ settling: false });
    hand("1.jpg", jpeg("first"));
    await watched.until(1);
    hand("1.jpg", jpeg("second!"));
    await Bun.sleep(60);
    await watched.until(1);
    expect(watched.source.unlistedFrames).toBe(1);
    watched.settle(0);
    await watched.until(2);
    expect(watched.listed[1]).toMatchObject({ name: "1.jpg", live: true });
    expect(watched.source.unlistedFrames).toBe(0);
    watched.settle(1);
    await Bun.sleep(50);
    await watched.until(2);
  });

  test("with deleteSent is gone when its last state is stored, and no gap", async () => {
    const watched = await watching({ deleteSent: true });
    hand("1.jpg", jpeg("first"));
    await watched.until(1);
    hand("1.jpg", jpeg("second!"));
    await Bun.sleep(60);
    expect(watched.content(0)).toEqual(jpeg("second!"));
    watched.settle(0);
    expect(readdirSync(root)).toEqual([]);
    await Bun.sleep(60);
    await watched.until(1);
    expect(watched.source.unlistedFrames).toBe(0);
  });

  test.skipIf(!hasLeases())("in place, and read in the middle of it: a gap, and then a picture", async () => {
    const watched = await watching({ settling: false });
    const path = put("1.jpg", jpeg("first", 4_000));
    await watched.until(1);
    for (const half of ["", jpeg("second", 4_000).subarray(0, 2_000)]) {
      const fd = openSync(path, "w");
      writeSync(fd, half as string);
      expect(() => watched.content(0)).toThrow("is being written to again");
      closeSync(fd);
      // Closed, and not all there.
      expect(() => watched.content(0)).toThrow("is being written to again");
    }
    writeFileSync(path, jpeg("third", 4_000));
    watched.settle(0);
    await watched.until(2);
    expect(watched.content(1)).toEqual(jpeg("third", 4_000));
    expect(watched.content(0)).toEqual(jpeg("third", 4_000));
  });

  test("to the same size and time: it is asked for, and compared", async () => {
    const watched = await watching({ settling: false });
    const path = put("1.jpg", jpeg("first"));
    age(path, 100);
    await watched.until(1);
    watched.settle(0);
    const { atime, mtime } = statSync(path);
    const [crc32, other] = [jpeg("first"), jpeg("other")].map((content) => Bun.hash.crc32(content)) as [number, number];
    expect(watched.source.confirms(watched.entry(0), 1)).toBe(true);
    await Bun.sleep(20);
    writeFileSync(path, jpeg("other"));
    utimesSync(path, atime, mtime);
    await watched.until(2);
    expect(watched.listed[1]).not.toHaveProperty("live");
    expect([crc32, other].map((stored) => watched.source.confirms(watched.entry(1), stored))).toEqual([false, true]);
  });

  test("with deleteSent, to the same size and time: kept and sent", async () => {
    const watched = await watching({ deleteSent: true });
    const path = put("1.jpg", jpeg("first"));
    age(path, 100);
    await watched.until(1);
    watched.content(0);
    const time = statSync(path).mtime;
    await Bun.sleep(20);
    writeFileSync(path, jpeg("other"));
    utimesSync(path, time, time);
    watched.settle(0);
    await watched.until(2);
    expect(watched.listed[1]).toMatchObject({ live: true });
    expect(watched.content(1)).toEqual(jpeg("other"));
    watched.settle(1);
    expect(readdirSync(root)).toEqual([]);
  });
});

test("thousands of folders that are removed at once keep nobody waiting", async () => {
  const { watchFolder, tell } = silent();
  for (let number = 0; number < 8_000; number += 1) mkdirSync(join(root, `${number}`));
  const watched = new Watched({ watchFolder });
  await until(() => tell.size > 8_000);
  hand("1.jpg");
  for (let number = 0; number < 8_000; number += 1) rmSync(join(root, `${number}`), { recursive: true });
  const longestTurnMs = watchTurns();
  tell.get("/")?.("changed", undefined);
  await until(() => tell.size === 1);
  await Bun.sleep(5);
  expect(longestTurnMs()).toBeLessThan(300);
  await watched.until(1);
});

describe("events that do not come", () => {
  test("a rescan finds what none told of, in new folders too, and does not call it live", async () => {
    const { watchFolder } = silent();
    const watched = await watching({ watchFolder, clock: hurried(20) });
    put("1.jpg");
    put("a/2.jpg");
    await watched.until(2);
    put("a/3.jpg");
    await watched.until(3);
    expect(watched.names).toEqual(["1.jpg", "a/2.jpg", "a/3.jpg"]);
    expect(watched.listed.some((listed) => "live" in listed)).toBe(false);
  });

  test("a file rewritten without a word is found within minutes", async () => {
    const { watchFolder } = silent();
    const path = put("1.jpg");
    const watched = await watching({ watchFolder, clock: hurried(200) });
    await watched.until(1);
    await Bun.sleep(20);
    const fd = openSync(path, "r+");
    writeSync(fd, "other");
    closeSync(fd);
    await watched.until(2);
  });

  test("an overflow is healed at once, and no file is thought whole for want of an event", async () => {
    const { watchFolder, tell } = silent();
    put("0.jpg");
    const watched = await watching({ watchFolder });
    await watched.until(1);
    // By a script that will append to it: it was told of, but that it was written to is lost.
    put("1.raw", "half");
    tell.get("/")?.("renamed", "1.raw");
    put("2.jpg");
    put("a/3.jpg");
    put("0.jpg", jpeg("rewritten"));
    tell.get("/")?.("changed", undefined);
    const lostMs = performance.now();
    await watched.until(4);
    // Without an overflow all files are looked at every five seconds.
    expect((watched.listedAtMs[3] as number) - lostMs).toBeLessThan(2_000);
    expect(watched.names.slice(1).toSorted(compareNatural)).toEqual(["0.jpg", "2.jpg", "a/3.jpg"]);
    expect(watched.content(watched.names.lastIndexOf("0.jpg"))).toEqual(jpeg("rewritten"));
    appendFileSync(join(root, "1.raw"), " and half");
    await watched.until(5);
    expect(watched.content(4).toString()).toBe("half and half");
  });

  test("a file system that cannot be watched is said once, and looked through", async () => {
    const watchFolder: WatchFolder = () => {
      throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
    };
    mkdirSync(join(root, "a"));
    const watched = await watching({ watchFolder, clock: hurried(20) });
    put("a/1.jpg");
    await watched.until(1);
    expect(problems).toMatchObject([{ reason: "unwatched", path: root }]);
  });

  test("what is deleted by others is forgotten, and can come again", async () => {
    const { watchFolder } = silent();
    const watched = await watching({ watchFolder, clock: hurried(20) });
    const make = (): string => {
      const path = put("1.jpg");
      utimesSync(path, 1.7e9, 1.7e9);
      return path;
    };
    unlinkSync(make());
    const path = make();
    await watched.until(1);
    unlinkSync(path);
    // Long enough for a rescan, which is the only one to see it gone.
    await Bun.sleep(500);
    make();
    await watched.until(2);
  });
});

describe("the directory itself", () => {
  test("missing at the start: said once, waited for", async () => {
    rmSync(root, { recursive: true });
    const watched = await watching({ clock: hurried(20) });
    await Bun.sleep(200);
    expect(watched.listed).toEqual([]);
    expect(problems).toMatchObject([{ reason: "missing", path: root }]);
    put("1.jpg");
    await watched.until(1);
    hand("2.jpg");
    await watched.until(2);
    expect(problems).toHaveLength(1);
  });

  test.each(["removed and made again", "moved away and back", "another one moved there"])("%s", async (how) => {
    const watched = await watching({ clock: hurried(20) });
    hand("1.jpg");
    put("a/2.jpg");
    await watched.until(2);
    if (how === "removed and made again") rmSync(root, { recursive: true });
    else renameSync(root, join(base, "away"));
    await until(() => problems.length > 0);
    if (how === "moved away and back") renameSync(join(base, "away"), root);
    put("a/3.jpg");
    await until(() => watched.names.includes("a/3.jpg"));
    hand("4.jpg");
    await until(() => watched.names.includes("4.jpg"));
    // All that is there is listed anew: the receiver is asked whether it has it.
    const anew = how === "moved away and back" ? ["1.jpg", "a/2.jpg"] : [];
    expect(watched.names.slice(2).toSorted(compareNatural)).toEqual(
      [...anew, "4.jpg", "a/3.jpg"].toSorted(compareNatural),
    );
    expect(problems.map(({ reason }) => reason)).toEqual(["missing"]);
  });

  test("replaced by another between two looks: the new one is watched", async () => {
    const watched = await watching();
    renameSync(root, join(base, "away"));
    mkdirSync(root);
    put("1.jpg");
    await watched.until(1);
    hand("2.jpg");
    await watched.until(2);
    expect(watched.listed[1]).toMatchObject({ name: "2.jpg", live: true });
    expect(problems).toEqual([]);
  });

  test("away and back before anything was listed: each file once", async () => {
    const watched = new Watched({ clock: hurried(20), paused: true });
    put("a/1.jpg");
    hand("2.jpg");
    await Bun.sleep(100);
    renameSync(root, join(base, "away"));
    await until(() => problems.length > 0);
    renameSync(join(base, "away"), root);
    await Bun.sleep(600);
    watched.paused = false;
    watched.list();
    await watched.until(2);
    expect(watched.names).toEqual(["2.jpg", "a/1.jpg"]);
  });

  test.skipIf(process.getuid?.() === 0)(
    "a folder that cannot be read is said once, and read when it can be",
    async () => {
      put("a/1.jpg");
      chmodSync(join(root, "a"), 0);
      const watched = await watching({ clock: hurried(20) });
      await Bun.sleep(300);
      const before = [...problems];
      chmodSync(join(root, "a"), 0o700);
      expect(before).toMatchObject([{ reason: "unreadable", path: join(root, "a") }]);
      await watched.until(1);
      expect(problems).toHaveLength(1);
    },
  );
});

test("dispose ends watching, timers and reports; list stays empty and never ends", async () => {
  const { watchFolder, tell } = silent();
  mkdirSync(join(root, "a"));
  const watched = await watching({ watchFolder, clock: hurried(20) });
  expect([...tell.keys()]).toEqual(["/", "/a/"]);
  put("1.jpg");
  const said = tell.get("/");
  watched.source.dispose();
  watched.source.dispose();
  expect(tell.size).toBe(0);
  said?.("renamed", "1.jpg");
  await Bun.sleep(400);
  expect(watched.source.list(10)).toEqual([]);
  expect(watched.listed).toEqual([]);
});
