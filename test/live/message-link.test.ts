/** Messages between two processes: whole ones, in pieces, behind a link that takes little; and what is none. */
import { expect, test } from "bun:test";
import { MessageLink } from "../../src/live/message-link.ts";
import type { Link } from "../../src/ports.ts";

/** A link that takes `most` bytes at a time. */
class NarrowLink implements Link {
  readonly peer = "";
  readonly taken: number[] = [];
  closed = false;

  readonly most: number;

  constructor(most: number) {
    this.most = most;
  }

  write(view: Uint8Array): number {
    const count = Math.min(this.most, view.length);
    this.taken.push(...view.subarray(0, count));
    return count;
  }

  pause(): void {}
  resume(): void {}
  shutdown(): void {}

  close(): void {
    this.closed = true;
  }
}

function open(link = new NarrowLink(Number.POSITIVE_INFINITY)) {
  const heard: [unknown, Uint8Array][] = [];
  let drained = 0;
  const messages = new MessageLink({
    jsonBytesMax: 100,
    payloadBytesMax: 1000,
    onMessage: (value, payload) => heard.push([value, payload]),
    onDrained: () => (drained += 1),
    onClosed: () => undefined,
  });
  messages.opened(link);
  return { messages, link, heard, drained: () => drained };
}

const payload = Uint8Array.from({ length: 1000 }, (_value, index) => index % 256);

test("messages arrive as they were sent, however they are cut", () => {
  for (const most of [1, 7, 999, Number.POSITIVE_INFINITY]) {
    const from = open(new NarrowLink(most));
    from.messages.send({ a: "ü" });
    from.messages.send({ b: 2 }, payload);
    for (let turns = 0; !from.messages.idle; turns += 1) {
      expect(turns).toBeLessThan(2000);
      from.messages.drain();
    }
    expect(from.drained()).toBe(most === Number.POSITIVE_INFINITY ? 0 : 1);
    const to = open();
    const bytes = Uint8Array.from(from.link.taken);
    for (let at = 0; at < bytes.length; at += most) to.messages.data(bytes.subarray(at, at + Math.min(most, 1e6)));
    expect(to.heard).toEqual([
      [{ a: "ü" }, new Uint8Array(0)],
      [{ b: 2 }, payload],
    ]);
  }
});

test("what breaks the form ends it, and is not kept", () => {
  const head = (json: number, bytes: number): Uint8Array => new Uint8Array(Uint32Array.of(json, bytes).buffer);
  const wrong = [head(101, 0), head(2, 1001), head(2 ** 32 - 1, 0), Uint8Array.of(...head(1, 0), 0x7b)];
  for (const bytes of wrong) {
    const { messages, link, heard } = open();
    messages.data(bytes);
    expect([link.closed, heard]).toEqual([true, []]);
    messages.data(Uint8Array.of(...head(2, 0), 0x7b, 0x7d));
    expect(heard).toEqual([]);
  }
});
