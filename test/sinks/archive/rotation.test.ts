/** ROTATION.md: which archive a frame goes into, what holds over the border, and what a crash there leaves. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { ArchiveFile } from "../../../src/archive-formats/archive-file.ts";
import { SinkError, UserError } from "../../../src/errors.ts";
import type { DestinationEvent } from "../../../src/events.ts";
import type { Frame } from "../../../src/frame.ts";
import type { Sink } from "../../../src/ports.ts";
import { openNodeArchiveFile } from "../../../src/sinks/archive/archive-file.ts";
import { archivesAt } from "../../../src/sinks/archive/archive-set.ts";
import { FanOutSink } from "../../../src/sinks/store/fan-out-sink.ts";
import { DirectoryPlace } from "../directory/directory-place.ts";
import { factsOf, readIndexed, readStream } from "../mcap/mcap-place.ts";
import { commit, frameOf, lookupNow, otherSession, type Result, sinkSuite, someEnd, stage, store } from "../suite.ts";
import { McapSetPlace, startMs, TarSetPlace } from "./set-places.ts";

sinkSuite("a set of tar archives", true, () => new TarSetPlace());
sinkSuite("a set of MCAP files", true, () => new McapSetPlace());

type Place = TarSetPlace | McapSetPlace;

const hourMs = 3_600_000;
const places: Place[] = [];
afterEach(() => {
  for (const place of places.splice(0)) place.remove();
});

function placed<P extends Place>(place: P): P {
  places.push(place);
  return place;
}

function filesOf(place: Place): string[] {
  return place instanceof TarSetPlace ? place.archives : place.paths;
}

function namesOf(place: Place): string[] {
  return filesOf(place).map((path) => basename(path).replace(/\..*/, ""));
}

function numbered(number: number, changes: Partial<Frame> = {}): Frame {
  return frameOf(`${number}.jpg`, String(number), { sequence: number, ...changes });
}

function storeOne(sink: Sink, number: number, changes: Partial<Frame> = {}): Promise<Result> {
  return store(sink, numbered(number, changes), String(number));
}

const kinds = [
  ["tar", () => placed(new TarSetPlace(0))],
  ["MCAP", () => placed(new McapSetPlace(0))],
] as const;

