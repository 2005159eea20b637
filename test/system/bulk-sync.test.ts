/** Large groups are flushed by a thread with one call, and whatever becomes of the thread, each frame is told right. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  fdatasync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { BulkSync, type SyncFiles } from "../../src/system/bulk-sync.ts";
import { errorCode } from "../../src/system/errno.ts";
import { nodeDisk } from "../../src/system/file-system.ts";
import { DirectoryPlace } from "../sinks/directory/directory-place.ts";
import { commit, frameOf, openWriter, type Result, stage } from "../sinks/suite.ts";
import { canMount, mountSmall } from "../support/small-disk.ts";

let dir = "";
let opened: number[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "framepipe-"));
});

afterEach(() => {
  for (const handle of opened) closeSync(handle);
  opened = [];
  rmSync(dir, { recursive: true, force: true });
});

function makeFiles(count: number, bytes = 2_000, folder = dir): number[] {
  const content = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from({ length: count }, () => {
    const handle = openSync(join(folder, String(opened.length)), "wx");
    opened.push(handle);
    writeSync(handle, content);
    return handle;
  });
}

/** Flushes one by one, and counts how often it was asked to. */
class EachFile {
  count = 0;

  readonly sync: SyncFiles = (handles, done) => {
    this.count += 1;
    let left = handles.length;
    let first: unknown;
    for (const handle of handles) {
      fdatasync(handle, (failure) => {
        first ??= failure ?? undefined;
        left -= 1;
        if (left === 0) done(first);
      });
    }
  };
}

/** The failure, or undefined; rejects if it is given inside the call. */
function synced(sync: SyncFiles, handles: readonly number[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let inside = true;
    sync(handles, (failure) => (inside ? reject(new Error("done inside the call")) : resolve(failure)));
    inside = false;
  });
}

/** A program for the thread, in place of ours. `ready` is said by it. */
function program(text: string): URL {
  const path = join(dir, "program.ts");
  writeFileSync(path, text);
  return pathToFileURL(path);
}

/** A thread that is ready. */
async function readyBulk(each: EachFile, url?: URL): Promise<(handles: readonly number[]) => Promise<unknown>> {
  const bulk = url === undefined ? new BulkSync(each.sync) : new BulkSync(each.sync, url);
  const sync: SyncFiles = (handles, done) => bulk.sync(handles, done);
  // It says so to nobody but `bulk`; a file that was flushed by nobody else tells.
  do {
    await Bun.sleep(5);
    each.count = 0;
    expect(await synced(sync, makeFiles(1))).toBeUndefined();
  } while (each.count > 0);
  return (handles) => synced(sync, handles);
}

const linux = process.platform === "linux";

test.each([0, 1, 15, 16, 17, 300])("the disk flushes a group of %d files", async (count) => {
  expect(await synced((handles, done) => nodeDisk.sync(handles, done), makeFiles(count))).toBeUndefined();
});

