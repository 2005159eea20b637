/**
 * Frames in an S3 store, as users store them: the executable, real radosgw, `kill -9` of either. Where radosgw is not
 * installed, the double of test/sinks/s3 has to do.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import type { Bucket } from "../../src/sinks/s3/bucket.ts";
import { S3Remote } from "../../src/sinks/s3/s3-remote.ts";
import { encodePath, Signer } from "../../src/sinks/s3/signature.ts";
import { RemotePlace, namesOf } from "../sinks/remote/remote-place.ts";
import { sinkSuite } from "../sinks/suite.ts";
import { S3Double } from "../sinks/s3/s3-double.ts";
import { filesBelow, openPlace, type Place, type Receiver, type Running } from "../support/processes.ts";
import { hasRadosgw, Radosgw } from "../support/radosgw.ts";

const startMs = 180_000;
let gateway: Radosgw | undefined;

beforeAll(async () => {
  if (hasRadosgw) gateway = await new Radosgw().start();
}, startMs);

afterAll(() => gateway?.stop());

function radosgw(): Radosgw {
  if (gateway === undefined) throw new Error("radosgw was started before the tests");
  return gateway;
}

let prefixes = 0;
const newPrefix = (): string => `test-${(prefixes += 1)}`;

if (hasRadosgw) {
  sinkSuite("S3, radosgw", true, () => {
    const bucket = radosgw().bucket(newPrefix());
    return new RemotePlace({
      open: () => new S3Remote(bucket),
      bytesAt: async (_remote, path) => (await request(bucket, "GET", path)).text(),
      remove: () => undefined,
    });
  });
}

function request(bucket: Bucket, method: string, path: string): Promise<Response> {
  const url = new URL(`${bucket.address}/${bucket.prefix}${encodePath(path)}`);
  const signer = new Signer(bucket.credentials, bucket.region);
  return fetch(url, {
    method,
    headers: signer.sign({ method, url, headers: {}, body: new Uint8Array(0) }, Date.now()),
  });
}

/** What a user sees of a store that holds exactly these frames of the device `camera`. */
async function expectClean(place: Place, out: string, env: Record<string, string>, frames: number): Promise<void> {
  const verified = await place.run(["--verify", out], { env });
  expect(verified.stdout.trimEnd().split("\n").at(-1)).toBe(
    `${out}: ${frames} frames, 0 missing, 0 changed, 0 unknown, 0 gaps`,
  );
  expect(verified.status).toBe(0);
}

describe.if(hasRadosgw)("S3, radosgw, the executable", () => {
  test("frames are stored once, whoever sends them again, and --verify finds what somebody deletes", async () => {
    await using place = await openPlace();
    const out = `s3://frames/${newPrefix()}`;
    const { env } = radosgw();
    const dir = place.path("vis");
    await makeFrameSet(dir, { kind: "jpeg", count: 60, bytes: 20_000 });
    const receiver = await place.receive(out, { env });
    expect(await place.send(receiver.port, [`vis=${dir}`]).status()).toBe(0);
    await expectClean(place, out, env, 60);
    const again = place.send(receiver.port, [`vis=${dir}`]);
    expect(await again.status()).toBe(0);
    expect(await again.waitFor("source-ended")).toMatchObject({ totals: { stored: 0, duplicates: 60 } });
    const always = place.send(
      receiver.port,
      [`vis=${dir}`],
      ["--compare", "always", "--delete-sent", "--unchanged-for", "0s"],
    );
    expect(await always.status()).toBe(0);
    expect(filesBelow(dir)).toEqual([]);
    await expectClean(place, out, env, 60);
    const bucket = radosgw().bucket(out.slice("s3://frames/".length));
    const [path = ""] = await namesOf((from) => new S3Remote(bucket).listFrames(from));
    expect((await request(bucket, "DELETE", path)).status).toBe(204);
    const missed = await place.run(["--verify", out], { env });
    expect(missed.status).toBe(6);
    expect(missed.stdout).toMatch(/^unrecorded camera\/vis \(frame \d+\): session [0-9a-f]{32} stored them/m);
  }, 120_000);

  test("the receiver and then the store are killed in the middle: everything is stored, once", async () => {
    await using place = await openPlace();
    const out = `s3://frames/${newPrefix()}`;
    const { env } = radosgw();
    const dir = place.path("vis");
    await makeFrameSet(dir, { kind: "jpeg", count: 1500, bytes: 20_000 });
    let receiver = await place.receive(out, { env, words: ["--verbose"] });
    const { port } = receiver;
    const sender = place.send(port, [`vis=${dir}`]);
    const storedOf = (running: Running): number => running.count("stored");
    await receiver.until(() => storedOf(receiver) > 100, "a hundred frames");
    await receiver.kill();
    receiver = await place.receive(out, { env, port, words: ["--verbose"] });
    await receiver.until(() => storedOf(receiver) > 100, "another hundred");
    await radosgw().killGateway();
    await receiver.waitFor("held");
    await sender.waitFor("held");
    await radosgw().startGateway();
    expect(await sender.status()).toBe(0);
    await receiver.waitFor("resumed");
    await expectClean(place, out, env, 1500);
  }, 240_000);

  test("two receivers share a bucket; a sender moves from one to the other when its receiver is killed", async () => {
    await using place = await openPlace();
    const out = `s3://frames/${newPrefix()}`;
    const { env } = radosgw();
    const [one, other] = [place.path("one"), place.path("other")];
    await makeFrameSet(one, { kind: "jpeg", count: 800, bytes: 20_000 });
    await makeFrameSet(other, { kind: "jpeg", count: 800, bytes: 20_000 });
    const receivers: Receiver[] = [];
    for (let index = 0; index < 2; index += 1) receivers.push(await place.receive(out, { env, words: ["--verbose"] }));
    const [first, second] = receivers as [Receiver, Receiver];
    // A balancer of the least kind: connections go to the receiver that is there.
    const balancer = place.proxy({ targetPort: first.port });
    const moving = place.send(balancer.port, [`one=${one}`]);
    const staying = place.send(second.port, [`other=${other}`]);
    await first.until(() => first.count("stored") > 100, "a hundred frames");
    balancer.targetPort = second.port;
    await first.kill();
    expect(await moving.status()).toBe(0);
    expect(await staying.status()).toBe(0);
    await expectClean(place, out, env, 1600);
  }, 240_000);
});

