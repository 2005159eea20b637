/** What others do to an archive that is being written: cut it, move it, replace it, remove its lock. */
import { afterEach, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { SinkError } from "../../src/errors.ts";
import type { DestinationEvent } from "../../src/events.ts";
import type { Sink } from "../../src/ports.ts";
import { openNodeArchiveFile } from "../../src/sinks/archive/archive-file.ts";
import { McapPlace } from "./mcap/mcap-place.ts";
import { commit, frameOf, inSession, otherSession, type Result, type SinkPlace, stage, store } from "./suite.ts";
import { TarPlace } from "./tar/tar-place.ts";

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) cleanUp();
});

type Kind = "tar" | "mcap";

interface Opened {
  readonly place: SinkPlace;
  readonly sink: Sink;
  readonly path: string;
  readonly lock: string;
  readonly happened: string[];
  readonly reopen: () => Sink;
}

function open(kind: Kind): Opened {
  const happened: string[] = [];
  const options = { onEvent: ({ what }: DestinationEvent) => void happened.push(what) };
  const place = kind === "tar" ? new TarPlace(options) : new McapPlace(options);
  cleanUps.push(() => place.remove());
  const path = place instanceof TarPlace ? place.archive : place.path;
  const reopen = (): Sink => {
    const opened = place.open();
    cleanUps.push(() => opened.dispose());
    return opened;
  };
  return { place, sink: reopen(), path, lock: join(dirname(path), `.day.${kind}.lock`), happened, reopen };
}

const named = (name: string): [ReturnType<typeof frameOf>, string] => [frameOf(name, name), name];

describe.each(["tar", "mcap"] as const)("a .%s file", (kind) => {
  test.each([0, 100])(
    "that is cut to %p bytes holds, before anything is acknowledged, and stays as it is",
    async (left) => {
      const { sink, path, reopen, happened } = open(kind);
      await store(sink, ...named("1.jpg"));
      const whole = readFileSync(path);
      const results: Result[] = [];
      stage(sink, ...named("2.jpg"), results);
      truncateSync(path, left);
      const failure = await commit(sink);
      expect(failure?.message).toMatch(new RegExp(`day.${kind} was cut to ${left} bytes by another program, of \\d`));
      expect(results).toEqual([failure] as Result[]);
      for (let call = 0; call < 20; call += 1) expect(sink.ready(1)?.message).toContain("was cut to");
      expect(sink.ready(1)?.hints).toHaveLength(2);
      expect(statSync(path).size).toBe(left);
      // Put back, it goes on.
      writeFileSync(path, whole);
      while (sink.ready(1) !== undefined);
      expect(await store(sink, ...named("2.jpg"))).toBe("stored");
      expect(await store(sink, ...named("1.jpg"))).toBe("stored");
      // Or the receiver starts again, with what is there.
      truncateSync(path, 0);
      sink.dispose();
      expect(statSync(path).size).toBe(0);
      const next = reopen();
      expect(await store(next, ...named("3.jpg"))).toBe("stored");
      expect(happened).toEqual(["begun", "begun"]);
    },
  );

  test("that is moved away gets no more frames; another one in its place does, which is said", async () => {
    const other = open(kind);
    await store(other.sink, ...named("0.jpg"));
    other.sink.dispose();
    const { sink, path, place, happened } = open(kind);
    await store(sink, ...named("1.jpg"));
    const away = join(dirname(path), `away.${kind}`);
    renameSync(path, away);
    const before = statSync(away).size;
    const results: Result[] = [];
    stage(sink, ...named("2.jpg"), results);
    expect((await commit(sink))?.message).toContain(`day.${kind} is gone; nothing is stored until it is back`);
    expect(statSync(away).size).toBeGreaterThanOrEqual(before);
    for (let call = 0; call < 20; call += 1) {
      const lack = sink.ready(1);
      expect(lack?.message).toContain("is gone");
      expect(lack?.hints).toEqual(["put it back, or start the receiver again to begin a new one"]);
    }
    expect(existsSync(path)).toBe(false);
    copyFileSync(other.path, path);
    while (sink.ready(1) !== undefined);
    expect(happened).toEqual(["begun", "replaced"]);
    expect(await store(sink, ...named("2.jpg"))).toBe("stored");
    sink.dispose();
    expect([...(await place.stored()).keys()]).toEqual(["rig/visible/0.jpg", "rig/visible/2.jpg"]);
  });

  test("that is moved away and back is the same one", async () => {
    const { sink, path, happened } = open(kind);
    await store(sink, ...named("1.jpg"));
    const away = join(dirname(path), `away.${kind}`);
    renameSync(path, away);
    mkdirSync(path);
    for (let call = 0; call < 20; call += 1) expect(sink.ready(1)).toBeDefined();
    rmdirSync(path);
    renameSync(away, path);
    while (sink.ready(1) !== undefined);
    expect(happened).toEqual(["begun"]);
    expect(await store(sink, frameOf("1.jpg", "1.jpg", inSession(otherSession)), "1.jpg")).toBe("duplicate");
    sink.dispose();
  });

  test("whose lock is removed has it again, and is no other receiver's meanwhile", async () => {
    const { sink, path, lock, happened } = open(kind);
    await store(sink, ...named("1.jpg"));
    unlinkSync(lock);
    if (process.platform === "linux") expect(() => openNodeArchiveFile(path, true)).toThrow("in use by another");
    for (let call = 0; call < 20; call += 1) expect(sink.ready(1)).toBeUndefined();
    expect(happened).toEqual(["begun", "lock-made"]);
    expect(existsSync(lock)).toBe(true);
    sink.dispose();
    expect(existsSync(lock)).toBe(false);
  });

  test("has to be there with --no-create, and not empty", async () => {
    const place = kind === "tar" ? new TarPlace() : new McapPlace();
    cleanUps.push(() => place.remove());
    const path = place instanceof TarPlace ? place.archive : place.path;
    const refused = "is not there, or empty, and --no-create does not begin an archive";
    expect(() => place.open({ mustExist: true })).toThrow(refused);
    writeFileSync(path, "");
    expect(() => place.open({ mustExist: true })).toThrow(refused);
    const sink = place.open();
    await store(sink, ...named("1.jpg"));
    sink.dispose();
    place.open({ mustExist: true }).dispose();
  });

  test.each(["EROFS", "ENOSPC"])("on a disk that says %s at the start is waited for", async (code) => {
    let failing = true;
    const openFile: typeof openNodeArchiveFile = (path, create) => {
      if (failing) throw Object.assign(new Error("no"), { code });
      return openNodeArchiveFile(path, create);
    };
    const happened: string[] = [];
    const options = { openFile, onEvent: ({ what }: DestinationEvent) => void happened.push(what) };
    const place = kind === "tar" ? new TarPlace(options) : new McapPlace(options);
    cleanUps.push(() => place.remove());
    const sink = place.open();
    cleanUps.push(() => sink.dispose());
    for (let call = 0; call < 20; call += 1) expect(sink.ready(1)?.message).toContain(`(${code})`);
    expect(() => sink.open(frameOf("1.jpg", "1.jpg"))).toThrow(SinkError);
    failing = false;
    while (sink.ready(1) !== undefined);
    expect(await store(sink, ...named("1.jpg"))).toBe("stored");
    expect(happened).toEqual(["begun"]);
  });
});
