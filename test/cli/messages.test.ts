import { describe, expect, test } from "bun:test";
import {
  describeReceiverEvent,
  describeSenderEvent,
  describeSourceProblem,
  refusalHints,
} from "../../src/cli/messages.ts";
import type { Level } from "../../src/cli/report.ts";
import { describeReceived, describeSent, type SendSummary } from "../../src/cli/summary.ts";
import { ProtocolCode } from "../../src/errors.ts";
import type { OriginProgress, ReceiverEvent, SenderEvent } from "../../src/events.ts";
import type { SourceTotals } from "../../src/frame.ts";
import { totalsOf } from "../../src/outcomes.ts";

const totals: SourceTotals = { frames: 2000, stored: 1990, duplicates: 5, conflicts: 1, refused: 3, skipped: 1 };
const peer = "127.0.0.1:8000";
const device = "rig";
const source = "visible";
const name = "a/1.jpg";

const sender: [SenderEvent, Level, string][] = [
  [{ event: "connecting", peer }, "detail", "connecting to 127.0.0.1:8000"],
  [{ event: "connected", peer, agent: "framepipe 9" }, "info", "connected to 127.0.0.1:8000"],
  [
    { event: "disconnected", peer, reason: "connection refused", retryMs: 70 },
    "info",
    "no connection to 127.0.0.1:8000: connection refused; trying until it is there",
  ],
  [
    { event: "held", reason: "the disk is full" },
    "warning",
    "waiting: the receiver cannot store now: the disk is full",
  ],
  [{ event: "resumed" }, "info", "the receiver stores again"],
  [
    { event: "skipped", source, name, count: 1, reason: "unreadable", detail: "permission denied (EACCES)" },
    "frame",
    "skipped visible/a/1.jpg: permission denied (EACCES)",
  ],
  [
    {
      event: "skipped",
      source,
      name: "",
      count: 1,
      reason: "unreadable",
      detail: 'the file "a\\\\b" cannot keep its name: backslash',
    },
    "frame",
    'skipped a frame of visible: the file "a\\\\b" cannot keep its name: backslash',
  ],
  [
    { event: "refused", source, name, count: 1, reason: "name", detail: "" },
    "frame",
    "refused visible/a/1.jpg: not a safe name, or one that the destination cannot hold",
  ],
  [
    { event: "refused", source, name, count: 1, reason: "too-large", detail: "70 bytes, limit 7 (--max-frame)" },
    "frame",
    "refused visible/a/1.jpg: 70 bytes, limit 7 (--max-frame)",
  ],
  [
    { event: "refused", source, name: "", count: 2, reason: "too-large", detail: "more than 7 bytes" },
    "frame",
    "refused 2 frames of visible: more than 7 bytes",
  ],
  [
    { event: "notice", notice: "other", detail: "the disk is slow", keyed: false },
    "warning",
    "the receiver says: the disk is slow",
  ],
  [{ event: "stored", source, name }, "detail", "stored visible/a/1.jpg"],
  [
    { event: "conflict", source, name },
    "info",
    "conflict visible/a/1.jpg: the name held another frame, so it was stored beside it under a numbered name",
  ],
  [
    { event: "source-ended", source, totals },
    "detail",
    "end of visible: 2,000 frames, 1,990 stored, 5 already there, 1 conflict, 3 refused, 1 skipped",
  ],
  [{ event: "finished", interrupted: false, unsettled: 0 }, "detail", "finished"],
  [{ event: "finished", interrupted: true, unsettled: 2 }, "detail", "stopped"],
];

