/**
 * The pipelines of both roles, as they are shipped, against article-style peers that know nothing of them: on a
 * simulated network and in virtual time, so that half a minute without a reply takes none. test/e2e/lockstep.test.ts
 * has the real sockets.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExitStatus } from "../../src/errors.ts";
import type { ReceiverEvent, SenderEvent } from "../../src/events.ts";
import type { Frame, RefusalReason } from "../../src/frame.ts";
import { lockstepReplyMs } from "../../src/limits.ts";
import { nameProblem } from "../../src/names.ts";
import { ReceiverHub } from "../../src/pipeline/receiver.ts";
import { LockstepSending } from "../../src/pipeline/sending-lockstep.ts";
import type { SenderResult } from "../../src/pipeline/sending.ts";
import type { FrameWriter } from "../../src/ports.ts";
import { converseOn, passUntil, serveOn } from "../simulation/article-peers.ts";
import { SimClock } from "../simulation/sim-clock.ts";
import { SimNetwork } from "../simulation/sim-network.ts";
import { type SimFile, SimSource } from "../simulation/sim-source.ts";
import { MemorySink } from "../sinks/memory-sink.ts";
import type { ArticleConversation, ArticleRecord, ArticleServerOptions } from "../support/lockstep-peers.ts";
import { Random } from "../support/random.ts";

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

let clock: SimClock;
let network: SimNetwork;
let folder = "";
beforeEach(() => {
  useNetwork(5);
  folder = mkdtempSync(join(tmpdir(), "framepipe-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Messages take up to this long, and arrive as they were written: the article's programs rely on that. */
function useNetwork(delayMsMax: number): void {
  clock = new SimClock();
  network = new SimNetwork(clock, new Random(1), { delayMsMax, capacityBytes: 50_000, damage: 0, whole: true });
}

type Frames = Readonly<Record<string, readonly (Given & { readonly broken?: boolean })[]>>;

/** A sender on its way, and what has become of its frames so far. */
function startSending(sources: Frames) {
  const events: SenderEvent[] = [];
  const settled: string[] = [];
  let result: SenderResult | undefined;
  const sending = new LockstepSending({
    peer: "sim:1",
    dial: network.dial,
    clock: clock.process().clock,
    random: () => 0.5,
    sources: Object.entries(sources).map(([source, frames]) => {
      const files: SimFile[] = frames.map((frame) => ({ capturedNs: 0n, broken: false, ...frame }));
      return new SimSource({
        folder: { source, files, deleted: new Set() },
        random: new Random(2),
        deleteSent: false,
        live: false,
        onSettled: (_source, name, outcome) => settled.push(`${name} ${outcome}`),
      });
    }),
    retryForMs: undefined,
    onEvent: (event) => void events.push(event),
    onDone: (done) => (result = done),
  });
  sending.start();
  return {
    settled,
    get result(): SenderResult | undefined {
      return result;
    },
    get skipped(): string[] {
      return events.flatMap((event) => (event.event === "skipped" ? [event.name] : []));
    },
    /** Why conversations were given up. */
    get failures(): string[] {
      return events.flatMap((event) => (event.event === "disconnected" ? [event.reason] : []));
    },
  };
}

/** A commit takes 3 ms; says what was begun and dropped. */
class SlowSink extends MemorySink {
  readonly aborted: string[] = [];

  override open(frame: Frame): FrameWriter | RefusalReason {
    const writer = super.open(frame);
    if (typeof writer === "string") return writer;
    let bytes = 0;
    return {
      write: (view) => {
        bytes += view.length;
        writer.write(view);
      },
      goOn: (same) => writer.goOn(same),
      finish: (crc32, settle) => writer.finish(crc32, settle),
      abort: () => {
        this.aborted.push(`${frame.name} ${bytes > 0 && bytes < frame.bytes ? "in the middle" : `at ${bytes}`}`);
        writer.abort();
      },
    };
  }

  override commit(done: Parameters<MemorySink["commit"]>[0]): void {
    clock.after(3, () => super.commit(done));
  }
}

/** A receiver that all connections of the network lead to. */
function listen(sink: MemorySink, events: ReceiverEvent[]): void {
  const hub = new ReceiverHub({
    sink,
    clock: clock.process().clock,
    agent: "receiver",
    frameBytesMax: 1_000_000,
    connectionsMax: 10,
    newSession: () => "1".repeat(32),
    onEvent: (event) => void events.push(event),
    onFailure: (error) => {
      throw error;
    },
  });
  network.accept = () => hub.accept();
}

