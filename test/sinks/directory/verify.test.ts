import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { UserError } from "../../../src/errors.ts";
import { type Frame, Note, type SourceEnd } from "../../../src/frame.ts";
import type { Sink } from "../../../src/ports.ts";
import { catalogueFile } from "../../../src/sinks/directory/catalogue.ts";
import { verify } from "../../../src/sinks/directory/verify.ts";
import type { Finding, VerifyReport } from "../../../src/sinks/store/findings.ts";
import { commit, frameOf, inSession, otherSession, session, someGap, stage, store } from "../suite.ts";
import { DirectoryPlace } from "./directory-place.ts";

/** A source whose frames were all stored. */
function endOf(frames: number): SourceEnd {
  const none = { duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
  return { origin: { device: "rig", source: "visible", session }, totals: { frames, stored: frames, ...none } };
}

describe("verify", () => {
  let place: DirectoryPlace;
  let sink: Sink;
  const at = (path: string): string => join(place.directory, path);

  beforeEach(async () => {
    place = new DirectoryPlace();
    sink = place.open();
    for (const [sequence, name] of ["1.jpg", "2.jpg", "day/3.jpg"].entries()) {
      stage(sink, frameOf(name, name, { sequence }), name);
    }
    sink.end(endOf(3), () => {});
    await commit(sink);
  });

  afterEach(() => {
    sink.dispose();
    place.remove();
  });

  async function check(directory = place.directory): Promise<{ report: VerifyReport; findings: Finding[] }> {
    const findings: Finding[] = [];
    const report = await verify({ directory, found: (finding) => findings.push(finding), settleMs: 0 });
    return { report, findings };
  }

  test("counts incomplete pictures, which are stored as they came and no difference", async () => {
    stage(sink, { ...frameOf("4.jpg", "half", { sequence: 3 }), notes: Note.incomplete | Note.noEndMarker }, "half");
    stage(sink, { ...frameOf("5.jpg", "odd", { sequence: 4 }), notes: Note.damagedHeader }, "odd");
    sink.end(endOf(5), () => {});
    await commit(sink);
    const { report, findings } = await check();
    expect(findings).toEqual([]);
    expect(report).toMatchObject({ sources: [{ frames: 5, incomplete: 1 }], clean: true });
  });

  test("a sound directory is clean, while the receiver runs and after it has ended", async () => {
    const expected = { device: "rig", source: "visible", frames: 3, bytes: 19, conflicts: 0, incomplete: 0 };
    for (const running of [true, false]) {
      if (!running) sink.dispose();
      const { report, findings } = await check();
      expect(findings).toEqual([]);
      expect(report).toEqual({
        sources: [
          {
            ...expected,
            missing: 0,
            changed: 0,
            gapFrames: 0,
            unaccounted: 0,
            unrecorded: 0,
            differing: 0,
            lostAccounts: 0,
            ended: true,
          },
        ],
        frames: 3,
        bytes: 19,
        missing: 0,
        changed: 0,
        unknown: 0,
        unconfirmed: 0,
        damaged: 0,
        gapFrames: 0,
        unaccounted: 0,
        unrecorded: 0,
        differing: 0,
        lostAccounts: 0,
        clean: true,
      });
    }
    expect(await store((sink = place.open()), frameOf("4.jpg", "4"), "4")).toBe("stored");
  });

  test("finds what is missing and what has changed", async () => {
    unlinkSync(at("rig/visible/1.jpg"));
    writeFileSync(at("rig/visible/2.jpg"), "2.jgp");
    appendFileSync(at("rig/visible/day/3.jpg"), "!");
    await store(sink, frameOf("4.jpg", "4"), "4");
    await store(sink, frameOf("5.jpg", "5"), "5");
    unlinkSync(at("rig/visible/4.jpg"));
    symlinkSync(at("rig/visible/5.jpg"), at("rig/visible/4.jpg"));
    unlinkSync(at("rig/visible/5.jpg"));
    mkdirSync(at("rig/visible/5.jpg"));
    const { report, findings } = await check();
    const frame = (name: string) => ({ device: "rig", source: "visible", name, path: `rig/visible/${name}` });
    const contents: Record<string, string> = { "2.jpg": "2.jpg", "day/3.jpg": "day/3.jpg", "4.jpg": "4", "5.jpg": "5" };
    const stored = (name: string) => {
      const bytes = contents[name] ?? "";
      return { bytes: bytes.length, crc32: Bun.hash.crc32(bytes) };
    };
    const changed = (name: string, detail: string) => ({ kind: "changed", ...frame(name), detail, ...stored(name) });
    expect(findings.filter(({ kind }) => kind !== "unended") as unknown[]).toEqual([
      { kind: "missing", ...frame("1.jpg") },
      changed("2.jpg", "has other bytes than were stored"),
      changed("day/3.jpg", "has 10 bytes, stored were 9"),
      changed("4.jpg", "is a symbolic link now, or behind one"),
      changed("5.jpg", "is not a file any more"),
    ]);
    expect([report.missing, report.changed, report.clean]).toEqual([1, 4, false]);
    expect(report.sources[0]).toMatchObject({ frames: 5, missing: 1, changed: 4 });
  });

  test("reads nothing outside of the directory, whatever a foreign catalogue says, or a link leads to", async () => {
    sink.dispose();
    // Everything that a check would find right: so it is not found because it is other than it should be.
    const outside = join(place.parent, "outside");
    mkdirSync(outside);
    for (const name of ["1.jpg", "2.jpg"]) writeFileSync(join(outside, name), name);
    writeFileSync(at(".framepipe/1.jpg"), "1.jpg");
    const named = at("rig/visible/1.jpg");
    const [link, folder] = [at("rig/visible/day"), at("rig/visible/day-moved")];
    renameSync(link, folder);
    symlinkSync(folder, link);
    const paths = [
      "../outside/1.jpg",
      join(outside, "1.jpg"),
      ".framepipe/1.jpg",
      "rig/./visible/1.jpg",
      "rig//visible/1.jpg",
    ];
    for (const path of paths) {
      using database = new Database(at(catalogueFile));
      database.run("UPDATE frames SET path = ? WHERE name = '1.jpg'", [path]);
      const { findings, report } = await check();
      const [first, second] = findings.filter(({ kind }) => kind === "changed") as { path: string; detail: string }[];
      expect([first?.path, first?.detail]).toEqual([
        path,
        expect.stringContaining("is at no path that a frame can have"),
      ]);
      expect([second?.path, second?.detail]).toEqual([
        "rig/visible/day/3.jpg",
        "is a symbolic link now, or behind one",
      ]);
      expect(report.changed).toBe(2);
    }
    expect(existsSync(named)).toBe(true);
  });

  test("finds a whole folder that is missing", async () => {
    rmSync(at("rig"), { recursive: true });
    expect((await check()).report).toMatchObject({ missing: 3, changed: 0, unknown: 0 });
  });

  test("finds what is not in the catalogue, but not what is ours", async () => {
    writeFileSync(at("notes.txt"), "by hand");
    writeFileSync(at("rig/visible/day/.hidden"), "");
    symlinkSync("1.jpg", at("rig/visible/link.jpg"));
    mkdirSync(at("empty/folder"), { recursive: true });
    writeFileSync(at(".framepipe/tmp/77"), "half a fra");
    const { report, findings } = await check();
    const paths = findings.flatMap((finding) => (finding.kind === "unknown" ? [finding.path] : []));
    // Looked for in the order in which the file system lists a folder.
    expect(paths.toSorted()).toEqual(["notes.txt", "rig/visible/day/.hidden", "rig/visible/link.jpg"]);
    expect([report.unknown, report.missing, report.clean]).toEqual([3, 0, false]);
  });

  test("a file that gets its row while the check runs is not unknown", async () => {
    const results = stage(sink, frameOf("4.jpg", "4"), "4");
    writeFileSync(at("rig/visible/4.jpg"), "4");
    const findings: Finding[] = [];
    const checking = verify({ directory: place.directory, found: (finding) => findings.push(finding), settleMs: 300 });
    await commit(sink);
    expect(results).toEqual(["stored"]);
    await checking;
    expect(findings.filter(({ kind }) => kind === "unknown")).toEqual([]);
  });

  test("what was named and not recorded is unconfirmed, until it is sent again", async () => {
    const later = (name: string, content: string, sequence: number): Frame =>
      frameOf(name, content, { sequence, ...inSession(otherSession) });
    const send = async (): Promise<void> => {
      stage(sink, later("5.jpg", "5", 0), "5");
      stage(sink, later("1.jpg", "other bytes", 1), "other bytes");
      await commit(sink);
    };
    place.breakCommits(true);
    await send();
    writeFileSync(at("rig/visible/6.jpg"), "by hand");
    const expected = ["unconfirmed rig/visible/1~2.jpg", "unconfirmed rig/visible/5.jpg", "unknown rig/visible/6.jpg"];
    const told = async (): Promise<string[]> => {
      const { report, findings } = await check();
      expect([report.unconfirmed, report.unknown, report.clean]).toEqual([2, 1, false]);
      return findings.flatMap((one) => ("path" in one ? [`${one.kind} ${one.path}`] : [])).toSorted();
    };
    expect(await told()).toEqual(expected);
    sink.dispose();
    expect(await told()).toEqual(expected);
    // Nor does a receiver forget them that has nothing to do with them.
    place.breakCommits(false);
    for (const sequence of [7, 8]) {
      sink = place.open();
      await store(sink, later(`${sequence}.jpg`, "more", sequence), "more");
      sink.dispose();
      expect(await told()).toEqual(expected);
    }
    unlinkSync(at("rig/visible/6.jpg"));
    expect((await check()).report).toMatchObject({ unconfirmed: 2, unknown: 0, clean: true });
    sink = place.open();
    await send();
    expect((await check()).report).toMatchObject({ unconfirmed: 0, unknown: 0, frames: 7, clean: true });
    sink.dispose();
    expect(readdirSync(at(".framepipe")).filter((name) => name.startsWith("naming"))).toEqual([]);
  });

  test("tells gaps that are still open", async () => {
    const ignore = (): void => {};
    const earlier = { ...someGap, ...inSession(otherSession) };
    sink.gap(earlier, ignore);
    sink.gap({ ...earlier, firstSequence: 6, count: 1, name: "1.jpg" }, ignore);
    sink.gap(
      { ...earlier, firstSequence: 7, count: 10, name: "", reason: "dropped", detail: "the link was slower" },
      ignore,
    );
    await commit(sink);
    const { report, findings } = await check();
    const gap = { kind: "gap", device: "rig", source: "visible" };
    expect(findings as unknown[]).toEqual([
      { ...gap, name: "lost.jpg", firstSequence: 4, count: 2, reason: "vanished", detail: "it was there before" },
      { ...gap, name: "", firstSequence: 7, count: 10, reason: "dropped", detail: "the link was slower" },
    ]);
    expect([report.gapFrames, report.clean]).toEqual([12, false]);
    await store(sink, frameOf("lost.jpg", "found"), "found");
    expect((await check()).report.gapFrames).toBe(10);
  });

  test("finds numbers of an ended session that nobody knows the outcome of, and of no other session", async () => {
    // Of nine, 3 and 6 to 8 are missing, the last of them beyond all that is known.
    sink.gap({ ...someGap, name: "1.jpg" }, () => {});
    sink.end(endOf(9), () => {});
    await store(sink, frameOf("late.jpg", "9", { sequence: 9, ...inSession(otherSession) }), "9");
    const { report, findings } = await check();
    const of = { kind: "unaccounted", device: "rig", source: "visible", session };
    expect(findings.filter(({ kind }) => kind === "unaccounted") as unknown[]).toEqual([
      { ...of, firstSequence: 3, count: 1 },
      { ...of, firstSequence: 6, count: 3 },
    ]);
    expect([report.unaccounted, report.gapFrames, report.clean]).toEqual([4, 0, false]);
    expect(report.sources[0]).toMatchObject({ source: "visible", unaccounted: 4 });
    // What is told of them later counts.
    for (const sequence of [3, 6, 7, 8]) await store(sink, frameOf("1.jpg", "1.jpg", { sequence }), "1.jpg");
    sink.end({ ...endOf(9), totals: { ...endOf(9).totals, stored: 7, skipped: 2 } }, () => {});
    await commit(sink);
    expect((await check()).report).toMatchObject({ unaccounted: 0, clean: true });
    // More are known than the sender says it had: that is no hole, and not what it said.
    sink.end(endOf(5), () => {});
    await commit(sink);
    expect((await check()).report).toMatchObject({ unaccounted: 0, differing: 1, clean: false });
  });

  test("finds totals that are not what became of the numbers", async () => {
    const results: unknown[] = [];
    const none = { duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
    const found = { frames: 3, stored: 3, ...none };
    const gap = { ...someGap, firstSequence: 3, count: 1, name: "" };
    for (const [totals, shared] of [
      [{ frames: 3, stored: 3, ...none }, true],
      [{ frames: 3, stored: 1, ...none, duplicates: 2 }, true],
      [{ frames: 3, stored: 2, ...none, skipped: 1 }, true],
      [{ frames: 10, stored: 10, ...none }, false],
      [{ frames: 2, stored: 2, ...none }, false],
      [{ frames: 3, stored: 10, ...none }, false],
      [{ frames: 3, stored: 2, ...none }, false],
    ] as const) {
      sink.end({ ...endOf(3), totals }, (result) => results.push(result));
      await commit(sink);
      expect(results.pop()).toEqual(shared ? "recorded" : found);
      const { report } = await check();
      expect([totals.frames, report.clean]).toEqual([totals.frames, shared]);
    }
    // One of four was lost, and the sender says that it was stored.
    sink.gap(gap, () => {});
    sink.end(endOf(4), () => {});
    await commit(sink);
    const { report, findings } = await check();
    const claimed = { frames: 4, stored: 4, ...none };
    expect(findings.filter(({ kind }) => kind !== "gap") as unknown[]).toEqual([
      {
        kind: "totals-differ",
        ...endOf(4).origin,
        claimed,
        found: { frames: 4, stored: 3, ...none, skipped: 1 },
      },
    ]);
    expect([report.differing, report.unaccounted]).toEqual([1, 0]);
  });

  test("finds a row that is gone with its file, and an account that is", async () => {
    const change = (sql: string): void => {
      sink.dispose();
      const database = new Database(at(catalogueFile));
      database.run(sql);
      database.close();
      sink = place.open();
    };
    change("DELETE FROM frames WHERE sequence = 1");
    unlinkSync(at("rig/visible/2.jpg"));
    const of = { device: "rig", source: "visible", session };
    const { report, findings } = await check();
    expect(findings as unknown[]).toEqual([{ kind: "unrecorded", ...of, firstSequence: 1, count: 1 }]);
    expect([report.unrecorded, report.clean]).toEqual([1, false]);
    change("DELETE FROM sessions");
    expect((await check()).findings).toContainEqual({ kind: "no-account", ...of, frames: 2 });
    expect((await check()).report).toMatchObject({ unaccounted: 2, clean: false });
  });

  test("a file that was removed and came again, in another session or with another number, is no hole", async () => {
    unlinkSync(at("rig/visible/1.jpg"));
    await store(sink, frameOf("1.jpg", "1.jpg", { sequence: 7, ...inSession(otherSession) }), "1.jpg");
    unlinkSync(at("rig/visible/2.jpg"));
    await store(sink, frameOf("2.jpg", "2.jpg", { sequence: 3 }), "2.jpg");
    await store(sink, frameOf("2.jpg", "2.jpg", { sequence: 4 }), "2.jpg");
    const results: unknown[] = [];
    sink.end(endOf(5), (result) => results.push(result));
    await commit(sink);
    expect(results).toEqual(["recorded"]);
    expect((await check()).report).toMatchObject({ unrecorded: 0, differing: 0, unaccounted: 0, missing: 0 });
  });

  test("an account that grows while it is read is no difference", async () => {
    writeFileSync(at("notes.txt"), "by hand");
    const findings: Finding[] = [];
    let stored: Promise<unknown> | undefined;
    await verify({
      directory: place.directory,
      settleMs: 0,
      found: (finding) => {
        findings.push(finding);
        // Told behind the rows and before the accounts.
        stored ??= store(sink, frameOf("4.jpg", "4", { sequence: 3 }), "4");
      },
    });
    await stored;
    expect(findings.map(({ kind }) => kind)).not.toContain("unrecorded");
  });

  test("an account of more ranges than it holds at a time", async () => {
    for (let sequence = 10; sequence < 2410; sequence += 2) {
      stage(sink, frameOf("1.jpg", "1.jpg", { sequence }), "1.jpg");
    }
    sink.end(endOf(2411), () => {});
    await commit(sink);
    const { report, findings } = await check();
    expect(findings.filter(({ kind }) => kind === "unaccounted")).toHaveLength(1201);
    expect(report.unaccounted).toBe(2411 - 3 - 1200);
  });

  test("the numbers of a migrated session are not asked for", async () => {
    sink.end(endOf(9), () => {});
    await commit(sink);
    sink.dispose();
    const database = new Database(at(catalogueFile));
    database.run("UPDATE sessions SET account = 'migrated'");
    database.close();
    expect((await check()).report).toMatchObject({ unaccounted: 0, clean: true });
  });

  test("notes a source whose latest session has not ended, which is no difference", async () => {
    const infrared = { origin: { device: "rig", source: "infrared", session } };
    await store(sink, frameOf("1.png", "1", infrared), "1");
    const { report, findings } = await check();
    expect(findings).toEqual([{ kind: "unended", device: "rig", source: "infrared", session }]);
    expect(report.clean).toBe(true);
    expect(report.sources.map(({ source, ended }) => [source, ended])).toEqual([
      ["visible", true],
      ["infrared", false],
    ]);
    // A later session that did end makes up for the one that was cut off.
    sink.end({ ...endOf(0), origin: { device: "rig", source: "infrared", session: otherSession } }, () => {});
    await commit(sink);
    expect((await check()).findings).toEqual([]);
  });

  test("a later session that has not ended is noted", async () => {
    sink.dispose();
    sink = place.open({ clock: { nowMs: () => 0, wallNs: () => 1_900_000_000_000_000_000n } });
    await store(sink, frameOf("9.jpg", "9", inSession(otherSession)), "9");
    expect((await check()).findings).toEqual([
      { kind: "unended", device: "rig", source: "visible", session: otherSession },
    ]);
  });

  test("reads more rows and files than it holds at a time", async () => {
    for (let index = 0; index < 1200; index += 1) stage(sink, frameOf(`many/${index}.jpg`, "x"), "x");
    await commit(sink);
    unlinkSync(at("rig/visible/many/1100.jpg"));
    const { report } = await check();
    expect([report.frames, report.missing, report.unknown]).toEqual([1203, 1, 0]);
  });

  test("reads the catalogue that a killed receiver left, with its log", async () => {
    const copy = join(place.parent, "copy");
    cpSync(place.directory, copy, { recursive: true });
    rmSync(join(copy, `${catalogueFile}-shm`));
    expect((await check(copy)).report).toMatchObject({ frames: 3, clean: true });
  });

  test("can be ended", async () => {
    const reason = new Error("enough");
    const checking = verify({
      directory: place.directory,
      found: () => {},
      settleMs: 0,
      signal: AbortSignal.abort(reason),
    });
    await expect(checking).rejects.toBe(reason);
  });

  test("a directory without a catalogue, and a catalogue that is none, are user errors", async () => {
    await expect(check(place.parent)).rejects.toThrow("has no catalogue");
    const other = join(place.parent, "other");
    mkdirSync(join(other, ".framepipe"), { recursive: true });
    writeFileSync(join(other, catalogueFile), "no database ".repeat(100));
    await expect(check(other)).rejects.toThrow("damaged or no catalogue");
    writeFileSync(join(other, catalogueFile), "");
    await expect(check(other)).rejects.toThrow("holds no tables");
    await expect(check(other)).rejects.toBeInstanceOf(UserError);
  });
});