const session = "0".repeat(32);
const receiver: [ReceiverEvent, Level, string][] = [
  [
    { event: "listening", address: peer, out: ["captures"], keepsNothing: false },
    "info",
    "listening on 127.0.0.1:8000, storing in captures",
  ],
  [
    { event: "listening", address: peer, out: ["-"], keepsNothing: true },
    "info",
    "listening on 127.0.0.1:8000, keeping nothing: frames go to -",
  ],
  [
    { event: "view-behind", place: "-" },
    "info",
    "- takes only some of the frames: it is slow, or they do not fit its stream",
  ],
  [
    { event: "view-resumed", place: "-", skippedFrames: 1200 },
    "info",
    "- is shown every frame again: 1,200 frames left out",
  ],
  [
    { event: "view-ended", place: "-", reason: "its reader has closed it" },
    "info",
    "- is shown nothing any more: its reader has closed it",
  ],
  [
    { event: "session-started", session, peer: "10.0.0.1:5", device, protocol: "wire", again: false },
    "info",
    "rig sends from 10.0.0.1:5",
  ],
  [
    { event: "session-started", session, peer: "10.0.0.1:5", device: "lockstep", protocol: "lockstep", again: false },
    "info",
    "lockstep sends from 10.0.0.1:5 (lockstep)",
  ],
  [
    { event: "session-started", session, peer: "10.0.0.1:6", device, protocol: "wire", again: true },
    "info",
    "rig is back, from 10.0.0.1:6",
  ],
  [
    { event: "session-ended", session, device, interrupted: false, totals, storedFrames: 1, storedBytes: 1000 },
    "info",
    "rig finished: 1 frame stored (1.00 kB), 5 already there, 1 conflict, 4 refused or missing",
  ],
  [
    {
      event: "session-ended",
      session,
      device,
      interrupted: true,
      totals: totalsOf({}),
      storedFrames: 0,
      storedBytes: 0,
    },
    "info",
    "rig stopped before its end: 0 frames stored (0 B)",
  ],
  [{ event: "stored", device, source, name, bytes: 5 }, "detail", "stored rig/visible/a/1.jpg"],
  [
    { event: "connection-lost", peer: "10.0.0.1:5", device, reason: "timed out" },
    "info",
    "lost the connection to rig at 10.0.0.1:5: timed out; it may come back",
  ],
  [
    { event: "connection-refused", peer: "10.0.0.1:5", reason: "an HTTP request" },
    "info",
    "closed a connection from 10.0.0.1:5: an HTTP request",
  ],
  [
    { event: "rejected", device: "lockstep", source, name: "../x", reason: "name", detail: "not a safe name" },
    "frame",
    "refused lockstep/visible/../x: not a safe name",
  ],
  // Our own sender sends it again, or reports a gap.
  [
    { event: "rejected", device, source, name: "../x", reason: "name", detail: "not a safe name" },
    "detail",
    "refused rig/visible/../x: not a safe name",
  ],
  [
    { event: "conflict", device, source, name },
    "info",
    "conflict rig/visible/a/1.jpg: the name held another frame, so it was stored beside it under a numbered name",
  ],
  [
    {
      event: "noted",
      device,
      source,
      name,
      notes: ["damaged-header"],
      detail: "stored as it came, with a damaged header",
    },
    "frame",
    "noted rig/visible/a/1.jpg: stored as it came, with a damaged header",
  ],
  [
    { event: "gap", device, source, name, count: 1, reason: "vanished", detail: "" },
    "frame",
    "missing rig/visible/a/1.jpg: no longer there",
  ],
  [
    { event: "gap", device, source, name: "", count: 40, reason: "dropped", detail: "" },
    "frame",
    "missing 40 frames of rig/visible: the link was slower than the camera",
  ],
  [
    { event: "gap", device, source, name: "", count: 1, reason: "unreadable", detail: "its name is not valid UTF-8" },
    "frame",
    "missing 1 frame of rig/visible: its name is not valid UTF-8",
  ],
  [
    { event: "gap", device, source, name, count: 1, reason: "refused", detail: "too-large" },
    "frame",
    "refused rig/visible/a/1.jpg: larger than the receiver's --max-frame",
  ],
  [
    { event: "gap", device, source, name, count: 1, reason: "refused", detail: "70 bytes, limit 7 (--max-frame)" },
    "frame",
    "refused rig/visible/a/1.jpg: 70 bytes, limit 7 (--max-frame)",
  ],
  [
    {
      event: "source-ended",
      device,
      source,
      totals: { frames: 1, stored: 0, duplicates: 1, conflicts: 0, refused: 0, skipped: 0 },
    },
    "detail",
    "end of rig/visible: 1 frame, 0 stored, 1 already there",
  ],
  [{ event: "held", reason: "the disk is full" }, "warning", "waiting: cannot store now: the disk is full"],
  [
    { event: "held", device: "rig", source, reason: "permission denied" },
    "warning",
    "waiting: cannot store rig/visible now: permission denied",
  ],
  [{ event: "resumed" }, "info", "storing again"],
  [{ event: "resumed", device: "rig", source }, "info", "storing rig/visible again"],
];

