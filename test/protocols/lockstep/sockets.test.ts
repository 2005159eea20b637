/**
 * The machines of both roles on real sockets against article-style peers that know nothing of them. The drivers here
 * are the smallest that work; the pipelines have the real ones.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Socket } from "bun";
import { nameProblem } from "../../../src/names.ts";
import { lockstepMayBegin } from "../../../src/protocols/lockstep/messages.ts";
import { LockstepPace } from "../../../src/protocols/lockstep/pace.ts";
import { LockstepReceiver } from "../../../src/protocols/lockstep/receiver.ts";
import { LockstepSender } from "../../../src/protocols/lockstep/sender.ts";
import {
  runArticleClient,
  startArticleServer,
  type ArticleClientOptions,
  type ArticleServer,
} from "../../support/lockstep-peers.ts";
import { Random } from "../../support/random.ts";

interface Given {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const random = new Random(2026);
const mixed: readonly Given[] = [0, 1, 1023, 1024, 1025, 100_000, 15_000, 300_000, 2, 0, 70_000].map(
  (bytes, index) => ({
    name: `${index + 1}.jpg`,
    bytes: random.bytes(bytes),
  }),
);

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "framepipe-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Sent {
  readonly skipped: string[];
  readonly connections: number;
  /** Why conversations were given up. */
  readonly failures: string[];
}

/** Sends `frames` in as many conversations as it takes. */
async function sendAll(port: number, frames: readonly Given[], pace: LockstepPace): Promise<Sent> {
  const rest = [...frames];
  const sent: Sent & { connections: number } = { skipped: [], connections: 0, failures: [] };
  for (;;) {
    sent.connections += 1;
    const failure = await converse(port, rest, pace, sent.skipped);
    if (failure === undefined) return sent;
    sent.failures.push(failure);
    if (sent.connections > 20) throw new Error(sent.failures.join("; "));
  }
}

/** One conversation; takes what is settled out of `rest`. Gives why it failed, or undefined. */
async function converse(
  port: number,
  rest: Given[],
  pace: LockstepPace,
  skipped: string[],
): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const sender = new LockstepSender({ source: "visible/folder", pace, nowMs: performance.now() });
  let timer: Timer | undefined;
  let readBytes = 0;

  const pump = (socket: Socket, heard?: Uint8Array): void => {
    clearTimeout(timer);
    try {
      if (heard !== undefined) sender.receive(heard, performance.now());
      if (sender.tickAtMs <= performance.now()) sender.tick(performance.now());
      for (;;) {
        const step = sender.next(performance.now());
        if (step.type === "need-frame") {
          const frame = rest[0];
          readBytes = 0;
          if (frame === undefined) sender.finish(performance.now());
          else if (sender.problem(frame.name, frame.bytes.length) === undefined) {
            sender.frame(frame.name, frame.bytes.length, performance.now());
          } else skipped.push(rest.shift()?.name ?? "");
        } else if (step.type === "payload") {
          const at = sender.outbox.reserve(step.bytes);
          sender.outbox.bytes.set(rest[0]?.bytes.subarray(readBytes, readBytes + step.bytes) ?? [], at);
          sender.outbox.commit(step.bytes);
          readBytes += step.bytes;
          sender.read(step.bytes, performance.now());
        } else if (step.type === "frame-done") rest.shift();
        else {
          const view = sender.outbox.view();
          const taken = view.length === 0 ? 0 : Math.max(0, socket.write(view));
          sender.outbox.release(taken);
          if (step.type === "over" && sender.outbox.byteLength === 0) {
            socket.shutdown();
            resolve(undefined);
            return;
          }
          if (taken === 0 || sender.outbox.byteLength > 0) break;
        }
      }
      timer = setTimeout(pump, Math.max(0, Math.min(sender.tickAtMs - performance.now(), 1000)), socket);
    } catch (error) {
      resolve(String(error));
    }
  };

  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (connection, chunk) => pump(connection, chunk),
      drain: (connection) => pump(connection),
      close: () => resolve("closed"),
    },
  });
  pump(socket);
  const failure = await promise;
  clearTimeout(timer);
  if (failure !== undefined) socket.terminate();
  return failure;
}

