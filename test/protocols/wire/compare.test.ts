/** Verdicts that the driver compares: the same frame is settled, another one is sent. */
import { expect, test } from "bun:test";
import { crc32 } from "../../../src/bytes/checksum.ts";
import { SessionPair } from "./pair.ts";

const [one, two] = [Buffer.from("one"), Buffer.from("two")];
const frames = { visible: { "1.raw": one, "2.raw": two, "3.raw": one } };
const have = (bytes: Uint8Array) => ({ kind: "have", outcome: "duplicate", crc32: crc32(bytes) }) as const;

test("a frame that is the same is not sent, one with other bytes is, and may be a conflict", () => {
  const pair = new SessionPair({
    frames,
    sending: { compares: true },
    verdict: (_, name) => (name === "3.raw" ? { kind: "want" } : have(one)),
    onFrameEnd: ({ frame }, { receiver }) =>
      receiver.settle(0, frame.sequence, frame.sequence === 1 ? "conflict" : "stored"),
  });
  pair.run();
  expect(pair.done).toBe(true);
  expect([...pair.stored.keys()]).toEqual(["visible/2.raw", "visible/3.raw"]);
  expect(pair.sender.ledgers[0]?.totals()).toMatchObject({ frames: 3, stored: 1, duplicates: 1, conflicts: 1 });
});

test("one with other bytes that is lost is a gap without its name, which another frame has", () => {
  const pair = new SessionPair({
    frames,
    sending: { compares: true },
    verdict: (_, name) => (name === "3.raw" ? { kind: "want" } : have(one)),
    onFrame: (incoming, { receiver }) => receiver.reject(incoming, "too-large", "too large", false),
  });
  pair.run();
  const gaps = pair.events.flatMap((event) => (event.type === "gap" ? [event.gap] : []));
  expect(gaps.map(({ firstSequence, name, detail }) => [firstSequence, name, detail])).toEqual([
    [1, "", "2.raw: not what is stored under this name, and lost: too large"],
    [2, "3.raw", "too large"],
  ]);
  expect(pair.told).toContain("2.raw gap");
});

test("what is not settled when the connection is lost is asked and compared again", () => {
  let acknowledges = false;
  const pair = new SessionPair({
    frames,
    sending: { compares: true },
    verdict: () => have(one),
    onFrameEnd: ({ frame }, { receiver }) => {
      if (acknowledges) receiver.settle(0, frame.sequence, "conflict");
    },
  });
  pair.run();
  pair.cut();
  acknowledges = true;
  pair.connect();
  pair.run();
  expect(pair.done).toBe(true);
  expect(pair.sender.ledgers[0]?.totals()).toMatchObject({ frames: 3, duplicates: 2, conflicts: 1 });
});

test("a driver that does not compare believes", () => {
  const pair = new SessionPair({ frames, verdict: () => have(one) });
  pair.run();
  expect(pair.sender.ledgers[0]?.totals()).toMatchObject({ frames: 3, duplicates: 3 });
});