describe("messages", () => {
  test.each(sender.map(([event, level, text]) => ({ event, level, text })))(
    "sender: $text",
    ({ event, level, text }) => {
      expect(describeSenderEvent(event)).toEqual({ level, event, text });
    },
  );

  test.each(receiver.map(([event, level, text]) => ({ event, level, text })))(
    "receiver: $text",
    ({ event, level, text }) => {
      expect(describeReceiverEvent(event)).toEqual({ level, event, text });
    },
  );

  test("a receiver that is there, and with which nothing comes about: what to do is said", () => {
    const reason = "it has the key fp1b, expected fp1a";
    expect(describeSenderEvent({ event: "disconnected", peer, reason, hint: "let it in", retryMs: 70 })).toMatchObject({
      text: "no connection to 127.0.0.1:8000: it has the key fp1b, expected fp1a; trying on",
      hints: ["let it in"],
    });
  });

  test("problems of sources: what loses frames is an error, with the hint there is", () => {
    const problem = { source, path: "vis/x", detail: "permission denied" };
    expect(describeSourceProblem({ ...problem, reason: "unreadable", hint: "ls -ld vis/x" })).toMatchObject({
      level: "error",
      text: "vis/x: permission denied",
      hints: ["ls -ld vis/x"],
    });
    expect(describeSourceProblem({ ...problem, reason: "empty" })).toMatchObject({ level: "error", hints: [] });
    expect(describeSourceProblem({ ...problem, reason: "symlink" })).toMatchObject({ level: "info" });
    expect(describeSourceProblem({ ...problem, reason: "kept" })).toMatchObject({ level: "info" });
  });

  test("two senders of one device: both ends say what to do about it, which depends on keys", () => {
    const peers = ["10.0.0.1:5", "10.0.0.2:6"];
    const here = (keyed: boolean) => describeReceiverEvent({ event: "shared-device", device, peers, keyed });
    const there = (keyed: boolean) =>
      describeSenderEvent({ event: "notice", notice: "shared-device", detail: "another one", keyed });
    expect(here(false)).toMatchObject({
      level: "warning",
      text:
        "two senders are called rig, 10.0.0.1:5 and 10.0.0.2:6: " +
        "what one sends under a name of the other is stored beside it",
    });
    for (const say of [here, there]) {
      expect(say(false).hints).toEqual([expect.stringContaining("give each a name of its own: --device {host}-{id}")]);
      expect(say(true).hints).toEqual(["two machines use one key: invite one of them anew, with a key of its own"]);
    }
  });

  test("a refusal that ends the sender has a hint", () => {
    for (const code of [ProtocolCode.version, ProtocolCode.unauthorized]) expect(refusalHints(code)).not.toBeEmpty();
  });
});

