/** What the suite of the sinks does not reach: groups that fail, and an index that forgets. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Frame } from "../../../src/frame.ts";
import { FrameIndex, type FrameIndexOptions, indexCacheBytesMax } from "../../../src/sinks/store/frame-index.ts";
import { Layout, layoutDefault } from "../../../src/sinks/store/layout.ts";
import { frameOf, inSession, otherSession } from "../suite.ts";

const opened: FrameIndex[] = [];
afterEach(() => {
  for (const index of opened.splice(0)) index.close();
});

function newIndex(changes: Partial<FrameIndexOptions> = {}): FrameIndex {
  const index = new FrameIndex({
    file: undefined,
    layout: new Layout(layoutDefault),
    cacheBytes: indexCacheBytesMax,
    ...changes,
  });
  opened.push(index);
  return index;
}

const kindOf = (index: FrameIndex, frame: Frame): string => index.lookup(frame.origin, [frame])[0]?.kind ?? "";

test("what was placed is known to its group at once, to offers when kept, and to nobody if forgotten", () => {
  const index = newIndex();
  const frame = frameOf("1.jpg", "one");
  const append = { kind: "append", path: "rig/visible/1.jpg", number: 1, outcome: "stored" } as const;
  for (const end of ["forget", "keep"] as const) {
    expect(index.place(frame, 1)).toEqual(append);
    expect(index.place(frame, 1)).toEqual({ kind: "held", outcome: "stored" });
    expect(index.place(frame, 2)).toEqual({ ...append, path: "rig/visible/1~2.jpg", number: 2, outcome: "conflict" });
    expect(kindOf(index, frame)).toBe("want");
    index[end]();
    expect(kindOf(index, frame)).toBe(end === "keep" ? "have" : "want");
  }
  expect(index.place({ ...frame, ...inSession(otherSession) }, 2)).toEqual({ kind: "held", outcome: "duplicate" });
  expect(index.place(frame, 3)).toMatchObject({ path: "rig/visible/1~3.jpg", number: 3 });
});

test("a frame whose bytes differ is not the same, and one whose checksum is equal by chance neither", () => {
  const index = newIndex();
  index.place(frameOf("1.jpg", "one"), 1);
  index.keep();
  expect(index.place(frameOf("1.jpg", "longer"), 1).kind).toBe("append");
  expect(index.place(frameOf("1.jpg", "much longer"), 1).kind).toBe("append");
  expect(index.place(frameOf("1.jpg", "one", { origin: { device: "rig", source: "x", session: "" } }), 1)).toEqual({
    kind: "append",
    path: "rig/x/1.jpg",
    number: 1,
    outcome: "stored",
  });
});

test("of several that an offer may mean, the one of its own session is told", () => {
  const index = newIndex();
  index.place(frameOf("1.jpg", "one"), 1);
  index.place(frameOf("1.jpg", "two", inSession(otherSession)), 2);
  index.keep();
  const offer = frameOf("1.jpg", "six");
  expect(index.lookup(offer.origin, [offer])).toEqual([{ kind: "have", outcome: "stored", crc32: 1 }]);
  expect(index.lookup({ ...offer.origin, session: otherSession }, [offer])).toEqual([
    { kind: "have", outcome: "conflict", crc32: 2 },
  ]);
});

test("in a stream, frames have no paths, and the newest ones are remembered", () => {
  const index = newIndex({ layout: undefined, framesMax: 10 });
  for (let number = 0; number < 25; number += 1) {
    expect(index.place(frameOf(`${number}.jpg`, "one"), number)).toEqual({
      kind: "append",
      path: "",
      number: 1,
      outcome: "stored",
    });
    if (number % 5 === 4) index.keep();
  }
  const known = Array.from({ length: 25 }, (_, number) => kindOf(index, frameOf(`${number}.jpg`, "one")));
  expect(known).toEqual([...Array<string>(15).fill("want"), ...Array<string>(10).fill("have")]);
  expect(index.place(frameOf("24.jpg", "one"), 99)).toMatchObject({ kind: "append", outcome: "conflict" });
});

test("in a stream, the longest names take no more memory than short ones", () => {
  const frames = 30_000;
  const index = newIndex({ layout: undefined, framesMax: frames });
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  const rest = `/${"n".repeat(240)}`.repeat(4);
  for (let number = 0; number < frames; number += 1) {
    index.place(frameOf(`${number}${rest}`, "one"), number);
    if (number % 100 === 99) index.keep();
  }
  Bun.gc(true);
  expect(process.memoryUsage.rss() - before).toBeLessThan(60e6);
  expect(kindOf(index, frameOf(`7${rest}`, "one"))).toBe("have");
  expect(kindOf(index, frameOf(`x${rest}`, "one"))).toBe("want");
});

test("knows whether the layout has a safe path for a frame", () => {
  const index = newIndex({ layout: new Layout(`{source}/{name}/{name}/${"x".repeat(255)}`) });
  const hasPathFor = (name: string): boolean => {
    const frame = frameOf(name, "one");
    return index.hasPathFor(frame.origin, frame, frame.sequence);
  };
  expect(hasPathFor("1.jpg")).toBe(true);
  expect(hasPathFor(`${"n/".repeat(450)}1.jpg`)).toBe(false);
});

test("its file has no name, so that nothing is left of it", () => {
  const dir = mkdtempSync(join(tmpdir(), "framepipe-"));
  try {
    const index = newIndex({ file: join(dir, ".x.index") });
    index.place(frameOf("1.jpg", "one"), 1);
    index.keep();
    expect(readdirSync(dir)).toEqual([]);
    expect(kindOf(index, frameOf("1.jpg", "one"))).toBe("have");
    index.close();
    index.close();
  } finally {
    rmSync(dir, { recursive: true });
  }
});
