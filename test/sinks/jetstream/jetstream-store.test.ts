/** Frames in a stream of a real NATS server: the suite, and what such a stream can and cannot be. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { DiscardPolicy, jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { SinkError, UserError } from "../../../src/errors.ts";
import { JetStreamRemote } from "../../../src/sinks/jetstream/jetstream-remote.ts";
import { streamAddressOf } from "../../../src/sinks/jetstream/stream-address.ts";
import { decodeTokens, encodeTokens } from "../../../src/sinks/jetstream/subject.ts";
import { verifyRemote } from "../../../src/sinks/remote/verify-remote.ts";
import type { Finding } from "../../../src/sinks/store/findings.ts";
import type { GatheredFrame } from "../../../src/sinks/store/gathered-frame.ts";
import type { StoreSink } from "../../../src/sinks/store/store-sink.ts";
import { setting } from "../../support/processes.ts";
import { hasNatsServer, NatsServer } from "../../support/nats-server.ts";
import { namesOf, RemotePlace, storeOf } from "../remote/remote-place.ts";
import {
  ask,
  commit,
  frameOf,
  inSession,
  otherSession,
  session,
  sinkOf,
  sinkSuite,
  someGap,
  stage,
  store,
} from "../suite.ts";

const server = new NatsServer();
let connection: NatsConnection;
let manager: JetStreamManager;
let streams = 0;
const newStream = (): string => `frames-${(streams += 1)}`;
const remoteOf = (stream: string): JetStreamRemote => new JetStreamRemote(streamAddressOf(server.address(stream), {}));

describe.if(hasNatsServer)("JetStream", () => {
  beforeAll(async () => {
    await server.start();
    connection = await connect({
      servers: `127.0.0.1:${server.port}`,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
    });
    manager = await jetstreamManager(connection);
  });

  afterAll(async () => {
    await connection.close();
    await server.stop();
  });

  let sinks: StoreSink<GatheredFrame>[] = [];
  afterEach(() => {
    for (const sink of sinks) sink.dispose();
    sinks = [];
  });

  async function open(stream: string, mustExist = false): Promise<StoreSink<GatheredFrame>> {
    const remote = storeOf(remoteOf(stream), mustExist);
    const sink = sinkOf(remote);
    sinks.push(sink);
    await remote.start();
    return sink;
  }

  sinkSuite("JetStream", true, () => {
    const stream = newStream();
    return new RemotePlace({
      open: () => remoteOf(stream),
      bytesAt: async (_remote, path) => {
        const subject = `${stream}.frame.${encodeTokens(path)}`;
        return (await manager.streams.getMessage(stream, { last_by_subj: subject }))?.string() ?? "";
      },
      remove: async () => void (await manager.streams.delete(stream)),
    });
  });

  test("sixteen receivers race to store the same frames: each is stored once", async () => {
    const stream = newStream();
    const all = [await open(stream), ...(await Promise.all(Array.from({ length: 15 }, () => open(stream))))];
    const names = Array.from({ length: setting("RACE_FRAMES", 50) }, (_, index) => `${index}.jpg`);
    const results = await Promise.all(
      all.map(async (sink) => {
        const ofOne = names.map((name, sequence) => stage(sink, frameOf(name, name, { sequence }), name));
        await commit(sink);
        return ofOne.flat();
      }),
    );
    expect(new Set(results.flat())).toEqual(new Set(["stored"]));
    const stored = await namesOf((from) => remoteOf(stream).listFrames(from));
    expect(stored.toSorted()).toEqual(names.map((name) => `rig/visible/${name}`).toSorted());
  });

  test("the server is killed in the middle: what was stored is there, the rest is stored when it is back", async () => {
    const stream = newStream();
    const sink = await open(stream);
    const results = Array.from({ length: 200 }, (_, index) =>
      stage(sink, frameOf(`${index}.jpg`, `${index}`, { sequence: index }), `${index}`),
    );
    const committed = commit(sink);
    await server.kill();
    await server.start();
    await committed;
    while (sink.ready(1) !== undefined) await Bun.sleep(20);
    for (const [index, [result]] of results.entries()) {
      if (!(result instanceof SinkError)) continue;
      expect(result.retryable).toBe(true);
      expect(await store(sink, frameOf(`${index}.jpg`, `${index}`, { sequence: index }), `${index}`)).toBe("stored");
    }
    const totals = { frames: 200, stored: 200, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
    const end = { origin: { device: "rig", source: "visible", session }, totals };
    sink.end(end, (result) => expect(result).toBe("recorded"));
    expect(await commit(sink)).toBeUndefined();
    const report = await verifyRemote(remoteOf(stream), { found: () => expect.unreachable() });
    expect(report).toMatchObject({ frames: 200, clean: true });
  });

  test("--verify names a gap, a lying end, a message that was deleted and one that is none of ours", async () => {
    const stream = newStream();
    const sink = await open(stream);
    const origin = { device: "rig", source: "visible", session };
    for (const index of [0, 1, 2, 3]) await store(sink, frameOf(`${index}.jpg`, "x", { sequence: index }), "x");
    sink.gap(someGap, () => undefined);
    const totals = { frames: 6, stored: 5, duplicates: 0, conflicts: 0, refused: 0, skipped: 1 };
    sink.end({ origin, totals }, (result) => expect(result).toMatchObject({ stored: 4, skipped: 2 }));
    await commit(sink);
    const subject = `${stream}.frame.rig.visible.2%2Ejpg`;
    const message = await manager.streams.getMessage(stream, { last_by_subj: subject });
    await manager.streams.deleteMessage(stream, message?.seq ?? 0);
    connection.publish(`${stream}.frame.rig.visible.mine`, "mine");
    await connection.flush();
    const findings: Finding[] = [];
    const report = await verifyRemote(remoteOf(stream), { found: (finding) => findings.push(finding) });
    expect(findings.map(({ kind }) => kind).toSorted()).toEqual(["gap", "totals-differ", "unknown", "unrecorded"]);
    expect(findings).toContainEqual({ kind: "unrecorded", ...origin, firstSequence: 2, count: 1 });
    expect(report).toMatchObject({ frames: 3, gapFrames: 2, unrecorded: 1, differing: 1, unknown: 1 });
  });

  test.each([
    ["max_age", { max_age: 3_600_000_000_000 }],
    ["discard", { discard: DiscardPolicy.Old, max_bytes: 1_000_000 }],
    ["max_msgs_per_subject", { max_msgs_per_subject: -1 }],
    ["subjects", { subjects: ["other.>"] }],
    ["retention", { retention: "workqueue" as never }],
  ])("a stream that could drop frames is refused at the start: %s", async (said, changes) => {
    const name = newStream();
    const fit = { discard: DiscardPolicy.New, max_msgs_per_subject: 1 };
    await manager.streams.add({ name, subjects: [`${name}.>`], ...fit, ...changes });
    const opening = open(name);
    await expect(opening).rejects.toThrow(said);
    expect(await opening.catch((error: unknown) => error)).toMatchObject({ retryable: false });
    await manager.streams.delete(name);
  });

  test("a stream that is full holds the sender with a hint, and stores when there is room", async () => {
    const name = newStream();
    const fit = { name, subjects: [`${name}.>`], discard: DiscardPolicy.New, max_msgs_per_subject: 1 };
    await manager.streams.add({ ...fit, max_bytes: 8_000 });
    const sink = await open(name);
    const results = [];
    for (let index = 0; index < 10; index += 1) {
      const content = `${index}`.repeat(2_000);
      results.push(await store(sink, frameOf(`${index}.jpg`, content, { sequence: index }), content));
      if (results.at(-1) instanceof SinkError) break;
    }
    const last = results.at(-1) as SinkError;
    expect(last).toBeInstanceOf(SinkError);
    expect(last).toMatchObject({ retryable: true, scope: "destination" });
    expect(last.message).toContain("maximum bytes exceeded");
    expect(last.hints.join()).toContain("max_bytes");
    await manager.streams.update(name, { max_bytes: 8_000_000 });
    while (sink.ready(1) !== undefined) await Bun.sleep(20);
    expect(await store(sink, frameOf("after.jpg", "x", { sequence: 20 }), "x")).toBe("stored");
  });

  test("however many ask at once, there is one connection", async () => {
    const name = newStream();
    await open(name);
    const monitor = async (): Promise<number> => {
      const { connections } = (await (await fetch(`http://127.0.0.1:${server.monitorPort}/connz`)).json()) as {
        connections: unknown[];
      };
      return connections.length;
    };
    const before = await monitor();
    const remote = remoteOf(name);
    await Promise.all(Array.from({ length: 20 }, (_, index) => remote.look(`${index}`)));
    expect((await monitor()) - before).toBe(1);
    remote.close();
  });

  test("a frame larger than the server takes is refused alone, with a hint", async () => {
    const sink = await open(newStream());
    const large = { frame: frameOf("large.jpg", "", { bytes: 2_000_000, sequence: 1 }) };
    const wide = sinkOf(storeOf(remoteOf(`frames-${streams}`)), { frameBytesMax: 10_000_000 });
    sinks.push(wide);
    while (wide.ready(1) !== undefined) await Bun.sleep(20);
    let refusal: unknown;
    try {
      wide.open(large.frame);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toMatchObject({
      scope: "frame",
      retryable: false,
      hints: [expect.stringContaining("max_payload")],
    });
    expect(await store(sink, frameOf("1.jpg", "x"), "x")).toBe("stored");
  });

  test("a stream that is gone is not begun anew by a receiver that has used it", async () => {
    const name = newStream();
    const sink = await open(name);
    await store(sink, frameOf("1.jpg", "x"), "x");
    await manager.streams.delete(name);
    expect(await store(sink, frameOf("2.jpg", "x", { sequence: 1 }), "x")).toBeInstanceOf(SinkError);
    let failure = sink.ready(1);
    for (let left = 200; left > 0 && !failure?.message.includes("gone"); left -= 1) {
      await Bun.sleep(20);
      failure = sink.ready(1);
    }
    expect(failure?.message).toContain("the stream is gone");
    await expect(manager.streams.info(name)).rejects.toThrow();
    await expect(open(newStream(), true)).rejects.toThrow("--no-create");
  });

  test("frames that were stored one after another are looked for together", async () => {
    const stream = newStream();
    const sink = await open(stream);
    const frames = Array.from({ length: 60 }, (_, index) => frameOf(`${index}.jpg`, "x", { sequence: index }));
    for (const frame of frames) stage(sink, frame, "x");
    expect(await commit(sink)).toBeUndefined();
    const remote = remoteOf(stream);
    const singly: string[] = [];
    const look = remote.look.bind(remote);
    remote.look = (path) => {
      singly.push(path);
      return look(path);
    };
    const opened = storeOf(remote);
    const other = sinkOf(opened);
    sinks.push(other);
    await opened.start();
    const origin = { device: "rig", source: "visible", session: otherSession };
    const offers = [...frames, frameOf("new.jpg", "x")];
    const kinds = (await ask(other, origin, offers)).map(({ kind }) => kind);
    expect(kinds).toEqual([...frames.map(() => "have" as const), "want"]);
    expect(singly).toEqual(["rig/visible/new.jpg"]);
  });

  test("offers are answered from what is there, also by another receiver", async () => {
    const name = newStream();
    const origin = { device: "rig", source: "visible", session };
    const [one, other] = [await open(name), await open(name)];
    expect(await ask(one, origin, [frameOf("day.1/ü *>.jpg", "one")])).toEqual([{ kind: "want" }]);
    expect(await store(one, frameOf("day.1/ü *>.jpg", "one"), "one")).toBe("stored");
    const asked = { ...origin, session: otherSession };
    expect(await ask(other, asked, [frameOf("day.1/ü *>.jpg", "one", inSession(otherSession))])).toMatchObject([
      { kind: "have", outcome: "duplicate" },
    ]);
  });
});

test("paths are subjects and back, and no path is another's subject", () => {
  const paths = ["a", "a.b", "a/b", "a b/c*d/>", "ü/日", "%2E", "a%b", "~!'()", ".framepipe/x"];
  for (const path of paths) {
    expect(decodeTokens(encodeTokens(path))).toBe(path);
    expect(encodeTokens(path)).toMatch(/^[A-Za-z0-9%_-]+(?:\.[A-Za-z0-9%_-]+)*$/);
  }
  expect(new Set(paths.map(encodeTokens)).size).toBe(paths.length);
});

test("an address has a host and a stream, and no secret", () => {
  expect(streamAddressOf("nats://host/frames", {})).toMatchObject({
    place: "nats://host/frames",
    server: "host:4222",
    stream: "frames",
  });
  expect(streamAddressOf("nats://[::1]:5000/a-b_c", {})).toMatchObject({ server: "[::1]:5000" });
  for (const bad of [
    "nats://host",
    "nats://host/a.b",
    "nats://host/a/b",
    "nats://u:secret@host/a",
    "nats://host:99999/a",
  ]) {
    let error: unknown;
    try {
      streamAddressOf(bad, {});
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).not.toContain("secret");
  }
  expect(() => streamAddressOf("nats://host/a", { NATS_CREDS: "/nowhere/x.creds" })).toThrow("there is no such file");
});