describe("summary", () => {
  const summary: SendSummary = {
    totals: [
      { source: "visible", totals },
      { source: "infrared", totals: { frames: 7, stored: 7, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 } },
    ],
    sentBytes: 230_000_000,
    elapsedMs: 2300,
    unsettledFrames: 0,
    listingDone: true,
    streams: [],
  };
  const texts = (of: SendSummary): string[] => describeSent(of).map(({ text }) => text);

  test("of a sender", () => {
    expect(texts(summary)).toEqual([
      "visible: 2,000 frames, 1,990 stored, 5 already there, 1 conflict, 3 refused, 1 skipped",
      "infrared: 7 frames, 7 stored",
      "sent 230 MB in 2.3 s, 100 MB/s",
    ]);
    expect(texts({ ...summary, sentBytes: 0, elapsedMs: 2300 }).at(-1)).toBe("sent 0 B in 2.3 s");
  });

  test("what is left is said, even with --quiet", () => {
    const left = (unsettledFrames: number, listingDone: boolean) =>
      describeSent({ ...summary, unsettledFrames, listingDone }).at(-1);
    expect(left(3, true)).toMatchObject({
      level: "warning",
      text: "3 frames are left; the same command sends what is missing",
    });
    expect(left(1, false)?.text).toBe("at least 1 frame is left; the same command sends what is missing");
    expect(left(0, false)?.text).toBe("not everything was listed; the same command goes on from here");
  });

  test("what a stream lost is said, and no other run is promised to bring it back", () => {
    const said = (lostFrames: number, readToEnd: boolean) =>
      describeSent({ ...summary, streams: [{ source: "visible", lostFrames, readToEnd }] }).slice(3);
    expect(said(341, true)).toMatchObject([
      {
        level: "warning",
        text: "visible: 341 frames are lost, which only memory had",
        hints: ["--when-behind spool keeps them on disk"],
      },
    ]);
    expect(said(1, false)[0]?.text).toBe("visible: it was not read to its end; 1 frame is lost, which only memory had");
    expect(said(0, false)[0]?.text).toBe("visible: it was not read to its end");
    expect(said(0, true)).toEqual([]);
  });

  test("for machines", () => {
    expect(describeSent(summary).map(({ event }) => event)).toEqual([
      { event: "summary", source: "visible", ...totals },
      {
        event: "summary",
        source: "infrared",
        frames: 7,
        stored: 7,
        duplicates: 0,
        conflicts: 0,
        refused: 0,
        skipped: 0,
      },
      { event: "sent", bytes: 230_000_000, seconds: 2.3, unsettledFrames: 0, listingDone: true },
    ]);
  });

  test("of a receiver", () => {
    const origin = (whose: string, ...counts: [number, number, number, number, number, number]): OriginProgress => {
      const [stored, conflict, duplicate, refused, gap, expired] = counts;
      const frames = { stored, conflict, duplicate, refused, gap, expired };
      return { device: whose, source, frames, storedBytes: 1_000_000, receivedBytes: 0 };
    };
    const full = origin(device, 8, 2, 1, 3, 4, 0);
    const clean = origin(device, 10, 0, 0, 0, 0, 0);
    expect(describeReceived([], 100).text).toBe("stored in 100 ms: 0 frames (0 B)");
    expect(describeReceived([clean, clean], 60_000).text).toBe("stored in 1 min: 20 frames (2.00 MB)");
    expect(describeReceived([origin("lockstep", 1, 0, 0, 3, 0, 0)], 0).text).toEndWith(", 3 refused or missing");
    expect(describeReceived([origin(device, 0, 0, 0, 0, 0, 2)], 0).text).toEndWith(": 0 frames (1.00 MB), 2 expired");
    expect(describeReceived([full, clean], 60_000)).toEqual({
      level: "info",
      event: {
        event: "received",
        frames: 20,
        bytes: 2_000_000,
        duplicates: 1,
        conflicts: 2,
        refused: 3,
        skipped: 4,
        seconds: 60,
      },
      text: "stored in 1 min: 20 frames (2.00 MB), 1 already there, 2 conflicts, 7 refused or missing",
    });
  });
});

test("a sender that waits for so long says that a hold counts", () => {
  const held = { event: "held", reason: "the disk is full" } as const;
  expect(describeSenderEvent({ ...held, retryForMs: 90_000 }).hints).toEqual([
    "giving up after 1 min 30 s: --retry-for counts while the receiver holds us, too",
  ]);
  expect(describeSenderEvent(held).hints).toBeUndefined();
});

test("what a person can do about a hold is a hint", () => {
  const report = describeReceiverEvent({ event: "held", reason: "gone", hints: ["put it back"] });
  expect(report.hints).toEqual(["put it back"]);
});
