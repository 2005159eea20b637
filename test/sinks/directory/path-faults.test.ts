/** A fault of one folder or file of a directory: everything else is stored, once, and nothing is lost. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Frame } from "../../../src/frame.ts";
import { type Disk, nodeDisk } from "../../../src/system/file-system.ts";
import { canMount, mountSmall } from "../../support/small-disk.ts";
import { commit, frameOf, lookupNow, openWriter, type Result, session, stage, store } from "../suite.ts";
import { DirectoryPlace } from "./directory-place.ts";

const places: DirectoryPlace[] = [];
afterEach(() => {
  for (const place of places.splice(0)) place.remove();
});

function makePlace(): DirectoryPlace {
  const place = new DirectoryPlace();
  places.push(place);
  return place;
}

function failed(code: string): Error {
  return Object.assign(new Error(code), { code });
}

const infrared = { origin: { device: "rig", source: "infrared", session } };
const named = (name: string, changes: Partial<Frame> = {}): Frame => frameOf(name, name, changes);

/** Nothing can be put into the folder of the infrared source while `code` is set. */
function faultyDisk(): Disk & { code: string | undefined } {
  const disk = {
    ...nodeDisk,
    code: undefined as string | undefined,
    renameNew: (from: string, to: string): boolean => {
      if (disk.code !== undefined && to.includes("/rig/infrared/")) throw failed(disk.code);
      return nodeDisk.renameNew(from, to);
    },
  };
  return disk;
}

describe("a folder that takes no files", () => {
  test.each(["EACCES", "EXDEV", "EROFS", "EIO"])(
    "(%s) holds its source, and is used again when it does",
    async (code) => {
      const place = makePlace();
      const disk = faultyDisk();
      const sink = place.open({ disk });
      disk.code = code;
      const results: Result[] = [];
      // Those before it have their names already when it fails.
      for (const frame of [named("1.jpg"), named("2.jpg"), named("1.png", infrared), named("3.jpg")]) {
        stage(sink, frame, frame.name, results);
      }
      expect(await commit(sink)).toBeUndefined();
      expect(results[2]).toMatchObject({ scope: "source", retryable: true });
      expect(String(results[2])).toContain(`${place.directory}/rig/infrared/1.png: cannot store frames`);
      expect([results[0], results[1], results[3]]).toEqual(["stored", "stored", "stored"]);
      expect([...place.stored().keys()].toSorted()).toEqual(
        ["1.jpg", "2.jpg", "3.jpg"].map((name) => `rig/visible/${name}`),
      );
      expect(place.query("SELECT count(*) FROM frames")).toEqual([[3]]);
      expect(place.temporaryFiles()).toEqual([]);
      expect(sink.retry(named("1.png", infrared))).toMatchObject({ scope: "source" });
      disk.code = undefined;
      expect(sink.retry(named("1.png", infrared))).toBeUndefined();
      expect(await store(sink, named("1.png", infrared), "1.png")).toBe("stored");
      // Nothing is left of trying.
      expect(readdirSync(join(place.directory, "rig/infrared"))).toEqual(["1.png"]);
      sink.dispose();
    },
  );

  // A disk that is mounted for one device may be full, and so may the quota of a folder.
  test.each(["EACCES", "ENOSPC", "EDQUOT"])(
    "that cannot even be made (%s) is found before the bytes of a frame",
    (code) => {
      const place = makePlace();
      let denied = true;
      const disk: Disk = {
        ...nodeDisk,
        makeDirectory: (path) => {
          if (denied && path.endsWith("/infrared")) throw failed(code);
          nodeDisk.makeDirectory(path);
        },
      };
      const sink = place.open({ disk });
      const fault = expect.objectContaining({ scope: "source" });
      expect(() => sink.open(named("1.png", infrared))).toThrow(fault);
      expect(sink.ready(1)).toBeUndefined();
      expect(typeof sink.open(named("1.jpg"))).toBe("object");
      denied = false;
      expect(sink.retry(named("1.png", infrared))).toBeUndefined();
      expect(typeof sink.open(named("1.png", infrared))).toBe("object");
      sink.dispose();
    },
  );

  test.skipIf(!canMount())("because nothing has room for it is no fault of its source", async () => {
    const place = makePlace();
    const unmount = mountSmall(place.directory, 400_000);
    try {
      let full = false;
      const makeDirectory = (path: string): void => {
        if (full) throw failed("ENOSPC");
        nodeDisk.makeDirectory(path);
      };
      const sink = place.open({ disk: { ...nodeDisk, makeDirectory } });
      expect(await store(sink, named("1.jpg"), "1.jpg")).toBe("stored");
      expect(() => writeFileSync(join(place.directory, "fill"), new Uint8Array(1e6))).toThrow("ENOSPC");
      full = true;
      expect(() => sink.open(named("1.png", infrared))).toThrow(expect.objectContaining({ scope: "destination" }));
      sink.dispose();
    } finally {
      unmount();
    }
  });

  test("and gives nothing back either: one file is left, and does no harm", async () => {
    const place = makePlace();
    const disk = faultyDisk();
    const sink = place.open({
      disk: {
        ...disk,
        remove: (path) => {
          if (path.includes("/rig/infrared/")) throw failed("EPERM");
          nodeDisk.remove(path);
        },
      },
    });
    for (let time = 0; time < 3; time += 1) expect(sink.retry(named("1.png", infrared))).toBeUndefined();
    expect(readdirSync(join(place.directory, "rig/infrared"))).toEqual([".framepipe-probe"]);
    expect(await store(sink, named("1.png", infrared), "1.png")).toBe("stored");
    sink.dispose();
  });

  test("that may not be looked into is not asked about", async () => {
    const place = makePlace();
    let denied = false;
    const disk: Disk = {
      ...nodeDisk,
      look: (path) => {
        if (denied && path.includes("/rig/infrared/")) throw failed("EACCES");
        return nodeDisk.look(path);
      },
    };
    const sink = place.open({ disk });
    await store(sink, named("1.png", infrared), "1.png");
    denied = true;
    expect(lookupNow(sink, infrared.origin, [named("1.png", infrared)])).toEqual([{ kind: "want" }]);
    sink.dispose();
  });

  test.skipIf(!canMount())("because another file system is mounted there", async () => {
    const place = makePlace();
    const unmount = mountSmall(join(place.directory, "rig/infrared"), 1e6);
    try {
      const sink = place.open();
      const results = stage(sink, named("1.png", infrared), "1.png");
      stage(sink, named("1.jpg"), "1.jpg", results);
      expect(await commit(sink)).toBeUndefined();
      expect(results).toEqual([expect.objectContaining({ scope: "source" }), "stored"]);
      expect(String(results[0])).toContain("it is on another file system, mount or quota");
      sink.dispose();
    } finally {
      unmount();
    }
  });
});

