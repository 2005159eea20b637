/** `--verify --rebuild` and `--replace`, by a receiver that has the directory and without one. */
import { Database } from "bun:sqlite";
import { afterEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { UserError } from "../../../src/errors.ts";
import type { DestinationEvent } from "../../../src/events.ts";
import type { SourceTotals } from "../../../src/frame.ts";
import type { Sink } from "../../../src/ports.ts";
import {
  catalogueFile,
  damagedFolder,
  lockFile,
  newCatalogueFile,
  ownFolder,
  requestsFolder,
} from "../../../src/sinks/directory/catalogue.ts";
import { mend, type Mended } from "../../../src/sinks/directory/mend.ts";
import { Requests, type VerifyRequest } from "../../../src/sinks/directory/requests.ts";
import { verify } from "../../../src/sinks/directory/verify.ts";
import type { Finding } from "../../../src/sinks/store/findings.ts";
import { Layout, layoutDefault } from "../../../src/sinks/store/layout.ts";
import { commit, frameOf, inSession, lookupNow, otherSession, session, stage, store } from "../suite.ts";
import { DirectoryPlace } from "./directory-place.ts";

const { origin } = frameOf("", "");
const rebuild: VerifyRequest = { kind: "rebuild" };
const places: DirectoryPlace[] = [];
afterEach(() => {
  for (const place of places.splice(0)) place.remove();
});

class Archive {
  readonly place = new DirectoryPlace();
  readonly events: DestinationEvent[] = [];
  readonly directory = this.place.directory;
  asked = 0;
  #sink: Sink | undefined;
  #looks: Timer | undefined;

  constructor() {
    places.push(this.place);
  }

  path(path: string): string {
    return join(this.directory, path);
  }

  /** A receiver, which looks at its destination now and then. */
  receiver(options: { readonly layout?: string } = {}): Sink {
    const { layout = layoutDefault } = options;
    const sink = this.place.open({
      layout: new Layout(layout),
      requests: new Requests(this.directory),
      onEvent: (event) => void this.events.push(event),
    });
    this.#sink = sink;
    this.#looks = setInterval(() => {
      this.place.nowMs += 1000;
      sink.ready(1);
    }, 5);
    return sink;
  }

  end(): void {
    clearInterval(this.#looks);
    this.#sink?.dispose();
  }

  async storeAll(names: readonly string[], of = {}): Promise<void> {
    const sink = this.receiver();
    for (const [sequence, name] of names.entries()) {
      expect(await store(sink, frameOf(name, name, { sequence, ...of }), name)).toBe("stored");
    }
    this.end();
  }

  mend(request: VerifyRequest, signal = new AbortController().signal): Promise<Mended> {
    const asking = (): void => void (this.asked += 1);
    return mend(request, { directory: this.directory, progress: () => undefined, asking, signal });
  }

  loseCatalogue(): void {
    for (const suffix of ["", "-wal", "-shm"]) rmSync(this.path(catalogueFile) + suffix, { force: true });
  }

  async findings(): Promise<Finding[]> {
    const findings: Finding[] = [];
    await verify({ directory: this.directory, found: (finding) => findings.push(finding), settleMs: 0 });
    return findings;
  }

  async kinds(): Promise<string[]> {
    return (await this.findings()).map(({ kind }) => kind);
  }
}

