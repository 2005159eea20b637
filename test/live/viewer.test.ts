/** One viewer among others: the newest only, in turn, as much as it has credit for, and never more than it takes. */
import { expect, test } from "bun:test";
import type { FrameFacts, PictureSize, SourceKey } from "../../src/live/page-api.ts";
import { Pictures } from "../../src/live/server/pictures.ts";
import { stalledMs, type ViewerSocket } from "../../src/live/server/viewer.ts";
import { Viewers, viewersMax } from "../../src/live/server/viewers.ts";

class FakeSocket implements ViewerSocket {
  readonly sent: (string | Uint8Array)[] = [];
  waiting = 0;
  closed = false;
  /** Takes nothing. */
  isStuck = false;

  send(message: string | Uint8Array): void {
    this.sent.push(message);
    if (this.isStuck) this.waiting += message.length;
  }

  waitingBytes(): number {
    return this.waiting;
  }

  close(): void {
    this.closed = true;
  }

  /** Source and number of each picture. */
  get pictures(): string[] {
    return this.sent.flatMap((message) => {
      if (typeof message === "string") return [];
      const length = new DataView(message.buffer, message.byteOffset).getUint32(0, true);
      const head = JSON.parse(Buffer.from(message.subarray(4, 4 + length)).toString()) as FrameFacts;
      return [`${head.key} ${head.sequence}`];
    });
  }
}

/** Pictures and viewers in a time that only the test moves. */
class House {
  nowMs = 0;
  readonly asked: SourceKey[] = [];
  readonly timers: { readonly atMs: number; readonly run: () => void }[] = [];
  readonly intervals: (() => void)[] = [];
  thumbnails = 0;
  #serial = 0;
  readonly pictures: Pictures = new Pictures({
    nowMs: () => this.nowMs,
    wallNs: () => 0n,
    after: (ms, run) => void this.timers.push({ atMs: this.nowMs + ms, run }),
    ask: (key) => void this.asked.push(key),
    stored: () => Promise.resolve(undefined),
    thumbnailOf: () => {
      this.thumbnails += 1;
      return Promise.resolve(Uint8Array.of(1));
    },
    onReady: (key, size) => this.viewers.ready(key, size),
  });
  readonly viewers: Viewers = new Viewers({
    pictures: this.pictures,
    nowMs: () => this.nowMs,
    wallNs: () => 0n,
    every: (_ms, run) => void this.intervals.push(run),
    askFigures: () => Promise.reject(new Error("nobody asks")),
  });

  join(show: Record<SourceKey, PictureSize>, credit: number): FakeSocket {
    const socket = new FakeSocket();
    this.viewers.join(socket);
    this.viewers.hear(socket, JSON.stringify({ show, credit }));
    return socket;
  }