describe("our sender, an article-style server", () => {
  /** Sends each source's frames in as many conversations as it takes. */
  async function send(
    options: Partial<ArticleServerOptions>,
    sources: Frames,
    meanwhile: (server: ArticleRecord) => void = () => undefined,
  ) {
    const server = serveOn(network, clock, { directory: folder, ...options });
    const sent = startSending(sources);
    await passUntil(clock, () => {
      meanwhile(server);
      return sent.result !== undefined && server.overs >= Object.keys(sources).length;
    });
    const { result, skipped, settled, failures } = sent;
    return { server, result, skipped, settled, failures };
  }

  function expectStored(frames: readonly Given[], format = "visible"): void {
    for (const { name, bytes } of frames) {
      expect(Buffer.compare(readFileSync(join(folder, format, name)), bytes)).toBe(0);
    }
  }

  const namesOf = (frames: readonly Given[]): string[] => frames.map(({ name }) => name);

  test("frames of many sizes, one conversation", async () => {
    const { server, result, settled } = await send({}, { "visible/folder": mixed });
    expect(server).toEqual({ sessions: ["visible|folder"], names: namesOf(mixed), lost: [], overs: 1 });
    expectStored(mixed);
    expect(settled).toEqual(namesOf(mixed).map((name) => `${name} stored`));
    expect(result).toMatchObject({ status: ExitStatus.ok, unsettledFrames: 0 });
  });

  test("a conversation for each source, one after another", async () => {
    const [some, others] = [mixed.slice(0, 4), mixed.slice(4, 7)];
    const { server, failures } = await send({}, { visible: some, "infrared/night": others });
    expect(server.sessions).toEqual(["visible|visible", "infrared|night"]);
    expect(server.names).toEqual(namesOf([...some, ...others]));
    expect([server.lost, failures]).toEqual([[], []]);
    expectStored(some);
    expectStored(others, "infrared");
  });

  test("a server that is busy behind its last ok, and reads slowly", async () => {
    const frames = mixed.filter(({ bytes }) => bytes.length < 80_000);
    const { server } = await send({ busyMs: 20, slowReadMs: 1 }, { "visible/folder": frames });
    expect(server).toEqual({ sessions: ["visible|folder"], names: namesOf(frames), lost: [], overs: 1 });
    expectStored(frames);
  });

  test("a server that is busy for longer than the pause: given up, paused longer, never stuck", async () => {
    const frames = mixed.slice(1, 6);
    const { server, failures } = await send({ busyMs: 150 }, { "visible/folder": frames });
    // The pause of 50 ms is doubled twice. Each time the header was read with `continue`, so no frame comes twice.
    expect(failures).toHaveLength(2);
    for (const failure of failures) expect(failure).toContain(`announcing: no reply within ${lockstepReplyMs} ms`);
    expect(server.lost).toHaveLength(2);
    for (const read of server.lost) expect(read).toStartWith("continue");
    expect(server.names).toEqual(namesOf(frames));
    expectStored(frames);
  });

  test("a server that waits for the first byte of an empty frame", async () => {
    const { server, skipped, failures } = await send({ waitFirstByte: true }, { "visible/folder": mixed });
    expect(skipped).toEqual(["1.jpg", "10.jpg"]);
    expect(failures).toHaveLength(1);
    const frames = mixed.filter(({ bytes }) => bytes.length > 0);
    expect(server.names).toEqual(namesOf(frames));
    expectStored(frames);
  });

  test("a cut connection: what was not confirmed comes again", async () => {
    let cut = false;
    const { server, failures, settled } = await send({}, { "visible/folder": mixed }, ({ names }) => {
      if (cut || names.length < 5) return;
      cut = true;
      network.cut(false);
    });
    expect(failures).toEqual(["cut"]);
    expect(server.sessions).toEqual(["visible|folder", "visible|folder"]);
    expect([...new Set(server.names)]).toEqual(namesOf(mixed));
    expect(settled).toEqual(namesOf(mixed).map((name) => `${name} stored`));
    expectStored(mixed);
  });

  test("frames that cannot be read cost a connection at most, and no other frame", async () => {
    const frames = mixed.map((frame, index) => ({ ...frame, broken: index % 3 === 1 }));
    const { server, skipped, failures, result } = await send({}, { "visible/folder": frames });
    const [bad, good] = [frames.filter(({ broken }) => broken), frames.filter(({ broken }) => !broken)];
    expect(skipped).toEqual(namesOf(bad));
    expect(failures.length).toBeLessThanOrEqual(bad.length);
    expect(server.names).toEqual(namesOf(good));
    expectStored(good);
    expect(result).toMatchObject({ status: ExitStatus.incomplete, unsettledFrames: 0 });
  });
});

