/** One connection of a peer that is slow, talks too much, or does not read: on a link and a clock of the test. */
import { expect, test } from "bun:test";
import type { Link } from "../../src/ports.ts";
import { answerMs, headMs, HttpConnection } from "../../src/live/http-connection.ts";
import { SimClock } from "../simulation/sim-clock.ts";

const answers = {
  hosts: new Set(["localhost:1"]),
  token: "0123456789abcdef",
  trouble: () => undefined,
  metrics: () => "x".repeat(100_000),
};
const health = "GET /healthz HTTP/1.1\r\nHost: localhost:1\r\n\r\n";
const metrics = "GET /metrics HTTP/1.1\r\nHost: localhost:1\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n";

function connection(options: { tooMany?: boolean; takes?: number } = {}) {
  const clock = new SimClock();
  const seen = { text: "", shut: false, closed: false, over: 0 };
  let takes = options.takes ?? Number.POSITIVE_INFINITY;
  const http = new HttpConnection({
    clock,
    answers,
    tooMany: options.tooMany ?? false,
    onClosed: () => (seen.over += 1),
  });
  const link: Link = {
    peer: "test",
    write: (view) => {
      const taken = view.subarray(0, Math.min(view.length, takes));
      takes -= taken.length;
      seen.text += Buffer.from(taken).toString();
      return taken.length;
    },
    pause: () => undefined,
    resume: () => undefined,
    shutdown: () => void (seen.shut = true),
    close: () => {
      if (seen.closed) return;
      seen.closed = true;
      http.closed();
    },
  };
  http.opened(link);
  const say = (text: string): void => http.data(Buffer.from(text));
  const more = (bytes: number): void => {
    takes = bytes;
    http.drain();
  };
  return { clock, seen, say, more };
}

test("a request in pieces has one answer, and what comes behind it has none", () => {
  const { seen, say, clock } = connection();
  for (const character of health) say(character);
  expect(seen.text).toStartWith("HTTP/1.1 200 OK\r\n");
  expect(seen.shut).toBe(true);
  const { text } = seen;
  say(health);
  expect(seen.text).toBe(text);
  // It does not close: it is closed.
  clock.pass(1000);
  expect([seen.closed, seen.over]).toEqual([true, 1]);
});

test("a head that does not end is answered when its time is up, however it dribbles", () => {
  const { seen, say, clock } = connection();
  for (let ms = 0; ms < headMs; ms += 100) {
    expect(seen.text).toBe("");
    say("G");
    clock.pass(100);
  }
  expect(seen.text).toStartWith("HTTP/1.1 408 ");
  clock.pass(1000);
  expect(seen.closed).toBe(true);
});

test("a head that is too large is refused before it is kept", () => {
  for (const head of [`GET /${"a".repeat(9000)}`, `GET / HTTP/1.1\r\nHost: ${"a".repeat(9000)}\r\n\r\n`]) {
    const { seen, say } = connection();
    say(head);
    expect(seen.text).toStartWith("HTTP/1.1 431 ");
  }
  const { seen, say } = connection();
  say(`GET /healthz HTTP/1.1\r\nHost: localhost:1\r\nX: ${"a".repeat(8000)}`);
  expect(seen.text).toBe("");
  say(`${"a".repeat(200)}\r\n\r\n`);
  expect(seen.text).toStartWith("HTTP/1.1 431 ");
});

test("a peer that reads slowly gets all of it, one that reads nothing is left", () => {
  const slow = connection({ takes: 1000 });
  slow.say(metrics);
  expect([slow.seen.text.length, slow.seen.shut]).toEqual([1000, false]);
  slow.more(1000);
  slow.more(Number.POSITIVE_INFINITY);
  expect(slow.seen.text.slice(slow.seen.text.indexOf("\r\n\r\n") + 4)).toBe("x".repeat(100_000));
  expect(slow.seen.shut).toBe(true);

  const deaf = connection({ takes: 0 });
  deaf.say(metrics);
  deaf.clock.pass(answerMs - 1);
  expect(deaf.seen.closed).toBe(false);
  deaf.clock.pass(1);
  expect(deaf.seen.closed).toBe(true);
});

test("one that is too many is closed without a word", () => {
  const { seen } = connection({ tooMany: true });
  expect(seen).toEqual({ text: "", shut: false, closed: true, over: 1 });
});
