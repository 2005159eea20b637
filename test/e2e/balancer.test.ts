/**
 * Two receivers on one store behind an ordinary TCP balancer: a sender goes on at the other one when its receiver, or
 * the balancer, is killed in the middle, and the account holds over both.
 */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { S3Double } from "../sinks/s3/s3-double.ts";
import { Haproxy, hasHaproxy } from "../support/haproxy.ts";
import { hasNatsServer, NatsServer } from "../support/nats-server.ts";
import { freePort, openPlace, type Place, type Receiver } from "../support/processes.ts";

const frames = 400;

function makeFrames(place: Place): string {
  const folder = place.path("vis");
  mkdirSync(folder);
  for (let at = 0; at < frames; at += 1) {
    writeFileSync(`${folder}/${at}.pgm`, `P5 100 100 255\n${String(at).padEnd(10_000, "x")}`);
  }
  return `vis=${folder}`;
}

interface Shared {
  readonly out: string;
  readonly env: Record<string, string>;
}

/** With keys: receivers of one store have the same key file and devices folder. */
async function moveBetween(place: Place, { out, env }: Shared): Promise<void> {
  const input = makeFrames(place);
  const key = place.path("recorder.key");
  const words = ["--key", key, "--per-address", "0", "--verbose"];
  const ports = [freePort(), freePort()];
  // The key, and its spare, are made by the first.
  const receivers: Receiver[] = [];
  for (const port of ports) receivers.push(await place.receive(out, { env, port, words }));
  const balancer = new Haproxy(ports);
  place.onClose(() => void balancer.stop());
  await balancer.start();
  const made = await place.run(["--invite", `camera@127.0.0.1:${balancer.port}`, "--key", key]);
  writeFileSync(place.path("invitation"), made.stdout);
  const trusted = ["--key", place.path("camera.key"), "--join", place.path("invitation")];
  const sender = place.start([
    "--send",
    `127.0.0.1:${balancer.port}`,
    "--json",
    "--max-rate",
    "8Mbit",
    ...trusted,
    input,
  ]);
  const storedOf = (): number[] => receivers.map((receiver) => receiver.count("stored"));
  const until = async (holds: () => boolean): Promise<void> => {
    for (let left = 3000; !holds() && !sender.ended; left -= 1) {
      if (left === 0) throw new Error(`stored: ${storedOf().join(", ")}`);
      await Bun.sleep(20);
    }
  };
  await until(() => Math.max(...storedOf()) >= 50);
  const first = storedOf().indexOf(Math.max(...storedOf()));
  const before = storedOf()[1 - first] ?? 0;
  await receivers[first]?.kill();
  await until(() => (storedOf()[1 - first] ?? 0) >= before + 50);
  receivers[first] = await place.receive(out, { env, port: ports[first] ?? 0, words });
  await balancer.kill();
  await balancer.start();
  expect(await sender.status()).toBe(0);
  expect(await sender.waitFor("source-ended")).toMatchObject({ totals: { frames } });
  expect(sender.count("totals-differ")).toBe(0);
  const verified = await place.run(["--verify", out], { env });
  expect(verified.stdout).toContain(`${frames} frames, 0 missing, 0 changed, 0 unknown, 0 gaps`);
  expect(verified.status).toBe(0);
  // One device, whichever receiver let it in.
  const devices = readdirSync(`${key}.devices`).filter((file) => file.endsWith(".device"));
  expect(devices).toHaveLength(1);
}

describe.if(hasHaproxy)("behind haproxy", () => {
  test.if(hasNatsServer)(
    "two receivers on a JetStream stream",
    async () => {
      await using place = await openPlace();
      const server = await new NatsServer().start();
      place.onClose(() => void server.stop());
      await moveBetween(place, { out: server.address("frames"), env: {} });
    },
    120_000,
  );

  test("two receivers on an S3 bucket", async () => {
    await using place = await openPlace();
    const double = await new S3Double().start();
    place.onClose(() => double.stop());
    const env = {
      AWS_ACCESS_KEY_ID: "KEY",
      AWS_SECRET_ACCESS_KEY: "the-secret",
      AWS_ENDPOINT_URL: double.endpoint,
    };
    await moveBetween(place, { out: "s3://frames/day", env });
  }, 120_000);
});