test("a store that takes a second frame is refused at the start, with a hint", async () => {
  await using place = await openPlace();
  const double = await new S3Double().start();
  place.onClose(() => double.stop());
  double.overwrites = true;
  const env = environmentOf(double);
  const { status, stderr } = await place.run(["--receive", "127.0.0.1:0", "--out", "s3://frames"], { env });
  expect(status).toBe(1);
  expect(stderr).toContain("error: s3://frames: the store does not do what If-None-Match asks for");
  expect(stderr).toContain("hint: use a store that does");
});

test.each([
  ["that forbids", { status: 403, code: "AccessDenied" }, "the store forbids it (403 AccessDenied)", "s3:PutObject"],
  ["that is full", { status: 403, code: "QuotaExceeded" }, "the store is full (403 QuotaExceeded)", "make room"],
  [
    "in another region",
    { status: 301, code: "PermanentRedirect", headers: { "x-amz-bucket-region": "eu-west-3" } },
    "the bucket is in eu-west-3 (301 PermanentRedirect)",
    "AWS_REGION=eu-west-3",
  ],
  [
    "whose credential has expired",
    { status: 400, code: "ExpiredToken" },
    "the credential has expired (400 ExpiredToken)",
    "AWS_SESSION_TOKEN",
  ],
])(
  "a store %s holds the sender, says it once with a hint, and stores when it may again",
  async (_, fault, reason, hint) => {
    await using place = await openPlace();
    const double = await new S3Double().start();
    place.onClose(() => double.stop());
    const env = environmentOf(double);
    const dir = place.path("vis");
    await makeFrameSet(dir, { kind: "jpeg", count: 20, bytes: 5_000 });
    const receiver = await place.receive("s3://frames/day", { env });
    double.fault = ({ method }) => (method === "PUT" ? fault : undefined);
    const sender = place.send(receiver.port, [`vis=${dir}`]);
    await sender.waitFor("held");
    expect(double.objects.size).toBe(1);
    expect(receiver.all("held")).toMatchObject([
      {
        reason: `s3://frames/day: ${reason}`,
        hints: [expect.stringContaining(hint)],
      },
    ]);
    double.fault = () => undefined;
    expect(await sender.status()).toBe(0);
    expect(receiver.stderr + sender.stderr).not.toContain("the-secret");
    expect(receiver.count("held")).toBe(1);
    const names = await namesOf((from) => new S3Remote(double.bucket("day")).listFrames(from));
    expect(names.length).toBe(20);
  },
);

function environmentOf(double: S3Double): Record<string, string> {
  return { AWS_ACCESS_KEY_ID: "KEY", AWS_SECRET_ACCESS_KEY: "the-secret", AWS_ENDPOINT_URL: double.endpoint };
}