describe("a commit that is run again", () => {
  test("gives no frame a second name, in the order of the group", async () => {
    const place = makePlace();
    const disk = faultyDisk();
    const sink = place.open({ disk });
    disk.code = "EACCES";
    const results: Result[] = [];
    stage(sink, frameOf("1.jpg", "one"), "one", results);
    stage(sink, frameOf("1.jpg", "two"), "two", results);
    stage(sink, frameOf("1.jpg", "one"), "one", results);
    stage(sink, named("1.png", infrared), "1.png", results);
    await commit(sink);
    expect(results.slice(0, 3)).toEqual(["stored", "conflict", "stored"]);
    expect(Object.fromEntries(place.stored())).toEqual({ "rig/visible/1.jpg": "one", "rig/visible/1~2.jpg": "two" });
    sink.dispose();
  });

  test("says of a file that was removed meanwhile that its frame is to be sent again", async () => {
    const place = makePlace();
    let removed = false;
    const disk: Disk = {
      ...nodeDisk,
      syncDirectories: (paths, done) => {
        // Retention comes between the name and the row, and takes the folder as well.
        if (!removed && existsSync(join(place.directory, "rig/visible/1.jpg"))) {
          rmSync(join(place.directory, "rig"), { recursive: true });
          removed = true;
        }
        nodeDisk.syncDirectories(paths, done);
      },
    };
    const sink = place.open({ disk });
    const results = stage(sink, named("1.jpg"), "1.jpg");
    expect(await commit(sink)).toBeUndefined();
    expect([removed, results[0]]).toEqual([true, expect.objectContaining({ scope: "frame", retryable: true })]);
    expect(place.query("SELECT * FROM frames")).toEqual([]);
    expect(await store(sink, named("1.jpg"), "1.jpg")).toBe("stored");
    sink.dispose();
  });

  test("says the same of a temporary file", async () => {
    const place = makePlace();
    const sink = place.open();
    const results = stage(sink, named("1.jpg"), "1.jpg");
    stage(sink, named("2.jpg"), "2.jpg", results);
    for (const name of place.temporaryFiles().slice(0, 1)) unlinkSync(join(place.directory, ".framepipe/tmp", name));
    expect(await commit(sink)).toBeUndefined();
    expect(results.filter((result) => result === "stored")).toHaveLength(1);
    expect(results.filter((result) => typeof result !== "string")).toEqual([
      expect.objectContaining({ scope: "frame", retryable: true }),
    ]);
    sink.dispose();
  });

  test("is not run again when a flush has failed: what was lost then is not found by flushing again", async () => {
    const place = makePlace();
    let flushes = 0;
    const disk: Disk = {
      ...nodeDisk,
      sync: (_handles, done) => {
        flushes += 1;
        queueMicrotask(() => done(flushes === 1 ? failed("EIO") : undefined));
      },
    };
    const sink = place.open({ disk });
    const results = stage(sink, named("1.jpg"), "1.jpg");
    const failure = await commit(sink);
    expect(failure).toMatchObject({ scope: "destination", message: expect.stringContaining("cannot flush frames") });
    expect([results, flushes]).toEqual([[failure as Result], 1]);
    sink.dispose();
  });
});

test("a frame larger than files may be is refused, and leaves nothing", () => {
  const place = makePlace();
  const disk: Disk = {
    ...nodeDisk,
    write: (handle, view) => {
      // The probe at the start is no frame.
      if (view[0] !== 0) throw failed("EFBIG");
      return nodeDisk.write(handle, view);
    },
  };
  const sink = place.open({ disk });
  const writer = openWriter(sink, named("1.jpg"));
  expect(() => writer.write(Buffer.from("1.jpg"))).toThrow(
    expect.objectContaining({
      scope: "frame",
      retryable: false,
      message: expect.stringContaining("rig/visible/1.jpg"),
    }),
  );
  writer.abort();
  expect(place.temporaryFiles()).toEqual([]);
  expect(sink.ready(1)).toBeUndefined();
  sink.dispose();
});