/** Waits until the server has read `over` behind its last file, and looks at its files. */
async function expectStored(server: ArticleServer, frames: readonly Given[]): Promise<void> {
  while (server.overs === 0) await Bun.sleep(5);
  for (const { name, bytes } of frames) {
    expect(Buffer.compare(readFileSync(join(folder, "visible", name)), bytes)).toBe(0);
  }
  expect(new Set(server.names)).toEqual(new Set(frames.map(({ name }) => name)));
}

/** The usual pauses; a test does not wait for half a minute. */
function patient(): LockstepPace {
  return new LockstepPace({ replyMs: 2000 });
}

describe("our sender, an article-style server", () => {
  let server: ArticleServer | undefined;
  afterEach(() => server?.stop());

  test("frames of many sizes, one conversation", async () => {
    server = startArticleServer({ directory: folder });
    const sent = await sendAll(server.port, mixed, patient());
    expect(sent.skipped).toEqual([]);
    // One conversation, unless this machine stood still for a whole pause; then what was lost is sent again.
    expect(sent.connections).toBeLessThanOrEqual(2);
    expect(server.lost.length).toBe(sent.connections - 1);
    await expectStored(server, mixed);
    expect(server.sessions[0]).toBe("visible|folder");
    expect(server.names).toEqual(mixed.map(({ name }) => name));
  }, 20_000);

  test("a server that is busy behind its last ok, and reads slowly", async () => {
    server = startArticleServer({ directory: folder, busyMs: 20, slowReadMs: 1 });
    const frames = mixed.filter(({ bytes }) => bytes.length < 80_000);
    const sent = await sendAll(server.port, frames, patient());
    expect(sent.connections).toBeLessThanOrEqual(2);
    await expectStored(server, frames);
  }, 20_000);

  test("a server that is busy for longer than the pause: given up, paused longer, never stuck", async () => {
    server = startArticleServer({ directory: folder, busyMs: 150 });
    const frames = mixed.slice(1, 6);
    const pace = new LockstepPace({ pauseMs: 20, replyMs: 400 });
    const sent = await sendAll(server.port, frames, pace);
    expect(sent.connections).toBeGreaterThan(1);
    expect(sent.failures[0]).toContain("announcing: no reply within 400 ms");
    expect(server.lost.some((read) => read.startsWith("continue"))).toBe(true);
    await expectStored(server, frames);
    expect(pace.pauseMs(0)).toBeGreaterThanOrEqual(150);
  }, 20_000);

  test("a server that waits for the first byte of an empty frame", async () => {
    server = startArticleServer({ directory: folder, waitFirstByte: true });
    const sent = await sendAll(server.port, mixed, new LockstepPace({ replyMs: 500 }));
    expect(sent.skipped).toEqual(["1.jpg", "10.jpg"]);
    expect(sent.connections).toBe(2);
    await expectStored(
      server,
      mixed.filter(({ bytes }) => bytes.length > 0),
    );
  }, 20_000);
});