describe("an article-style client, our receiver", () => {
  /** One conversation with a receiver, until its connection is gone. */
  async function receive(options: Partial<ArticleConversation>, frames: readonly Given[]) {
    const sink = new SlowSink({ frameBytesMax: 1_000_000 });
    const events: ReceiverEvent[] = [];
    listen(sink, events);
    let confirmed: number | undefined;
    let failure: unknown;
    void converseOn(network, clock, { format: "visible", directory: "folder", frames, ...options }).then(
      (count) => (confirmed = count),
      (error: unknown) => (failure = error),
    );
    await passUntil(clock, () => {
      if (failure !== undefined) throw failure;
      return (
        confirmed !== undefined && events.some(({ event }) => event === "session-ended" || event === "connection-lost")
      );
    });
    const stored = [...sink.frames.values()].map(({ frame: { name, origin }, bytes }) => ({ name, bytes, origin }));
    return { confirmed, stored, events, aborted: sink.aborted };
  }

  const hostile: readonly Given[] = [
    { name: "../../etc/passwd", bytes: random.bytes(2000) },
    { name: "/etc/x", bytes: random.bytes(20) },
    { name: "C:\\x", bytes: random.bytes(20) },
    { name: "a//b", bytes: random.bytes(1) },
    { name: "", bytes: random.bytes(7) },
    { name: "x".repeat(300), bytes: random.bytes(9) },
  ];
  interface Manner {
    readonly title: string;
    readonly options: Partial<ArticleConversation>;
    readonly frames?: readonly Given[];
    readonly delayMsMax?: number;
  }
  const manners: readonly Manner[] = [
    { title: "as the original", options: {} },
    { title: "far away", options: {}, delayMsMax: 300 },
    { title: "continue and header glued", options: { glue: true } },
    { title: "headers split", options: { splitHeaderMs: 20 } },
    { title: "glued and split", options: { glue: true, splitHeaderMs: 20 } },
    { title: "slow", options: { writeDelayMs: 10 } },
    {
      title: "hostile names between good ones",
      options: {},
      frames: [...hostile, ...mixed.slice(0, 4), ...hostile],
    },
  ];
  for (const { title, options, frames = mixed, delayMsMax = 5 } of manners) {
    test(title, async () => {
      useNetwork(delayMsMax);
      const { confirmed, stored, events, aborted } = await receive(options, frames);
      expect(confirmed).toBe(frames.length);
      const good = frames.filter(({ name }) => nameProblem(name) === undefined);
      expect(stored.map(({ name }) => name)).toEqual(good.map(({ name }) => name));
      for (const [index, { bytes }] of good.entries()) {
        expect(Buffer.compare(stored[index]?.bytes ?? Buffer.alloc(0), bytes)).toBe(0);
        expect(stored[index]?.origin).toMatchObject({ device: "lockstep", source: "visible/folder" });
      }
      expect(aborted).toEqual([]);
      expect(events.at(-1)).toMatchObject({ event: "session-ended", interrupted: false, storedFrames: good.length });
    });
  }

  test("a client that dies inside a payload leaves nothing of that frame", async () => {
    const { confirmed, stored, events, aborted } = await receive({ dieInFrame: 5, writeDelayMs: 20 }, mixed);
    expect(confirmed).toBe(5);
    expect(stored.map(({ name }) => name)).toEqual(mixed.slice(0, 5).map(({ name }) => name));
    expect(aborted).toEqual(["6.jpg in the middle"]);
    expect(events.at(-1)).toMatchObject({ event: "connection-lost" });
  });
});

test("both ends of ours, over a network that takes less than it is given, cuts and joins", async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const chance = new Random(seed);
    clock = new SimClock();
    // A header that has no end of its own is taken for whole when nothing has followed for 100 ms.
    network = new SimNetwork(clock, chance, { delayMsMax: 1 + chance.int(80), capacityBytes: 2_000, damage: 0 });
    const sink = new SlowSink({ frameBytesMax: 1_000_000 });
    const received: ReceiverEvent[] = [];
    listen(sink, received);
    const frames = Array.from({ length: 1 + chance.int(8) }, (_, index) => ({
      name: chance.pick([`${index}.jpg`, `dir/${index}.tif`, `${index}`]),
      bytes: chance.bytes(chance.pick([0, 1, 50, 3000])),
    }));
    const sent = startSending({ "visible/folder": frames });
    await passUntil(clock, () => sent.result !== undefined && received.some(({ event }) => event === "session-ended"));
    expect({ seed, failures: sent.failures, skipped: sent.skipped }).toEqual({ seed, failures: [], skipped: [] });
    const stored = [...sink.frames.values()].map(({ frame: { name }, bytes }) => ({ name, bytes: Buffer.from(bytes) }));
    expect(stored).toEqual(frames.map(({ name, bytes }) => ({ name, bytes: Buffer.from(bytes) })));
    expect(sent.settled).toEqual(frames.map(({ name }) => `${name} stored`));
    expect(received.at(-1)).toMatchObject({ event: "session-ended", interrupted: false, storedFrames: frames.length });
    expect(network.opened).toBe(1);
  }
});