describe("a catalogue that is gone", () => {
  test("is made anew from the files: frames are known again, and verify says that their account is lost", async () => {
    const archive = new Archive();
    const names = ["1.jpg", "2.jpg", "day/3.jpg"];
    await archive.storeAll(names);
    const rows = "SELECT device, source, name, path, number, bytes, crc32, captured FROM frames ORDER BY name";
    const before = archive.place.query(rows);
    archive.loseCatalogue();
    expect(await archive.mend(rebuild)).toEqual({ kind: "rebuilt", frames: 3, sources: 1, passedOver: 0 });
    expect(archive.place.query(rows)).toEqual(before);
    const findings = await archive.findings();
    expect(findings).toEqual([
      { kind: "account-lost", device: "rig", source: "visible", session: expect.any(String) as string, frames: 3 },
    ]);
    const sink = archive.receiver();
    const frames = names.map((name, sequence) => frameOf(name, name, { ...inSession(otherSession), sequence }));
    expect(lookupNow(sink, { ...origin, session: otherSession }, frames).map(({ kind }) => kind)).toEqual([
      "have",
      "have",
      "have",
    ]);
    for (const frame of frames) expect(await store(sink, frame, frame.name)).toBe("duplicate");
    archive.end();
    expect(archive.place.stored().size).toBe(3);
    expect(await archive.kinds()).toEqual(["account-lost"]);
  });

  test("numbered names are those of conflicts, where the ones before are there", async () => {
    const archive = new Archive();
    const sink = archive.receiver();
    await store(sink, frameOf("17.jpg", "one"), "one");
    for (const content of ["two", "three"]) {
      expect(await store(sink, frameOf("17.jpg", content, { sequence: content.length }), content)).toBe("conflict");
    }
    await store(sink, frameOf("a~2.jpg", "own"), "own");
    await store(sink, frameOf("b.jpg", "own"), "own");
    await store(sink, frameOf("b~3.jpg", "own"), "own");
    for (const name of ["c~2.jpg", "c~3.jpg"]) await store(sink, frameOf(name, "own"), "own");
    archive.end();
    archive.loseCatalogue();
    await archive.mend(rebuild);
    expect(archive.place.query("SELECT name, path, number FROM frames ORDER BY path")).toEqual([
      ["17.jpg", "rig/visible/17.jpg", 1],
      ["17.jpg", "rig/visible/17~2.jpg", 2],
      ["17.jpg", "rig/visible/17~3.jpg", 3],
      ["a~2.jpg", "rig/visible/a~2.jpg", 1],
      ["b.jpg", "rig/visible/b.jpg", 1],
      ["b~3.jpg", "rig/visible/b~3.jpg", 1],
      ["c~2.jpg", "rig/visible/c~2.jpg", 1],
      ["c~3.jpg", "rig/visible/c~3.jpg", 1],
    ]);
    expect(archive.place.query("SELECT outcome, sum(last - first + 1) FROM outcomes GROUP BY outcome")).toEqual([
      ["conflict", 2],
      ["stored", 6],
    ]);
  });

  test("what came first is the first to go again: in the order of the times of change", async () => {
    const archive = new Archive();
    const sink = archive.receiver();
    for (const [sequence, name] of ["9.jpg", "1.jpg", "5.jpg", "7.jpg", "3.jpg"].entries()) {
      await store(sink, frameOf(name, name, { sequence }), name);
      await Bun.sleep(15);
    }
    archive.end();
    archive.loseCatalogue();
    await archive.mend(rebuild);
    const rows = archive.place.query("SELECT name, received / 1000000 FROM frames ORDER BY id") as [string, number][];
    expect(rows.map(([name]) => name)).toEqual(["9.jpg", "1.jpg", "5.jpg", "7.jpg", "3.jpg"]);
    for (const [name, receivedMs] of rows) {
      expect(Math.floor(statSync(archive.path(`rig/visible/${name}`)).ctimeMs)).toBe(receivedMs);
    }
  });

  test("passes over what is no frame: links, hidden files, what lies where the layout puts nothing", async () => {
    const archive = new Archive();
    await archive.storeAll(["1.jpg"]);
    const outside = join(archive.place.parent, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "2.jpg"), "2.jpg");
    symlinkSync(join(outside, "2.jpg"), archive.path("rig/visible/2.jpg"));
    symlinkSync(outside, archive.path("rig/linked"));
    writeFileSync(archive.path("rig/visible/.hidden"), "");
    mkdirSync(archive.path("lost+found/a/b"), { recursive: true });
    writeFileSync(archive.path("lost+found/a/b/c"), "");
    writeFileSync(archive.path("notes.txt"), "mine");
    writeFileSync(archive.path("rig/notes.txt"), "mine");
    archive.loseCatalogue();
    // The two links, and the two of the user.
    expect(await archive.mend(rebuild)).toEqual({ kind: "rebuilt", frames: 1, sources: 1, passedOver: 4 });
    expect(archive.place.query("SELECT path FROM frames")).toEqual([["rig/visible/1.jpg"]]);
  });

  test("of another layout is made anew with that one; with one that finds nothing, nothing is done", async () => {
    const archive = new Archive();
    const layout = "{date}/{device}-{source}/{name}";
    const sink = archive.receiver({ layout });
    await store(sink, frameOf("1.jpg", "one"), "one");
    archive.end();
    archive.loseCatalogue();
    const tried = ["{date}/{name}", "{device}/x/{source}/{name}", "{device}"];
    for (const wrong of tried) {
      await expect(archive.mend({ ...rebuild, layout: wrong })).rejects.toBeInstanceOf(UserError);
    }
    expect(existsSync(archive.path(catalogueFile))).toBe(false);
    expect(readdirSync(archive.path(ownFolder)).toSorted()).toEqual(["lock", "requests", "tmp"]);
    expect(await archive.mend({ ...rebuild, layout })).toMatchObject({ kind: "rebuilt", frames: 1 });
    expect(archive.place.query("SELECT device, source, name FROM frames")).toEqual([["rig", "visible", "1.jpg"]]);
  });

  test("nothing is left in a directory that is no receiver's", async () => {
    const archive = new Archive();
    mkdirSync(archive.directory);
    writeFileSync(archive.path("letter.txt"), "mine");
    await expect(archive.mend(rebuild)).rejects.toThrow("has no file where --layout");
    expect(readdirSync(archive.directory)).toEqual(["letter.txt"]);
    await expect(mendAt(archive.path("letter.txt"))).rejects.toThrow("is no directory");
    await expect(mendAt(archive.path("nowhere"))).rejects.toThrow("is no directory");
  });

  test("ended in the middle, nothing has changed", async () => {
    const archive = new Archive();
    await archive.storeAll(["1.jpg", "2.jpg"]);
    truncateSync(archive.path(catalogueFile), 0);
    const stop = new AbortController();
    // More files than are read in one turn.
    for (let index = 0; index < 300; index += 1) writeFileSync(archive.path(`rig/visible/more${index}.jpg`), "more");
    const mended = archive.mend(rebuild, stop.signal);
    stop.abort(new UserError("stopped", []));
    await expect(mended).rejects.toThrow("stopped");
    expect(readFileSync(archive.path(catalogueFile)).byteLength).toBe(0);
    expect(readdirSync(archive.path(ownFolder)).filter((name) => name.includes(".new"))).toEqual([]);
    expect(await archive.mend(rebuild)).toMatchObject({ kind: "rebuilt", frames: 302 });
    // Of one that was killed there.
    writeFileSync(archive.path(newCatalogueFile), "half");
    archive.receiver();
    archive.end();
    expect(readdirSync(archive.path(ownFolder)).filter((name) => name.includes(".new"))).toEqual([]);
  });

  test("a damaged one is set aside with its log", async () => {
    const archive = new Archive();
    await archive.storeAll(["1.jpg"]);
    writeFileSync(archive.path(catalogueFile), "x".repeat(5000));
    writeFileSync(`${archive.path(catalogueFile)}-wal`, "log");
    expect(await archive.mend(rebuild)).toMatchObject({ kind: "rebuilt", frames: 1 });
    const aside = readdirSync(archive.path(damagedFolder)).map((name) => name.replace(/\.2\d+-.*/, ""));
    expect(aside).toEqual(expect.arrayContaining(["catalogue.db", "catalogue.db-wal"]) as string[]);
    expect(await archive.kinds()).toEqual(["account-lost"]);
  });
});