describe.skipIf(!linux)("the thread", () => {
  test("is started by a group of 16, keeps the process for as long as it flushes, and no longer", () => {
    const script = `
      import { openSync, readdirSync, readFileSync } from "node:fs";
      import { nodeDisk } from ${JSON.stringify(join(import.meta.dir, "../../src/system/file-system.ts"))};
      const threads = () => readdirSync("/proc/self/task").map((id) =>
        readFileSync("/proc/self/task/" + id + "/comm", "utf8").trim()).filter((name) => name === "bulk-sync").length;
      let made = process.pid * 1000;
      const open = () => openSync(${JSON.stringify(dir)} + "/" + made++, "wx");
      const group = (count) => Array.from({ length: count }, open);
      const sync = (count) => new Promise((resolve) => nodeDisk.sync(group(count), resolve));
      await sync(15);
      await Bun.sleep(100);
      const said = [threads()];
      await sync(16);
      await Bun.sleep(100);
      said.push(threads());
      nodeDisk.sync(group(200), (failure) => console.log(JSON.stringify([...said, failure ?? "synced"])));
    `;
    const path = join(dir, "script.ts");
    writeFileSync(path, script);
    const { stdout, stderr, exitCode } = Bun.spawnSync([process.execPath, path], { timeout: 20_000 });
    expect([stdout.toString().trim(), stderr.toString(), exitCode]).toEqual(['[0,1,"synced"]', "", 0]);
    // One that has started and was never asked.
    writeFileSync(path, `${script.slice(0, script.indexOf("await sync(15)"))} await sync(16); await Bun.sleep(100);`);
    expect(Bun.spawnSync([process.execPath, path], { timeout: 5_000 }).exitCode).toBe(0);
  });

  test("flushes several groups, in order, and nothing is flushed file by file", async () => {
    const each = new EachFile();
    const sync = await readyBulk(each);
    const order: number[] = [];
    const counts = [40, 1, 200];
    const failures = await Promise.all(
      counts.map((count) => sync(makeFiles(count)).then((failure) => (order.push(count), failure))),
    );
    expect([failures, order, each.count]).toEqual([[undefined, undefined, undefined], counts, 0]);
  });

  test("names a handle that is no file, and goes on", async () => {
    const each = new EachFile();
    const sync = await readyBulk(each);
    expect(errorCode(await sync([...makeFiles(20), 1_000_000]))).toBeTruthy();
    expect(await sync(makeFiles(20))).toBeUndefined();
    expect(each.count).toBe(0);
  });

  test("tells what a thread's program found, with its code", async () => {
    const each = new EachFile();
    const text = `self.onmessage = ({ data }) =>
      postMessage(data.length === 1 ? "synced" : { code: "EIO", message: "it broke" });
      postMessage("ready");`;
    const failure = await (await readyBulk(each, program(text)))(makeFiles(2));
    expect([failure instanceof Error, errorCode(failure), each.count]).toEqual([true, "EIO", 0]);
  });

  const endings = {
    "throws in the middle": "throw new Error('died')",
    "ends in the middle": "process.exit(1)",
  };
  test.each(Object.entries(endings))("%s: what it had is flushed file by file, as is all after", async (_, ending) => {
    const each = new EachFile();
    const text = `self.onmessage = ({ data }) => {
      if (data.length > 1) { Bun.sleepSync(50); ${ending}; }
      postMessage("synced");
    };
    postMessage("ready");`;
    const sync = await readyBulk(each, program(text));
    expect(await Promise.all([sync(makeFiles(20)), sync(makeFiles(20))])).toEqual([undefined, undefined]);
    expect(each.count).toBe(2);
    expect(await sync(makeFiles(20))).toBeUndefined();
    expect(each.count).toBe(3);
  });

  test.each(["throw new Error('no syncfs here')", "not a program", undefined])("cannot start: %p", async (text) => {
    const each = new EachFile();
    const bulk = new BulkSync(each.sync, text === undefined ? pathToFileURL(join(dir, "none.ts")) : program(text));
    const sync: SyncFiles = (handles, done) => bulk.sync(handles, done);
    expect(await synced(sync, makeFiles(20))).toBeUndefined();
    await Bun.sleep(100);
    expect(await synced(sync, makeFiles(20))).toBeUndefined();
    expect(each.count).toBe(2);
  });

  test("has its files to the end when the sink is left, and the program goes on meanwhile", async () => {
    const each = new EachFile();
    const text = `import { fdatasyncSync } from "node:fs";
      self.onmessage = ({ data }) => {
        if (data.length > 1) Bun.sleepSync(200);
        try { for (const handle of data) fdatasyncSync(handle); postMessage("synced"); }
        catch (error) { postMessage({ code: error.code, message: error.message }); }
      };
      postMessage("ready");`;
    const sync = await readyBulk(each, program(text));
    let told: unknown = "nothing";
    let handles: readonly number[] = [];
    const place = new DirectoryPlace();
    try {
      const disk = {
        ...nodeDisk,
        sync: async (group: readonly number[], done: (failure: unknown) => void): Promise<void> => {
          handles = group;
          told = await sync(group);
          done(told);
        },
      };
      const sink = place.open({ disk });
      const results: Result[] = [];
      for (let at = 0; at < 20; at += 1) stage(sink, frameOf(`${at}.jpg`, "picture"), "picture", results);
      openWriter(sink, frameOf("unfinished.jpg", "picture"));
      const committed = commit(sink);
      let ticks = 0;
      const timer = setInterval(() => (ticks += 1), 5);
      sink.dispose();
      // The frames, and the list of the paths that they get.
      const frames = handles.filter((handle) => fstatSync(handle).size === "picture".length);
      expect([frames.length, handles.length]).toEqual([20, 21]);
      // A commit that is under way is completed before the directory is given back.
      expect(await committed).toBeUndefined();
      clearInterval(timer);
      // The thread found them all open.
      expect([told, each.count]).toEqual([undefined, 0]);
      expect(ticks).toBeGreaterThan(5);
      expect(results).toEqual(Array.from({ length: 20 }, () => "stored"));
      expect(place.temporaryFiles()).toEqual([]);
      expect(place.stored().size).toBe(20);
    } finally {
      place.remove();
    }
  });
});

/** An ext4 of 64 MiB whose device has room for six, mounted at `folder`. Undefined where it cannot be had. */
function mountFailing(below: string, folder: string): (() => void) | undefined {
  if (!canMount()) return undefined;
  const unmountDevice = mountSmall(below, 6 * 2 ** 20);
  mkdirSync(folder);
  const image = join(below, "image");
  const commands = [
    ["truncate", "--size=64M", image],
    ["mkfs.ext4", "-q", image],
    ["mount", "-o", "loop", image, folder],
  ];
  if (commands.every((command) => Bun.which(command[0] ?? "") !== null && Bun.spawnSync(command).success)) {
    return () => {
      Bun.spawnSync(["umount", "--lazy", folder]);
      unmountDevice();
    };
  }
  unmountDevice();
  return undefined;
}

/** Needs root, mkfs.ext4 and a loop device; what it takes is found by doing it. */
function canMountFailing(): boolean {
  const place = mkdtempSync(join(tmpdir(), "framepipe-"));
  const unmount = mountFailing(join(place, "device"), join(place, "mounted"));
  unmount?.();
  rmSync(place, { recursive: true });
  return unmount !== undefined;
}

test.skipIf(!canMountFailing())(
  "a device that fails to take what was written is told, not taken for stored",
  async () => {
    const folder = join(dir, "mounted");
    const unmount = mountFailing(join(dir, "device"), folder);
    expect(unmount).toBeDefined();
    try {
      const each = new EachFile();
      const sync = await readyBulk(each);
      expect(await sync(makeFiles(20, 2_000, folder))).toBeUndefined();
      expect(errorCode(await sync(makeFiles(200, 65_536, folder)))).toMatch(/^(EIO|ENOSPC)$/);
      expect(each.count).toBe(0);
    } finally {
      for (const handle of opened) closeSync(handle);
      opened = [];
      unmount?.();
    }
  },
  20_000,
);
