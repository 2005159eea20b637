/** The S3 store: the suite over a double, and what the double can be made to do. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { SinkError } from "../../../src/errors.ts";
import { S3Remote } from "../../../src/sinks/s3/s3-remote.ts";
import type { StoreSink } from "../../../src/sinks/store/store-sink.ts";
import type { GatheredFrame } from "../../../src/sinks/store/gathered-frame.ts";
import { RemotePlace, storeOf } from "../remote/remote-place.ts";
import { ask, commit, frameOf, inSession, otherSession, session, sinkOf, sinkSuite, stage, store } from "../suite.ts";
import { setting } from "../../support/processes.ts";
import { type DoubleRequest, type Fault, S3Double } from "./s3-double.ts";

sinkSuite("S3, a double", true, async () => {
  const double = await new S3Double().start();
  return new RemotePlace({
    open: () => new S3Remote(double.bucket("the/prefix")),
    bytesAt: async (_remote, path) => String(double.objects.get(`the/prefix/${path}`)?.body),
    remove: () => double.stop(),
  });
});

const origin = { device: "rig", source: "visible", session };

let double: S3Double;
let sinks: StoreSink<GatheredFrame>[] = [];

beforeEach(async () => {
  double = await new S3Double().start();
});

afterEach(() => {
  for (const sink of sinks) sink.dispose();
  sinks = [];
  double.stop();
});

async function open(): Promise<StoreSink<GatheredFrame>> {
  const remote = storeOf(new S3Remote(double.bucket()));
  await remote.start();
  const sink = sinkOf(remote);
  sinks.push(sink);
  return sink;
}

/** The first so many requests of this kind meet a fault. */
function failing(times: number, fault: Fault, fits: (request: DoubleRequest) => boolean): () => number {
  let met = 0;
  double.fault = (request) => {
    if (met === times || !fits(request)) return undefined;
    met += 1;
    return fault;
  };
  return () => met;
}

const isFrame = ({ method, key }: DoubleRequest): boolean => method === "PUT" && !key.startsWith(".framepipe/");
const isLedger = ({ method, key }: DoubleRequest): boolean => method === "PUT" && key.startsWith(".framepipe/ledger/");

function framesThere(): string[] {
  return [...double.objects.keys()].filter((key) => !key.startsWith(".framepipe/"));
}

function ledger(of = session): Record<string, unknown> {
  const object = double.objects.get(`.framepipe/ledger/rig/visible/${of}.1.json`);
  return JSON.parse(String(object?.body ?? "{}")) as Record<string, unknown>;
}

describe("what a store has to prove at the start", () => {
  test.each([
    ["that it refuses a second frame", "If-None-Match", () => (double.overwrites = true)],
    ["that it keeps metadata", "metadata", () => (double.forgetsMetadata = true)],
  ])("%s", async (_what, said, lie) => {
    lie();
    const opening = open();
    await expect(opening).rejects.toThrow(said);
    expect(await opening.catch((error: unknown) => error)).toMatchObject({ retryable: false });
  });

  test("that it refuses a record that was changed", async () => {
    double.fault = ({ key, headers }) =>
      key.endsWith("proof") && headers["if-match"] !== undefined
        ? { status: 200, headers: { etag: '"1"' } }
        : undefined;
    await expect(open()).rejects.toThrow("If-Match");
  });

  test("a second start proves it again; tags with and without quotes will do", async () => {
    for (const bare of [false, true, false]) {
      double.bareTags = bare;
      const sink = await open();
      expect(await store(sink, frameOf(`${bare}.jpg`, "one", { sequence: 1 }), "one")).toBe("stored");
      expect(await store(sink, frameOf(`${bare}.jpg`, "one", { sequence: 1 }), "one")).toBe("stored");
    }
  });

  test("a store that is not there is waited for, and proves it then", async () => {
    double.fault = () => ({ status: 503 });
    const sink = await open();
    expect(sink.ready(1)).toBeInstanceOf(SinkError);
    await expect(ask(sink, origin, [frameOf("1.jpg", "one")])).rejects.toThrow("busy (503)");
    double.fault = () => undefined;
    while (sink.ready(1) !== undefined) await Bun.sleep(5);
    expect(double.objects.has(".framepipe/proof")).toBe(true);
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
  });
});