async function usable(sink: Sink): Promise<void> {
  while (sink.ready(1) !== undefined) await Bun.sleep(5);
}

function mendAt(directory: string): Promise<Mended> {
  const { signal } = new AbortController();
  return mend(rebuild, { directory, progress: () => undefined, asking: () => undefined, signal });
}

describe("a catalogue that does not know every file", () => {
  test("is told of them, and keeps what it has", async () => {
    const archive = new Archive();
    await archive.storeAll(["1.jpg", "2.jpg"]);
    archive.loseCatalogue();
    await archive.storeAll(["1.jpg", "3.jpg"]);
    expect(await archive.kinds()).toContain("unknown");
    const sessions = "SELECT session FROM frames WHERE name <> '2.jpg'";
    expect(await archive.mend(rebuild)).toEqual({ kind: "entered", frames: 1, sources: 1, passedOver: 0 });
    expect(archive.place.query(sessions)).toEqual([[session], [session]]);
    expect(await archive.kinds()).toEqual(["account-lost", "unended"]);
    expect(await archive.mend(rebuild)).toEqual({ kind: "entered", frames: 0, sources: 0, passedOver: 0 });
  });

  test("has them behind all others, and not those that are about to be removed", async () => {
    const archive = new Archive();
    await archive.storeAll(["1.jpg"]);
    for (const name of ["old.jpg", "leaving.jpg"]) writeFileSync(archive.path(`rig/visible/${name}`), "old");
    const database = new Database(archive.path(catalogueFile));
    database.run("INSERT INTO leaving VALUES ('rig/visible/leaving.jpg')");
    database.close();
    await Bun.sleep(15);
    const sinceMs = Date.now();
    expect(await archive.mend(rebuild)).toMatchObject({ kind: "entered", frames: 1 });
    const rows = archive.place.query("SELECT name, received / 1000000 FROM frames ORDER BY id") as [string, number][];
    expect(rows.map(([name]) => name)).toEqual(["1.jpg", "old.jpg"]);
    expect(rows[1]?.[1]).toBeGreaterThanOrEqual(sinceMs);
  });

  test("of a receiver that keeps no more than so much counts them", async () => {
    const archive = new Archive();
    const keep = { keepMs: undefined, keepBytes: 1_000_000, quotaOf: () => undefined };
    const requests = new Requests(archive.directory);
    const destination = archive.place.openStore(archive.place.options({ requests, keep }));
    const looks = setInterval(() => {
      archive.place.nowMs += 1000;
      destination.check({ bytes: 1, waitingBytes: 0 });
    }, 5);
    while (destination.expiry?.due === true) await destination.expiry.step();
    mkdirSync(archive.path("rig/visible"), { recursive: true });
    for (let index = 0; index < 300; index += 1) writeFileSync(archive.path(`rig/visible/${index}.jpg`), "picture");
    expect(await archive.mend(rebuild)).toMatchObject({ kind: "entered", frames: 300 });
    clearInterval(looks);
    expect(await destination.expiry?.step()).toBeGreaterThan(0);
    destination.close();
  });

  test("the session that was running when it was lost ends with numbers that only the lost one knew", async () => {
    const totals = (frames: number): SourceTotals => {
      return { frames, stored: frames, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
    };
    for (const order of ["rebuilt first", "ended first"]) {
      const archive = new Archive();
      await archive.storeAll(["0.jpg", "1.jpg"]);
      archive.loseCatalogue();
      if (order === "rebuilt first") await archive.mend(rebuild);
      let sink = archive.receiver();
      await store(sink, frameOf("2.jpg", "2.jpg", { sequence: 2 }), "2.jpg");
      let found: unknown = "nothing";
      sink.end({ origin, totals: totals(3) }, (result) => (found = result));
      await commit(sink);
      // Whether the totals are shared cannot be told once the account is known to be lost.
      expect(found).toEqual(order === "rebuilt first" ? "recorded" : { ...totals(1) });
      archive.end();
      if (order === "ended first") await archive.mend(rebuild);
      expect(await archive.kinds()).toEqual(["account-lost", "account-lost"]);
      // A later one has no such excuse.
      sink = archive.receiver();
      await store(sink, frameOf("5.jpg", "5.jpg", { ...inSession(otherSession), sequence: 1 }), "5.jpg");
      sink.end({ origin: { ...origin, session: otherSession }, totals: totals(2) }, () => undefined);
      await commit(sink);
      archive.end();
      expect(await archive.kinds()).toEqual(["unaccounted", "account-lost", "account-lost"]);
    }
  });
});

describe("a receiver that has the directory", () => {
  test("puts a catalogue back that it still has open, and nothing is lost", async () => {
    const archive = new Archive();
    const sink = archive.receiver();
    for (const [sequence, name] of ["1.jpg", "2.jpg"].entries()) {
      await store(sink, frameOf(name, name, { sequence }), name);
    }
    rmSync(archive.path(ownFolder), { recursive: true });
    while (!existsSync(archive.path(requestsFolder))) await Bun.sleep(5);
    expect(await archive.mend(rebuild)).toEqual({ kind: "put-back" });
    expect(archive.asked).toBe(1);
    await usable(sink);
    expect(await store(sink, frameOf("3.jpg", "3.jpg", { sequence: 2 }), "3.jpg")).toBe("stored");
    expect(await archive.kinds()).toEqual(["unended"]);
    archive.end();
    expect(archive.events.map(({ what }) => what)).toEqual(["begun", "rebuilt"]);
  });

  test("makes one anew that was emptied, from the files", async () => {
    const archive = new Archive();
    const sink = archive.receiver();
    await store(sink, frameOf("1.jpg", "one"), "one");
    truncateSync(archive.path(catalogueFile), 0);
    expect(await archive.mend(rebuild)).toMatchObject({ kind: "rebuilt", frames: 1 });
    await usable(sink);
    expect(await archive.kinds()).toEqual(["account-lost"]);
    archive.end();
  });

  test("makes one anew that is damaged and in use: nothing more is written to that one", async () => {
    const archive = new Archive();
    await archive.storeAll(["1.jpg"]);
    const sink = archive.receiver();
    const bytes = readFileSync(archive.path(catalogueFile));
    writeFileSync(archive.path(catalogueFile), bytes.fill(0x5a, 4096, 6 * 4096), { flag: "r+" });
    for (let at = 0; at < 300; at += 1) writeFileSync(archive.path(`rig/visible/more-${at}.jpg`), "more");
    const said = new Set<string | undefined>();
    const looks = setInterval(() => said.add(sink.ready(1)?.message), 1);
    expect(await archive.mend(rebuild)).toMatchObject({ kind: "rebuilt", frames: 301 });
    clearInterval(looks);
    expect([...said]).toContainEqual(expect.stringContaining("is damaged, and made anew"));
    await usable(sink);
    expect(await store(sink, frameOf("2.jpg", "2.jpg", { sequence: 1 }), "2.jpg")).toBe("stored");
    expect(await archive.kinds()).toEqual(["account-lost", "unended"]);
    archive.end();
  });

  test("that cannot make one anew goes on with the damaged one", async () => {
    const archive = new Archive();
    await archive.storeAll(["1.jpg"]);
    const sink = archive.receiver();
    const request: VerifyRequest = { kind: "rebuild", layout: "{device}/{source}/{date}/{name}" };
    const bytes = readFileSync(archive.path(catalogueFile));
    writeFileSync(archive.path(catalogueFile), bytes.fill(0x5a, 4096, 6 * 4096), { flag: "r+" });
    await expect(archive.mend(request)).rejects.toThrow("has no file where --layout");
    await usable(sink);
    archive.end();
  });

  test("keeps what it is receiving meanwhile", async () => {
    const archive = new Archive();
    const sink = archive.receiver();
    await store(sink, frameOf("1.jpg", "one"), "one");
    const results = stage(sink, frameOf("2.jpg", "two", { sequence: 1 }), "two");
    archive.loseCatalogue();
    await archive.mend(rebuild);
    await usable(sink);
    await commit(sink);
    expect(results).toEqual(["stored"]);
    expect([...archive.place.stored().values()]).toEqual(["one", "two"]);
    expect(await archive.kinds()).toEqual(["unended"]);
    archive.end();
  });

  test("enters files that it does not know, while it stores", async () => {
    const archive = new Archive();
    const sink = archive.receiver();
    await store(sink, frameOf("1.jpg", "one"), "one");
    writeFileSync(archive.path("rig/visible/2.jpg"), "2");
    expect(await archive.mend(rebuild)).toEqual({ kind: "entered", frames: 1, sources: 1, passedOver: 0 });
    expect((await archive.kinds()).toSorted()).toEqual(["account-lost", "unended"]);
    archive.end();
  });

  test("a request of another version is refused, and one for a receiver that ends is carried out here", async () => {
    const archive = new Archive();
    await archive.storeAll(["1.jpg"]);
    archive.receiver();
    await expect(archive.mend({ kind: "polish" } as unknown as VerifyRequest)).rejects.toThrow("does not know what");
    archive.end();

    const other = new Archive();
    await other.storeAll(["1.jpg"]);
    const lock = new Database(other.path(lockFile));
    lock.run("BEGIN EXCLUSIVE");
    other.loseCatalogue();
    const mended = other.mend(rebuild);
    await Bun.sleep(100);
    expect(other.asked).toBe(1);
    expect(readdirSync(other.path(requestsFolder)).map((name) => name.replace(/^[\da-f-]+/, ""))).toEqual([".request"]);
    lock.close();
    expect(await mended).toMatchObject({ kind: "rebuilt", frames: 1 });
    expect(readdirSync(other.path(requestsFolder))).toEqual([]);

    rmSync(other.path(requestsFolder), { recursive: true });
    const again = new Database(other.path(lockFile));
    again.run("BEGIN EXCLUSIVE");
    await expect(other.mend(rebuild)).rejects.toThrow("cannot be asked");
    again.close();
  });
});

describe("damaged files", () => {
  const names = ["1.jpg", "2.jpg", "3.jpg"];
  const damagedOf = (findings: readonly Finding[]) =>
    findings.flatMap((finding) => (finding.kind === "changed" ? [finding] : []));

  for (const running of [true, false]) {
    const who = running ? "by the receiver" : "without one";
    test(`are set aside ${who}, and stored when they are sent again`, async () => {
      const archive = new Archive();
      await archive.storeAll(names);
      writeFileSync(archive.path("rig/visible/1.jpg"), "1.jgp");
      rmSync(archive.path("rig/visible/2.jpg"));
      mkdirSync(archive.path("rig/visible/2.jpg"));
      let sink = running ? archive.receiver() : undefined;
      const files = damagedOf(await archive.findings());
      expect(files).toHaveLength(2);
      expect(await archive.mend({ kind: "replace", files })).toEqual({
        kind: "replaced",
        files: [
          { path: "rig/visible/1.jpg", movedTo: `${damagedFolder}/rig/visible/1.jpg` },
          { path: "rig/visible/2.jpg", stays: "is not a file" },
        ],
      });
      expect(archive.asked).toBe(running ? 1 : 0);
      expect(readFileSync(archive.path(`${damagedFolder}/rig/visible/1.jpg`), "utf8")).toBe("1.jgp");
      rmSync(archive.path("rig/visible/2.jpg"), { recursive: true });
      sink ??= archive.receiver();
      const frames = names.map((name, sequence) => frameOf(name, name, { ...inSession(otherSession), sequence }));
      expect(lookupNow(sink, { ...origin, session: otherSession }, frames).map(({ kind }) => kind)).toEqual([
        "want",
        "want",
        "have",
      ]);
      for (const frame of frames.slice(0, 2)) expect(await store(sink, frame, frame.name)).toBe("stored");
      archive.end();
      expect(new Set(await archive.kinds())).toEqual(new Set(["unended"]));
      expect(archive.place.stored().get("rig/visible/1.jpg")).toBe("1.jpg");
    });
  }

  test("stay where they are if they are whole by now, gone, or nothing of ours", async () => {
    const archive = new Archive();
    await archive.storeAll(names);
    const crc32 = (text: string): number => Bun.hash.crc32(text);
    const outside = join(archive.place.parent, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "1.jpg"), "mine");
    symlinkSync(outside, archive.path("rig/linked"));
    const stays = async (path: string, bytes = 5, checksum = crc32("1.jpg")): Promise<unknown> => {
      const mended = await archive.mend({ kind: "replace", files: [{ path, bytes, crc32: checksum }] });
      return mended.kind === "replaced" ? mended.files[0] : mended;
    };
    const path = "rig/visible/1.jpg";
    expect(await stays(path)).toEqual({ path, stays: "is whole by now" });
    expect(await stays("rig/visible/9.jpg")).toMatchObject({ stays: "is not there any more" });
    expect(await stays("rig/linked/1.jpg")).toMatchObject({ stays: "a link leads there" });
    for (const other of [
      `../outside/1.jpg`,
      join(outside, "1.jpg"),
      catalogueFile,
      "rig//visible/1.jpg",
      "",
      "rig/..",
    ]) {
      expect(await stays(other)).toMatchObject({ stays: "no frame can be there" });
    }
    expect(existsSync(join(outside, "1.jpg"))).toBe(true);
    expect(existsSync(archive.path(path))).toBe(true);
  });

  test("of one name are kept beside each other; a link is moved, and not what it leads to", async () => {
    const archive = new Archive();
    await archive.storeAll(names);
    const path = "rig/visible/1.jpg";
    const replaceIt = (): Promise<Mended> => archive.mend({ kind: "replace", files: [{ path, bytes: 5, crc32: 7 }] });
    await replaceIt();
    linkSync(archive.path("rig/visible/2.jpg"), archive.path(path));
    await replaceIt();
    symlinkSync("3.jpg", archive.path(path));
    await replaceIt();
    expect(readdirSync(archive.path(`${damagedFolder}/rig/visible`)).toSorted()).toEqual([
      "1.jpg",
      "1~2.jpg",
      "1~3.jpg",
    ]);
    expect(readFileSync(archive.path("rig/visible/3.jpg"), "utf8")).toBe("3.jpg");
  });
});
