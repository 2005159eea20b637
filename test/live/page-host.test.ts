/** The page's process gone wrong, as the process that stores meets it: no more waits for it than one message. */
import { expect, test } from "bun:test";
import { PageHost } from "../../src/live/host/page-host.ts";
import { MessageLink } from "../../src/live/message-link.ts";
import type { PageMessage } from "../../src/live/page-messages.ts";
import type { Clock, Link, LinkHandlers } from "../../src/ports.ts";

/** A page's process that says what the test says, and takes as much as it is let. */
function open() {
  const timers: { readonly ms: number; readonly run: () => void }[] = [];
  const clock: Clock = {
    nowMs: () => 0,
    wallNs: () => 0n,
    after: (ms, run) => {
      timers.push({ ms, run });
      return () => undefined;
    },
  };
  const state = { takes: Number.POSITIVE_INFINITY, taken: [] as Uint8Array[], killed: 0, started: 0 };
  let handlers: LinkHandlers | undefined;
  const link: Link = {
    peer: "",
    write: (view) => {
      const count = Math.min(state.takes, view.length);
      state.taken.push(view.slice(0, count));
      return count;
    },
    pause: () => undefined,
    resume: () => undefined,
    shutdown: () => undefined,
    close: () => undefined,
  };
  const ended: number[] = [];
  let questions = 0;
  const host = new PageHost({
    clock,
    start: { hostname: "127.0.0.1", port: 0, token: "", directory: undefined },
    trouble: () => undefined,
    metrics: () => {
      questions += 1;
      return "x".repeat(1000);
    },
    figures: () => {
      throw new Error("nobody asks");
    },
    startChild: (_word, given) => {
      handlers = given;
      state.started += 1;
      given.opened(link);
      return { pid: 1, kill: () => void (state.killed += 1) };
    },
    onEnded: (againMs) => void ended.push(againMs),
  });
  const say = (message: PageMessage | string): void => {
    const out: Uint8Array[] = [];
    const speaker = new MessageLink({
      jsonBytesMax: 0,
      payloadBytesMax: 0,
      onMessage: () => undefined,
      onClosed: () => undefined,
    });
    speaker.opened({
      ...link,
      write: (view) => {
        out.push(view.slice());
        return view.length;
      },
    });
    speaker.send(message);
    for (const view of out) handlers?.data(view);
  };
  const runTimers = (): void => {
    for (const { run } of timers.splice(0)) run();
  };
  return { host, state, say, ended, runTimers, handlers: () => handlers, questions: () => questions };
}

test("who asks and does not read has one answer waiting, and the others when it reads", async () => {
  const { host, state, say, handlers, questions } = open();
  const address = host.open();
  say({ listening: "127.0.0.1:9100" });
  expect(await address).toBe("127.0.0.1:9100");
  state.takes = 0;
  for (let count = 0; count < 1000; count += 1) say({ ask: "metrics" });
  expect(questions()).toBe(1);
  for (let count = 0; count < 1000; count += 1) say({ ask: "health" });
  state.takes = Number.POSITIVE_INFINITY;
  state.taken.length = 0;
  handlers()?.drain();
  expect(questions()).toBe(2);
  const text = Buffer.concat(state.taken).toString("latin1");
  expect([text.match(/"metrics"/g)?.length, text.match(/"health"/g)?.length]).toEqual([2, 1]);
  host.stop();
});

test("what says what ours would not is ended, and made anew at the port that people know", async () => {
  const { host, state, say, ended, runTimers, handlers } = open();
  const address = host.open();
  say({ listening: "127.0.0.1:9100" });
  await address;
  say("nonsense");
  expect(state.killed).toBe(1);
  handlers()?.closed("");
  expect(ended).toEqual([500]);
  state.taken.length = 0;
  runTimers();
  expect(state.started).toBe(2);
  expect(Buffer.concat(state.taken).toString("latin1")).toContain('"port":9100');
  // Each time that it ends soon it is waited longer for.
  handlers()?.closed("");
  expect(ended).toEqual([500, 1000]);
  host.stop();
  handlers()?.closed("");
  expect(ended).toHaveLength(2);
});

test("one that ends before it listens, or cannot, is why the program cannot start", async () => {
  const gone = open();
  const first = gone.host.open();
  gone.handlers()?.closed("");
  expect(await first.catch(String)).toContain("the page cannot be served");
  const { host, say } = open();
  const second = host.open();
  say({ failed: { message: "the port is in use", hints: ["choose another"] } });
  expect(await second.catch(String)).toContain("the port is in use");
  host.stop();
});