describe("answers that are none, late or lost", () => {
  test.each([
    ["409", { status: 409, code: "ConditionalRequestConflict" }],
    ["429", { status: 429 }],
    ["500", { status: 500, code: "InternalError" }],
    ["503", { status: 503, code: "SlowDown" }],
    ["a connection that ends", "drop"],
    ["a 200 that is none of a store", { status: 200, headers: { "content-type": "text/html" } }],
    ["stored, and then the connection ends", "store-and-drop"],
  ] as const)("%s: asked again, and stored once", async (_what, fault) => {
    const sink = await open();
    for (const fits of [isFrame, isLedger]) {
      const met = failing(2, fault, fits);
      expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
      expect(met()).toBeGreaterThan(0);
      expect(framesThere()).toEqual(["rig/visible/1.jpg"]);
      expect(ledger()).toMatchObject({ outcomes: [[0, 0, "stored"]] });
    }
  });

  test("a store that says nothing is given up, and asked again", async () => {
    const remote = storeOf(new S3Remote(double.bucket(), 50));
    await remote.start();
    const sink = sinkOf(remote);
    sinks.push(sink);
    const met = failing(2, "silence", isFrame);
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
    expect(met()).toBe(2);
  });

  test("a store that stays busy fails the commit, and nothing counts as stored", async () => {
    const sink = await open();
    double.fault = (request) => (isFrame(request) ? { status: 503, code: "SlowDown" } : undefined);
    const results = stage(sink, frameOf("1.jpg", "one"), "one");
    expect(await commit(sink)).toMatchObject({ retryable: true, message: expect.stringContaining("503 SlowDown") });
    expect(results).toEqual([expect.any(SinkError)] as never);
    expect(ledger()).toEqual({});
  });

  test("nothing is told to a sender before the ledger has it", async () => {
    const sink = await open();
    double.fault = (request) => (isLedger(request) ? { status: 403, code: "AccessDenied" } : undefined);
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBeInstanceOf(SinkError);
    expect(framesThere()).toEqual(["rig/visible/1.jpg"]);
    double.fault = () => undefined;
    while (sink.ready(1) !== undefined) await Bun.sleep(5);
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
    expect(ledger()).toMatchObject({ outcomes: [[0, 0, "stored"]] });
  });

  test("a redirect is not followed", async () => {
    const sink = await open();
    const asked = double.requests.length;
    double.fault = (request) =>
      isFrame(request)
        ? { status: 303, headers: { location: `${double.endpoint}/frames/.framepipe/proof` } }
        : undefined;
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toMatchObject({ retryable: true });
    expect(double.requests.slice(asked).map(({ method, key }) => `${method} ${key}`)).toEqual([
      "PUT rig/visible/1.jpg",
    ]);
  });
});