interface Kept {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Our receiving machine behind a real listener, storing in memory after `storeMs`. */
function startReceiver(storeMs: number) {
  const kept: Kept[] = [];
  const log: string[] = [];
  const drive = (socket: Socket<{ receiver: LockstepReceiver<Buffer[]>; timer?: Timer }>): void => {
    const { receiver } = socket.data;
    clearTimeout(socket.data.timer);
    try {
      if (receiver.tickAtMs <= performance.now()) receiver.tick(performance.now());
      for (
        let event = receiver.next(performance.now());
        event !== undefined;
        event = receiver.next(performance.now())
      ) {
        switch (event.type) {
          case "hello":
            receiver.welcome();
            break;
          case "frame":
            if (nameProblem(event.incoming.frame.name) === undefined) event.incoming.writer = [];
            else receiver.reject(event.incoming, "name", "unsafe", false);
            break;
          case "payload":
            event.incoming.writer?.push(Buffer.from(event.view));
            break;
          case "frame-end": {
            const { frame, writer } = event.incoming;
            setTimeout(() => {
              kept.push({ name: frame.name, bytes: Buffer.concat(writer ?? []) });
              receiver.settle(0, frame.sequence);
              drive(socket);
            }, storeMs);
            break;
          }
          case "bye":
            log.push("bye");
            break;
          default:
        }
      }
      const view = receiver.outbox.view();
      if (view.length > 0) receiver.outbox.release(Math.max(0, socket.write(view)));
      if (receiver.tickAtMs !== Number.POSITIVE_INFINITY) {
        socket.data.timer = setTimeout(drive, Math.max(0, receiver.tickAtMs - performance.now()), socket);
      }
    } catch (error) {
      log.push(String(error));
      socket.terminate();
    }
  };
  const listener = Bun.listen<{ receiver: LockstepReceiver<Buffer[]>; timer?: Timer }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => {
        const receiver = new LockstepReceiver<Buffer[]>({
          session: "0".repeat(32),
          nowMs: performance.now(),
          wallNs: () => BigInt(Date.now()) * 1_000_000n,
        });
        socket.data = { receiver };
      },
      data: (socket, chunk) => {
        if (socket.data.receiver.state === "opening") expect(lockstepMayBegin(chunk)).toBe("yes");
        socket.data.receiver.push(chunk, performance.now());
        drive(socket);
      },
      close: (socket) => {
        clearTimeout(socket.data.timer);
        for (const open of socket.data.receiver.openFrames())
          log.push(`cut ${open.frame.name} at ${open.receivedBytes}`);
      },
    },
  });
  return { port: listener.port, kept, log, stop: () => listener.stop(true) };
}

describe("an article-style client, our receiver", () => {
  const hostile: readonly Given[] = [
    { name: "../../etc/passwd", bytes: random.bytes(2000) },
    { name: "/etc/x", bytes: random.bytes(20) },
    { name: "C:\\x", bytes: random.bytes(20) },
    { name: "a//b", bytes: random.bytes(1) },
    { name: "", bytes: random.bytes(7) },
    { name: "x".repeat(300), bytes: random.bytes(9) },
  ];
  const manners: readonly { title: string; options: Partial<ArticleClientOptions>; frames?: readonly Given[] }[] = [
    { title: "as the original", options: {} },
    { title: "without Nagle", options: { noDelay: true } },
    { title: "continue and header glued", options: { glue: true, noDelay: true } },
    { title: "headers split", options: { splitHeaderMs: 20, noDelay: true } },
    { title: "glued and split", options: { glue: true, splitHeaderMs: 20, noDelay: true } },
    { title: "slow", options: { writeDelayMs: 10 } },
    {
      title: "hostile names between good ones",
      options: { noDelay: true },
      frames: [...hostile, ...mixed.slice(0, 4), ...hostile],
    },
  ];
  for (const { title, options, frames = mixed } of manners) {
    test(
      title,
      async () => {
        const receiver = startReceiver(3);
        try {
          const confirmed = await runArticleClient({
            port: receiver.port,
            format: "visible",
            directory: "folder",
            frames,
            ...options,
          });
          expect(confirmed).toBe(frames.length);
          while (receiver.log.length === 0) await Bun.sleep(5);
          expect(receiver.log).toEqual(["bye"]);
          const good = frames.filter(({ name }) => nameProblem(name) === undefined);
          expect(receiver.kept.map(({ name }) => name)).toEqual(good.map(({ name }) => name));
          for (const [index, { bytes }] of good.entries()) {
            expect(Buffer.compare(receiver.kept[index]?.bytes ?? Buffer.alloc(0), bytes)).toBe(0);
          }
        } finally {
          receiver.stop();
        }
      },
      20_000,
    );
  }

  test("a client that dies inside a payload leaves nothing of that frame", async () => {
    const receiver = startReceiver(3);
    try {
      const confirmed = await runArticleClient({
        port: receiver.port,
        format: "visible",
        directory: "folder",
        frames: mixed,
        dieInFrame: 5,
        noDelay: true,
      });
      expect(confirmed).toBe(5);
      while (receiver.log.length === 0) await Bun.sleep(5);
      expect(receiver.log[0]).toStartWith("cut 6.jpg at ");
      expect(receiver.kept.map(({ name }) => name)).toEqual(mixed.slice(0, 5).map(({ name }) => name));
    } finally {
      receiver.stop();
    }
  });
});