  frame(key: SourceKey, sequence: number, bytes = 10): void {
    const facts = { key, session: "s", sequence, name: "n", bytes, captured: "2026-11-25T10:00:00.000Z" };
    this.pictures.enter({ facts, serial: (this.#serial += 1), bytes: new Uint8Array(bytes) });
  }

  async pass(ms: number): Promise<void> {
    this.nowMs += ms;
    for (const timer of this.timers.splice(0)) {
      if (timer.atMs <= this.nowMs) timer.run();
      else this.timers.push(timer);
    }
    // What was promised is done.
    await Bun.sleep(0);
  }
}

test("who has no credit gets nothing, and then the newest alone", () => {
  const house = new House();
  const socket = house.join({ "a/b": "full" }, 1);
  expect(house.asked).toEqual(["a/b"]);
  house.frame("a/b", 1);
  house.frame("a/b", 2);
  house.frame("a/b", 3);
  expect(socket.pictures).toEqual(["a/b 1"]);
  // Nobody waits for more.
  expect(house.asked).toEqual(["a/b"]);
  house.viewers.hear(socket, '{"credit": 5}');
  expect(socket.pictures).toEqual(["a/b 1", "a/b 3"]);
  expect(house.asked).toEqual(["a/b", "a/b"]);
  // Who joins is shown what there is, and waits with the others.
  expect(house.join({ "a/b": "full" }, 2).pictures).toEqual(["a/b 3"]);
  expect(house.asked).toHaveLength(2);
  house.viewers.hear(socket, '{"show": {}}');
  house.frame("a/b", 4);
  expect(socket.pictures).toHaveLength(2);
});

test("sources take turns, however fast one of them is", () => {
  const house = new House();
  const socket = house.join({ "fast/a": "full", "slow/b": "full" }, 0);
  for (let sequence = 0; sequence < 4; sequence += 1) {
    house.frame("fast/a", sequence);
    if (sequence % 2 === 0) house.frame("slow/b", sequence);
    house.viewers.hear(socket, '{"credit": 1}');
  }
  expect(socket.pictures.filter((picture) => picture.startsWith("slow"))).toHaveLength(2);
});

test("whoever takes nothing has one message waiting, and is closed", () => {
  const house = new House();
  const [stuck, well] = [house.join({ "a/b": "full" }, 16), house.join({ "a/b": "full" }, 16)];
  stuck.isStuck = true;
  for (let sequence = 0; sequence < 10; sequence += 1) house.frame("a/b", sequence);
  expect([stuck.pictures, well.pictures.length]).toEqual([["a/b 0"], 10]);
  for (let ms = 0; ms <= stalledMs; ms += 5000) {
    expect(stuck.closed).toBe(false);
    for (const run of house.intervals.slice(1)) run();
    house.nowMs += 5000;
  }
  for (const run of house.intervals.slice(1)) run();
  expect([stuck.closed, well.closed]).toEqual([true, false]);
});

test("200 viewers that take nothing hold no more than there is room for", () => {
  const house = new House();
  const sockets = Array.from({ length: 200 }, () => {
    const socket = house.join({ "a/b": "full" }, 16);
    socket.isStuck = true;
    return socket;
  });
  for (let sequence = 0; sequence < 5; sequence += 1) house.frame("a/b", sequence, 2 ** 20);
  const waiting = sockets.reduce((sum, socket) => sum + socket.waiting, 0);
  expect(waiting).toBeGreaterThan(60 * 2 ** 20);
  expect(waiting).toBeLessThanOrEqual(64 * 2 ** 20);
  // When one of them has taken what it was sent, another has its turn.
  const [first, last] = [sockets[0], sockets.at(-1)];
  expect(last?.pictures).toEqual([]);
  for (const socket of sockets.slice(0, 180)) {
    socket.waiting = 0;
    house.viewers.drained(socket);
  }
  expect(first?.pictures).toHaveLength(2);
  expect(last?.pictures).toEqual(["a/b 4"]);
  for (let more = 200; more < viewersMax; more += 1) house.join({}, 0);
  expect(house.viewers.full).toBe(true);
});

test("thumbnails are made once for everybody, twice a second at most, beside full pictures too", async () => {
  const house = new House();
  const sockets = Array.from({ length: 5 }, () => house.join({ "a/b": "thumbnail" }, 16));
  house.join({ "a/b": "full" }, 16);
  for (let at = 0; at < 100; at += 1) {
    house.frame("a/b", at);
    await house.pass(20);
  }
  // In two seconds.
  expect(house.thumbnails).toBeGreaterThanOrEqual(4);
  expect(house.thumbnails).toBeLessThanOrEqual(5);
  for (const socket of sockets) expect(socket.pictures).toHaveLength(house.thumbnails);
});

test("what is no message of ours ends the conversation", () => {
  const house = new House();
  for (const text of ["", "{", "1", "null", '{"show": 1}', '{"show": null}']) {
    const socket = house.join({}, 0);
    house.viewers.hear(socket, text);
    expect([text, socket.closed]).toEqual([text, true]);
  }
  // And what has no meaning is passed over.
  const socket = house.join({}, 0);
  const strange = { show: { "a/b": "huge", __proto__: "full", constructor: "full" }, credit: -5, figures: "yes" };
  house.viewers.hear(socket, JSON.stringify({ ...strange, ping: "x", credits: 9 }));
  house.frame("a/b", 1);
  expect([socket.closed, socket.sent]).toEqual([false, []]);
});