describe.each(kinds)("a set of %s archives", (kind, make) => {
  test("has one open at a time: the next begins with the first group behind the border", async () => {
    const place = make();
    const events: DestinationEvent[] = [];
    const sink = place.open({ onEvent: (event) => void events.push(event) });
    await storeOne(sink, 1);
    const results = [2, 3].flatMap((number) => {
      const staged = stage(sink, numbered(number), String(number));
      // Between the two of a group.
      place.clock.wallMs = startMs + hourMs;
      return [staged];
    });
    await commit(sink);
    expect(results.flat()).toEqual(["stored", "stored"]);
    expect(namesOf(place)).toEqual(["day-2025-11-26T23", "day-2025-11-27T00"]);
    const [first = "", second = ""] = filesOf(place);
    const before = readFileSync(first);
    await storeOne(sink, 4);
    sink.dispose();
    expect(readFileSync(first)).toEqual(before);
    expect(events).toContainEqual({
      event: "destination",
      place: first,
      what: "rotated",
      detail: `it is closed; frames are stored in ${second} from now on`,
    });
    expect([...place.stored().values()].join("")).toBe("1234");
    if (kind === "MCAP") for (const path of filesOf(place)) expect((await readIndexed(path)).whole).toBe(true);
  });

  test("knows a frame in whichever of them it is, in the next life too, and numbers conflicts through", async () => {
    const place = make();
    let sink = place.open();
    await storeOne(sink, 1);
    for (const isNext of [false, true]) {
      if (isNext) sink = place.open();
      place.clock.wallMs += hourMs;
      const { origin } = numbered(1);
      expect(lookupNow(sink, { ...origin, session: otherSession }, [numbered(1)])[0]).toMatchObject({
        kind: "have",
        outcome: "duplicate",
      });
      expect(await storeOne(sink, 1)).toBe("stored");
      expect(await store(sink, frameOf("1.jpg", `other ${isNext}`), `other ${isNext}`)).toBe("conflict");
      sink.dispose();
    }
    expect([...place.stored().keys()].toSorted()).toEqual(
      ["rig/visible/1.jpg", "rig/visible/1~2.jpg", "rig/visible/1~3.jpg"].toSorted(),
    );
    expect(namesOf(place)).toHaveLength(3);
  });

  test("closes what is over although nothing comes, and records an end in the archive of its day", async () => {
    const place = make();
    const sink = place.open();
    await storeOne(sink, 1);
    place.clock.wallMs += hourMs;
    expect(sink.ready(0)).toBeUndefined();
    expect(namesOf(place)).toHaveLength(2);
    const [first = "", second = ""] = filesOf(place);
    if (kind === "MCAP") expect(readStream(first).whole).toBe(true);
    sink.end(someEnd, () => undefined);
    await commit(sink);
    sink.dispose();
    expect(place.recordedEnds()).toBe(1);
    if (kind === "MCAP") expect(factsOf(readStream(second), "/framepipe/ends")).toHaveLength(1);
  });

  test("goes back to an archive when the clock does, without a frame in the index twice", async () => {
    const place = make();
    const sink = place.open();
    await storeOne(sink, 1);
    place.clock.wallMs += hourMs;
    await storeOne(sink, 2);
    place.clock.wallMs -= hourMs;
    await storeOne(sink, 3);
    place.clock.wallMs += hourMs;
    await storeOne(sink, 4);
    expect(await store(sink, frameOf("1.jpg", "other"), "other")).toBe("conflict");
    // Each of them once.
    const held = 5 * 4096 + 4 + "other".length;
    expect(sink.overQuota?.("rig", held + 4096 + 3, 3)).toBeUndefined();
    expect(sink.overQuota?.("rig", held + 4096 + 2, 3)).toBeInstanceOf(SinkError);
    sink.dispose();
    expect(namesOf(place)).toEqual(["day-2025-11-26T23", "day-2025-11-27T00"]);
    expect([...place.stored()].toSorted()).toEqual(
      [...[1, 2, 3, 4].map((number) => [`rig/visible/${number}.jpg`, String(number)]), ["rig/visible/1~2.jpg", "other"]]
        .map(([path, text]) => [path, text] as [string, string])
        .toSorted(),
    );
    if (kind === "MCAP") for (const path of filesOf(place)) expect((await readIndexed(path)).whole).toBe(true);
  });

  test("leaves the archives of other days as they are when it starts", async () => {
    const place = make();
    let sink = place.open();
    await storeOne(sink, 1);
    place.clock.wallMs += hourMs;
    await storeOne(sink, 2);
    sink.dispose();
    const [first = ""] = filesOf(place);
    const before = statSync(first, { bigint: true });
    place.clock.wallMs += hourMs;
    sink = place.open();
    expect(statSync(first, { bigint: true })).toMatchObject({ mtimeNs: before.mtimeNs, size: before.size });
    sink.dispose();
  });

  test("is one receiver's", () => {
    const place = make();
    const sink = place.open();
    expect(() => place.open()).toThrow("is in use by another receiver");
    sink.dispose();
  });

  test("waits with the archive that it has while the next one cannot be made", async () => {
    const place = make();
    let full = false;
    const openFile = (path: string, create: boolean): ArchiveFile => {
      if (full && !existsSync(path)) throw Object.assign(new Error("full"), { code: "ENOSPC" });
      return openNodeArchiveFile(path, create);
    };
    const sink = place.open({ openFile });
    expect(await storeOne(sink, 1)).toBe("stored");
    place.clock.wallMs += hourMs;
    full = true;
    const results = stage(sink, numbered(2), "2");
    expect(await commit(sink)).toBeInstanceOf(SinkError);
    expect(results).toEqual([expect.any(SinkError)]);
    expect(sink.ready(1)).toBeInstanceOf(SinkError);
    expect(namesOf(place)).toHaveLength(1);
    full = false;
    for (let tries = 0; sink.ready(1) !== undefined && tries < 100; tries += 1);
    expect(await storeOne(sink, 2)).toBe("stored");
    sink.dispose();
    expect([...place.stored().values()].join("")).toBe("12");
    expect(namesOf(place)).toHaveLength(2);
  });

  test("is waited for when its disk is gone over a border, and never begun anew", async () => {
    const place = make();
    const sink = place.open();
    await storeOne(sink, 1);
    const [first = ""] = filesOf(place);
    const [away, folder] = [`${place.parent}-away`, dirname(first)];
    renameSync(folder, away);
    mkdirSync(folder);
    place.clock.wallMs += hourMs;
    for (let tries = 0; tries < 100; tries += 1) expect(sink.ready(1)).toBeInstanceOf(SinkError);
    expect(namesOf(place)).toEqual([]);
    rmSync(folder, { recursive: true });
    renameSync(away, folder);
    for (let tries = 0; sink.ready(1) !== undefined && tries < 100; tries += 1);
    expect(await storeOne(sink, 1)).toBe("stored");
    expect(await storeOne(sink, 2)).toBe("stored");
    sink.dispose();
    expect([...place.stored().values()].join("")).toBe("12");
  });

  test("refuses one that is damaged, by name, and --no-create one that has none", async () => {
    const place = make();
    expect(() => place.open({ mustExist: true })).toThrow(UserError);
    const sink = place.open();
    await storeOne(sink, 1);
    sink.dispose();
    place.clock.wallMs += hourMs;
    place.open({ mustExist: true }).dispose();
    const other = join(place.parent, `day-2025-11-20T07.${kind.toLowerCase()}`);
    writeFileSync(other, "somebody else's, and longer than any head of ours could be".repeat(40));
    expect(() => place.open()).toThrow(other);
    expect(readFileSync(other, "utf8")).toStartWith("somebody else's");
  });

  test("killed before any operation around a border: nothing acknowledged is lost, nothing is twice", async () => {
    let wasKilled = true;
    for (let steps = 0; wasKilled; steps += 1) {
      const place = make();
      // A border behind the second frame.
      const acknowledged = await killedLife(place, steps);
      wasKilled = acknowledged.length < 4;
      const sink = place.open();
      for (const number of acknowledged) {
        const [verdict] = lookupNow(sink, numbered(number).origin, [numbered(number)]);
        expect([steps, verdict?.kind]).toEqual([steps, "have"]);
      }
      for (const number of [1, 2, 3, 4]) expect(await storeOne(sink, number)).toBe("stored");
      sink.dispose();
      expect([...place.stored().values()].toSorted().join("")).toBe("1234");
      for (const path of filesOf(place)) if (kind === "MCAP") expect((await readIndexed(path)).whole).toBe(true);
      expect(steps).toBeLessThan(200);
    }
  });
});

