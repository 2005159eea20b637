/** `--verify` of archives and sets of them: what is there, against what they say themselves. */
import { afterEach, describe, expect, test } from "bun:test";
import { appendFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { UserError } from "../../../src/errors.ts";
import type { Frame, SourceEnd } from "../../../src/frame.ts";
import type { Sink } from "../../../src/ports.ts";
import { archiveCheck } from "../../../src/sinks/open-archive-check.ts";
import type { Finding, VerifyReport } from "../../../src/sinks/store/findings.ts";
import { commit, frameOf, inSession, otherSession, session, someGap, stage, store } from "../suite.ts";
import { McapSetPlace, TarSetPlace } from "./set-places.ts";

type Place = TarSetPlace | McapSetPlace;

const hourMs = 3_600_000;
const places: Place[] = [];
afterEach(() => {
  for (const place of places.splice(0)) place.remove();
});

function filesOf(place: Place): readonly string[] {
  return place instanceof TarSetPlace ? place.archives : place.paths;
}

const contentOf = (number: number): string => `${number} and bytes that are nowhere else, ${"x".repeat(2000)}`;

function numbered(number: number, changes: Partial<Frame> = {}): Frame {
  return frameOf(`${number}.jpg`, contentOf(number), { sequence: number, ...changes });
}

function storeOne(sink: Sink, number: number, changes: Partial<Frame> = {}): Promise<unknown> {
  return store(sink, numbered(number, changes), contentOf(number));
}

function endOf(totals: Partial<SourceEnd["totals"]>, of = session): SourceEnd {
  const none = { frames: 0, stored: 0, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
  return { origin: { device: "rig", source: "visible", session: of }, totals: { ...none, ...totals } };
}

async function recorded(sink: Sink, end: SourceEnd): Promise<void> {
  sink.end(end, () => undefined);
  await commit(sink);
}

async function check(place: string): Promise<{ report: VerifyReport; findings: Finding[] }> {
  const findings: Finding[] = [];
  const report = await archiveCheck(place)({ directory: place, found: (finding) => findings.push(finding) });
  return { report, findings };
}

describe.each([
  ["tar", () => new TarSetPlace(0)],
  ["MCAP", () => new McapSetPlace(0)],
] as const)("a set of %s archives", (kind, make) => {
  /** Frames 0 to 3, two in each archive, and their end. */
  async function stored(): Promise<{ place: Place; sink: Sink }> {
    const place = make();
    places.push(place);
    const sink = place.open();
    for (const number of [0, 1]) stage(sink, numbered(number), contentOf(number));
    await commit(sink);
    place.clock.wallMs += hourMs;
    for (const number of [2, 3]) await storeOne(sink, number);
    await recorded(sink, endOf({ frames: 4, stored: 4 }));
    return { place, sink };
  }

  test("is clean beside its receiver and behind it, as a set, and each archive by itself", async () => {
    const { place, sink } = await stored();
    for (const running of [true, false]) {
      if (!running) sink.dispose();
      const { report, findings } = await check(place.set);
      expect(findings).toEqual([]);
      expect(report).toMatchObject({ frames: 4, bytes: 4 * contentOf(1).length, clean: true });
      expect(report.sources).toMatchObject([{ device: "rig", source: "visible", frames: 4, ended: true }]);
    }
    const [first = ""] = filesOf(place);
    expect(await check(first)).toMatchObject({ report: { frames: 2, clean: true }, findings: [{ kind: "unended" }] });
  });

  test("names the archive and the frame whose bytes are others", async () => {
    const { place, sink } = await stored();
    sink.dispose();
    const [first = ""] = filesOf(place);
    const bytes = readFileSync(first);
    bytes[bytes.indexOf("1 and bytes") + 20] = 0x21;
    writeFileSync(first, bytes);
    const { report, findings } = await check(place.set);
    expect([report.changed, report.clean]).toEqual([1, false]);
    expect(findings).toMatchObject([
      { kind: "changed", name: "1.jpg", path: `${basename(first)}: rig/visible/1.jpg`, bytes: contentOf(1).length },
    ]);
  });

  test("says which numbers nobody accounts for, when an archive of the set is gone", async () => {
    const { place, sink } = await stored();
    sink.dispose();
    rmSync(filesOf(place)[0] as string);
    const { report, findings } = await check(place.set);
    expect(report).toMatchObject({ frames: 2, unaccounted: 2, clean: false });
    expect(findings).toMatchObject([{ kind: "unaccounted", session, firstSequence: 0, count: 2 }]);
  });

  test("believes an end that numbers had been stored before, as many as it says", async () => {
    const { place, sink } = await stored();
    await recorded(sink, endOf({ frames: 4, duplicates: 4 }, otherSession));
    expect((await check(place.set)).report).toMatchObject({ clean: true, unaccounted: 0 });
    await recorded(sink, endOf({ frames: 5, duplicates: 4 }, otherSession));
    sink.dispose();
    expect((await check(place.set)).report).toMatchObject({ clean: false, unaccounted: 1 });
  });

  test("tells gaps, but not of frames that came under their name in any archive", async () => {
    const { place, sink } = await stored();
    const later = inSession(otherSession);
    const gaps = [
      { ...someGap, ...later, firstSequence: 0, count: 1, name: "1.jpg" },
      { ...someGap, ...later, firstSequence: 1, count: 2, name: "never.jpg" },
    ];
    for (const gap of gaps) sink.gap(gap, () => undefined);
    await recorded(sink, endOf({ frames: 3, skipped: 3 }, otherSession));
    sink.dispose();
    const { report, findings } = await check(place.set);
    expect(report).toMatchObject({ gapFrames: 2, unaccounted: 0, clean: false });
    expect(findings).toMatchObject([
      { kind: "gap", name: "never.jpg", firstSequence: 1, count: 2, reason: "vanished" },
    ]);
  });

  test("what a kill has torn at the end is no difference; what is damaged before that is", async () => {
    const { place, sink } = await stored();
    await storeOne(sink, 4, inSession(otherSession));
    await storeOne(sink, 5, inSession(otherSession));
    // As the receiver leaves it that is killed: nothing is closed.
    const [, second = ""] = filesOf(place);
    const left = readFileSync(second);
    sink.dispose();
    writeFileSync(second, left);
    truncateSync(second, left.indexOf("5 and bytes") + 1000);
    expect(await check(place.set)).toMatchObject({
      report: { frames: 5, clean: true },
      findings: [{ kind: "unended", session: otherSession }],
    });
    // A head in the middle.
    const bytes = Buffer.from(left);
    const at = bytes.indexOf("2 and bytes");
    bytes.fill(0xff, at - 300, at - 20);
    writeFileSync(second, bytes);
    const { report, findings } = await check(place.set);
    expect([report.damaged, report.clean]).toEqual([1, false]);
    expect(findings.find((finding) => finding.kind === "damaged")).toMatchObject({ path: basename(second) });
  });

  test("is refused where there is none, or it is not ours", async () => {
    const place = make();
    places.push(place);
    for (const name of [place.set, join(place.parent, `none.${kind.toLowerCase()}`)]) {
      expect(check(name)).rejects.toBeInstanceOf(UserError);
    }
    const other = join(place.parent, `other.${kind.toLowerCase()}`);
    writeFileSync(other, "somebody else's ".repeat(1000));
    expect(check(other)).rejects.toThrow("that framepipe has begun");
  });

  test.if(kind === "tar")("tells what another program has added", async () => {
    const { place, sink } = await stored();
    sink.dispose();
    appendFileSync(join(place.parent, "added.txt"), "by hand");
    const [first = ""] = filesOf(place);
    expect(Bun.spawnSync(["tar", "-rf", first, "-C", place.parent, "added.txt"]).success).toBe(true);
    const { report, findings } = await check(place.set);
    expect([report.unknown, report.clean]).toEqual([1, false]);
    expect(findings).toEqual([{ kind: "unknown", path: `${basename(first)}: added.txt` }]);
  });
});