describe("what holds, and what a person can do", () => {
  test.each([
    [403, "AccessDenied", "s3:PutObject"],
    [401, "Unauthorized", "AWS_ACCESS_KEY_ID"],
    [403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"],
    [400, "ExpiredToken", "AWS_SESSION_TOKEN"],
    [403, "RequestTimeTooSkewed", "clock"],
    [403, "QuotaExceeded", "make room"],
    [507, "XMinioStorageFull", "make room"],
    [301, "PermanentRedirect", "AWS_REGION=eu-west-3"],
    [404, "NoSuchBucket", "AWS_ENDPOINT_URL"],
    [418, "Teapot", "AWS_ENDPOINT_URL"],
  ])("%i %s", async (status, code, hint) => {
    const sink = await open();
    const headers = code === "PermanentRedirect" ? { "x-amz-bucket-region": "eu-west-3" } : {};
    const met = failing(1, { status, code, headers }, isFrame);
    const result = (await store(sink, frameOf("1.jpg", "one"), "one")) as SinkError;
    expect(result).toMatchObject({ retryable: true, scope: "destination" });
    expect(result.message).toContain(`${status}`);
    expect(result.hints.join()).toContain(hint);
    for (const text of [result.message, ...result.hints, Bun.inspect(result)]) {
      expect(text).not.toMatch(/the-secret|the-token|Signature=/);
    }
    expect(met()).toBe(1);
    expect(framesThere()).toEqual([]);
  });

  test("an object that is too large, or has too many metadata, is refused alone", async () => {
    const sink = await open();
    double.fault = ({ key }) => (key.endsWith("2.jpg") ? { status: 400, code: "EntityTooLarge" } : undefined);
    const results = stage(sink, frameOf("1.jpg", "one"), "one");
    stage(sink, frameOf("2.jpg", "two", { sequence: 1 }), "two", results);
    const metadata = new Map([["text", "x".repeat(2000)]]);
    stage(sink, frameOf("3.jpg", "three", { sequence: 2, metadata }), "three", results);
    stage(sink, frameOf("4.jpg", "four", { sequence: 3 }), "four", results);
    expect(await commit(sink)).toBeUndefined();
    const refused = expect.objectContaining({ scope: "frame", retryable: false }) as SinkError;
    expect(results).toEqual(["stored", refused, refused, "stored"]);
    expect(framesThere()).toEqual(["rig/visible/1.jpg", "rig/visible/4.jpg"]);
  });
});

describe("what is stored", () => {
  test("a frame is its bytes and what is known of it", async () => {
    const sink = await open();
    const metadata = new Map([["exposure", "1/200 ü"]]);
    const frame = frameOf("day 1/ü+'(1)*.jpg", "one", { sequence: 7, notes: 1, metadata, clockOffsetNs: -5n });
    expect(await store(sink, frame, "one")).toBe("stored");
    const object = double.objects.get("rig/visible/day 1/ü+'(1)*.jpg");
    expect(String(object?.body)).toBe("one");
    expect(object?.headers).toEqual({
      "x-amz-meta-framepipe": "1",
      "x-amz-meta-device": "rig",
      "x-amz-meta-source": "visible",
      "x-amz-meta-session": session,
      "x-amz-meta-sequence": "7",
      "x-amz-meta-name": "day%201/%C3%BC%2B'(1)*.jpg",
      "x-amz-meta-number": "1",
      "x-amz-meta-bytes": "3",
      "x-amz-meta-crc32": "7a6c86f1",
      "x-amz-meta-captured": "1700000000123456789",
      "x-amz-meta-received": "1800000000000000001",
      "x-amz-meta-clock-offset": "-5",
      "x-amz-meta-notes": "1",
      "x-amz-meta-metadata": encodeURIComponent('{"exposure":"1/200 ü"}').replaceAll("%2F", "/"),
    });
  });

  test("a foreign object in a frame's place makes it a conflict", async () => {
    const sink = await open();
    double.objects.set("rig/visible/1.jpg", { body: Buffer.from("one"), headers: {}, tag: "t" });
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("conflict");
    expect(framesThere()).toEqual(["rig/visible/1.jpg", "rig/visible/1~2.jpg"]);
  });

  test("a frame whose name has many versions is not sent once for each", async () => {
    const sink = await open();
    for (const content of ["one", "two", "three", "four"]) await store(sink, frameOf("1.jpg", content), content);
    const asked = double.requests.length;
    expect(await store(sink, frameOf("1.jpg", "five"), "five")).toBe("conflict");
    const puts = double.requests.slice(asked).filter(isFrame);
    expect(puts.map(({ key }) => key)).toEqual(["rig/visible/1.jpg", "rig/visible/1~5.jpg"]);
  });

  test("sixteen receivers race to store the same frames: each is stored once", async () => {
    const all = await Promise.all(Array.from({ length: 16 }, open));
    const names = Array.from({ length: setting("RACE_FRAMES", 20) }, (_, index) => `${index}.jpg`);
    const results = await Promise.all(
      all.map(async (sink) => {
        const ofOne = names.map((name, sequence) => stage(sink, frameOf(name, name, { sequence }), name));
        await commit(sink);
        return ofOne.flat();
      }),
    );
    expect(new Set(results.flat())).toEqual(new Set(["stored"]));
    expect(framesThere().toSorted()).toEqual(names.map((name) => `rig/visible/${name}`).toSorted());
    expect(ledger()).toMatchObject({ outcomes: [[0, names.length - 1, "stored"]] });
  });

  test("many are on their way at once, and no more than that", async () => {
    const sink = await open();
    double.underWayMost = 0;
    for (let index = 0; index < 200; index += 1) stage(sink, frameOf(`${index}.jpg`, "x", { sequence: index }), "x");
    expect(await commit(sink)).toBeUndefined();
    expect(double.underWayMost).toBeLessThanOrEqual(32);
    expect(double.underWayMost).toBeGreaterThan(16);
  });
});

describe("offers", () => {
  test("a source of which nothing is stored costs one question, whatever is offered", async () => {
    const sink = await open();
    const asked = double.requests.length;
    const offers = Array.from({ length: 50 }, (_, index) => frameOf(`${index}.jpg`, "x"));
    const verdicts = await ask(sink, origin, offers);
    expect(verdicts.every(({ kind }) => kind === "want")).toBe(true);
    expect(double.requests.length - asked).toBe(1);
  });

  test("what is there is entered in the ledger before the sender hears of it", async () => {
    const sink = await open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    const other = { ...origin, session: otherSession };
    expect(await sink.lookup(other, [frameOf("1.jpg", "one", inSession(otherSession))], 4)).toMatchObject([
      { kind: "have", outcome: "duplicate" },
    ]);
    expect(ledger(otherSession)).toMatchObject({ outcomes: [[4, 4, "duplicate"]] });
  });

  test("a name that has no key is refused before it is sent", async () => {
    const sink = await open();
    const long = Array.from({ length: 8 }, () => "x".repeat(111)).join("/");
    expect(await ask(sink, origin, [frameOf(long, "one")])).toEqual([{ kind: "want" }]);
    const sinkBelow = sinkOf(storeOf(new S3Remote(double.bucket("p".repeat(200)))));
    sinks.push(sinkBelow);
    while (sinkBelow.ready(1) !== undefined) await Bun.sleep(5);
    expect(await ask(sinkBelow, origin, [frameOf(long, "one")])).toEqual([{ kind: "refuse", reason: "name" }]);
  });
});