/** Stores four frames, one by one, until it is killed before its `steps`th operation on a file. */
async function killedLife(place: Place, steps: number): Promise<number[]> {
  let left = steps;
  const opened: ArchiveFile[] = [];
  const step = (): void => {
    left -= 1;
    if (left < 0) throw new Error("killed");
  };
  const openFile = (path: string, create: boolean): ArchiveFile => {
    step();
    const file = openNodeArchiveFile(path, create);
    opened.push(file);
    const mortal = <Args extends unknown[], R>(run: (...args: Args) => R) => {
      return (...args: Args): R => {
        step();
        return run(...args);
      };
    };
    return {
      path: file.path,
      identity: file.identity,
      bytes: file.bytes,
      read: (into, position) => file.read(into, position),
      size: () => file.size(),
      look: () => file.look(),
      freeBytes: () => file.freeBytes(),
      // Half of it is there, in whole blocks.
      write: (views, position) => {
        const [first] = views;
        const half = ((first?.byteLength ?? 0) >> 10) << 9;
        if (left === 0 && first !== undefined && half > 0) file.write([first.subarray(0, half)], position);
        step();
        file.write(views, position);
      },
      probe: mortal((bytes: number, position: number) => file.probe(bytes, position)),
      resize: mortal((bytes: number) => file.resize(bytes)),
      sync: mortal(() => file.sync()),
      syncNow: mortal(() => file.syncNow()),
      close: mortal(() => file.close()),
    };
  };
  const acknowledged: number[] = [];
  try {
    const sink = place.open({ openFile });
    for (const number of [1, 2, 3, 4]) {
      if (number === 3) place.clock.wallMs += hourMs;
      if ((await storeOne(sink, number)) === "stored" && left >= 0) acknowledged.push(number);
      if (left < 0) break;
    }
    if (left >= 0) sink.dispose();
  } catch {
    // It was killed while it opened something.
  }
  // The system gives back what a dead process had.
  for (const file of opened) file.close();
  return left < 0 && acknowledged.length === 4 ? acknowledged.slice(0, 3) : acknowledged;
}

test("beside a directory, a frame is stored when it is in both, and each knows its own", async () => {
  const set = placed(new TarSetPlace(0));
  const directory = new DirectoryPlace();
  try {
    let both = new FanOutSink([directory.open(), set.open()]);
    expect(await storeOne(both, 1)).toBe("stored");
    set.clock.wallMs += hourMs;
    expect(await storeOne(both, 2)).toBe("stored");
    both.dispose();
    // What was moved away is stored again there, and only there.
    const [first = ""] = set.archives;
    rmSync(first);
    both = new FanOutSink([directory.open(), set.open()]);
    expect(await storeOne(both, 1)).toBe("stored");
    expect(await storeOne(both, 2)).toBe("stored");
    both.dispose();
    expect([...set.stored().values()].toSorted()).toEqual(["1", "2"]);
    expect([...directory.stored().values()].toSorted()).toEqual(["1", "2"]);
    expect(set.archives).toHaveLength(1);
  } finally {
    directory.remove();
  }
});

test("templates that cannot be are refused, with the fields that can", () => {
  for (const [place, problem] of [
    ["day-{hour}.tar", "there is no date in it"],
    ["{device}-{date}.tar", "{device} is no field"],
    ["{date}/day.tar", "fields stand in the file's name"],
    ["day-{date.tar", "a brace stands alone"],
  ]) {
    expect(() => archivesAt(place as string)).toThrow(problem as string);
  }
  const local = archivesAt("/x/{date:local}T{hour:local}.tar").periodAt(startMs).path;
  const moment = new Date(startMs);
  const two = (value: number): string => String(value).padStart(2, "0");
  const date = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
  expect(local).toBe(`/x/${date}T${two(moment.getHours())}.tar`);
});
