/** What `--verify` tells of a store: over the S3 double, whose objects a test can change behind its back. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { UserError } from "../../../src/errors.ts";
import { verifyRemote } from "../../../src/sinks/remote/verify-remote.ts";
import { S3Remote } from "../../../src/sinks/s3/s3-remote.ts";
import type { Finding, VerifyReport } from "../../../src/sinks/store/findings.ts";
import type { Sink } from "../../../src/ports.ts";
import { S3Double } from "../s3/s3-double.ts";
import { commit, frameOf, inSession, otherSession, session, sinkOf, someGap, stage, store } from "../suite.ts";
import { storeOf } from "./remote-place.ts";

let double: S3Double;
let sink: Sink;

beforeEach(async () => {
  double = await new S3Double().start();
  const remote = storeOf(new S3Remote(double.bucket("all")));
  await remote.start();
  let wallNs = 1_800_000_000_000_000_000n;
  sink = sinkOf(remote, { clock: { nowMs: () => performance.now(), wallNs: () => (wallNs += 1_000_000n) } });
});

afterEach(() => {
  sink.dispose();
  double.stop();
});

async function verified(): Promise<{ report: VerifyReport; findings: Finding[] }> {
  const findings: Finding[] = [];
  const report = await verifyRemote(new S3Remote(double.bucket("all")), { found: (finding) => findings.push(finding) });
  return { report, findings };
}

const origin = { device: "rig", source: "visible", session };
const source = { device: "rig", source: "visible" };

/** Ten frames, of which two were lost, and their end. */
async function storeTen(claimed: number = 8): Promise<void> {
  for (let index = 0; index < 10; index += 1) {
    if (index === 4 || index === 5) continue;
    stage(sink, frameOf(`${index}.jpg`, `frame ${index}`, { sequence: index }), `frame ${index}`);
  }
  sink.gap(someGap, () => undefined);
  const totals = { frames: 10, stored: claimed, duplicates: 0, conflicts: 0, refused: 0, skipped: 10 - claimed };
  sink.end({ origin, totals }, () => undefined);
  expect(await commit(sink)).toBeUndefined();
}

const gap = { kind: "gap", ...source, name: "lost.jpg", firstSequence: 4, count: 2, reason: "vanished" };

test("a gap with its reason, and nothing else", async () => {
  await storeTen();
  const { report, findings } = await verified();
  expect(findings).toEqual([{ ...gap, detail: someGap.detail } as Finding]);
  expect(report).toMatchObject({ frames: 8, bytes: 56, gapFrames: 2, unaccounted: 0, clean: false });
  expect(report.sources).toMatchObject([{ ...source, frames: 8, ended: true }]);
});

test("what of a gap was stored later by its session is none", async () => {
  await storeTen();
  await store(sink, frameOf("4.jpg", "four", { sequence: 4 }), "four");
  const { findings } = await verified();
  expect(findings.filter(({ kind }) => kind === "gap")).toEqual([
    { ...gap, firstSequence: 5, count: 1, detail: someGap.detail } as Finding,
  ]);
});

test("a gap is none any more when a frame of its name is stored", async () => {
  await storeTen();
  await store(sink, frameOf("lost.jpg", "found", inSession(otherSession)), "found");
  const totals = { frames: 1, stored: 1, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
  sink.end({ origin: { ...origin, session: otherSession }, totals }, () => undefined);
  await commit(sink);
  expect(await verified()).toMatchObject({ findings: [], report: { frames: 9, clean: true } });
});

test("an object that somebody has deleted, changed or put there", async () => {
  await storeTen();
  double.objects.delete("all/rig/visible/7.jpg");
  const changed = double.objects.get("all/rig/visible/2.jpg");
  if (changed !== undefined) double.objects.set("all/rig/visible/2.jpg", { ...changed, body: Buffer.from("Frame 2") });
  double.objects.set("all/rig/notes.txt", { body: Buffer.from("mine"), headers: {}, tag: "t" });
  const copied = double.objects.get("all/rig/visible/3.jpg");
  if (copied !== undefined) double.objects.set("all/rig/visible/copy.jpg", copied);
  const { report, findings } = await verified();
  expect(findings.filter(({ kind }) => kind !== "gap").toSorted((a, b) => (a.kind < b.kind ? -1 : 1))).toEqual([
    {
      kind: "changed",
      ...source,
      name: "2.jpg",
      path: "rig/visible/2.jpg",
      detail: "has other bytes than were stored",
      bytes: 7,
      crc32: Bun.hash.crc32("frame 2"),
    },
    { kind: "unknown", path: "rig/notes.txt" },
    { kind: "unknown", path: "rig/visible/copy.jpg" },
    { kind: "unrecorded", ...origin, firstSequence: 7, count: 1 },
  ]);
  expect(report).toMatchObject({ changed: 1, unknown: 2, unrecorded: 1, clean: false });
});

test("an end that lies", async () => {
  await storeTen(9);
  const { findings } = await verified();
  expect(findings).toContainEqual({
    kind: "totals-differ",
    ...origin,
    claimed: { frames: 10, stored: 9, duplicates: 0, conflicts: 0, refused: 0, skipped: 1 },
    found: { frames: 10, stored: 8, duplicates: 0, conflicts: 0, refused: 0, skipped: 2 },
  });
});

test("numbers of which nobody knows what became of them, and sessions without a ledger or an end", async () => {
  await store(sink, frameOf("1.jpg", "one"), "one");
  const totals = { frames: 3, stored: 3, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
  sink.end({ origin, totals }, () => undefined);
  await commit(sink);
  await store(sink, frameOf("2.jpg", "two", inSession(otherSession)), "two");
  const { findings } = await verified();
  expect(findings).toEqual([
    { kind: "unaccounted", ...origin, firstSequence: 1, count: 2 },
    { kind: "unended", ...origin, session: otherSession },
  ]);
  for (const key of double.objects.keys()) if (key.includes(otherSession)) double.objects.delete(key);
  expect((await verified()).findings).toContainEqual({
    kind: "no-account",
    ...origin,
    session: otherSession,
    frames: 1,
  });
});

test("a store that is busy is asked again; one in which nothing is, or that forbids it, is said", async () => {
  expect(await verified().catch((error: unknown) => error)).toBeInstanceOf(UserError);
  await storeTen();
  let refusals = 0;
  double.fault = () => ((refusals += 1) % 3 === 0 ? { status: 503, code: "SlowDown" } : undefined);
  expect((await verified()).report.frames).toBe(8);
  double.fault = () => ({ status: 403, code: "AccessDenied" });
  await expect(verified()).rejects.toThrow("403 AccessDenied");
});
