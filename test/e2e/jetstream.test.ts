/** Frames in a stream of a real NATS server, as users store them: the executable, `kill -9` of receiver and server. */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createAccount, createOperator, createUser, type KeyPair } from "@nats-io/nkeys";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { filesBelow, openPlace, type Place, type Receiver } from "../support/processes.ts";
import { hasNatsServer, NatsServer } from "../support/nats-server.ts";

async function startServer(place: Place, configuration?: string): Promise<NatsServer> {
  const server = await new NatsServer().start(configuration);
  place.onClose(() => void server.stop());
  return server;
}

/** What a user sees of a stream that holds exactly these frames. */
async function expectClean(place: Place, out: string, frames: number): Promise<void> {
  const verified = await place.run(["--verify", out]);
  expect(verified.stdout.trimEnd().split("\n").at(-1)).toBe(
    `${out}: ${frames} frames, 0 missing, 0 changed, 0 unknown, 0 gaps`,
  );
  expect(verified.status).toBe(0);
}

describe.if(hasNatsServer)("JetStream, the executable", () => {
  test("frames are stored once, whoever sends them again, and removed at the sender when they are", async () => {
    await using place = await openPlace();
    const server = await startServer(place);
    const out = server.address("frames");
    const dir = place.path("vis");
    await makeFrameSet(dir, { kind: "jpeg", count: 60, bytes: 20_000 });
    const receiver = await place.receive(out);
    expect(await receiver.waitFor("listening")).toMatchObject({ ackMeans: expect.stringContaining("sync_interval") });
    expect(await place.send(receiver.port, [`vis=${dir}`]).status()).toBe(0);
    await expectClean(place, out, 60);
    const again = place.send(receiver.port, [`vis=${dir}`]);
    expect(await again.status()).toBe(0);
    expect(await again.waitFor("source-ended")).toMatchObject({ totals: { stored: 0, duplicates: 60 } });
    const removing = ["--delete-sent", "--unchanged-for", "0s"];
    expect(await place.send(receiver.port, [`vis=${dir}`], removing).status()).toBe(0);
    expect(filesBelow(dir)).toEqual([]);
    await expectClean(place, out, 60);
  }, 120_000);

  test("the receiver and then the server are killed in the middle: everything is stored, once", async () => {
    await using place = await openPlace();
    const server = await startServer(place);
    const out = server.address("frames");
    const dir = place.path("vis");
    await makeFrameSet(dir, { kind: "jpeg", count: 2000, bytes: 20_000 });
    let receiver = await place.receive(out, { words: ["--verbose"] });
    const { port } = receiver;
    const sender = place.send(port, [`vis=${dir}`]);
    await receiver.until(() => receiver.count("stored") > 100, "a hundred frames");
    await receiver.kill();
    receiver = await place.receive(out, { port, words: ["--verbose"] });
    await receiver.until(() => receiver.count("stored") > 100, "another hundred");
    await server.kill();
    await Bun.sleep(1_000);
    await server.start();
    expect(await sender.status()).toBe(0);
    await expectClean(place, out, 2000);
  }, 240_000);

  test("two receivers share a stream; a sender moves from one to the other when its receiver is killed", async () => {
    await using place = await openPlace();
    const server = await startServer(place);
    const out = server.address("frames");
    const [one, other] = [place.path("one"), place.path("other")];
    await makeFrameSet(one, { kind: "jpeg", count: 1200, bytes: 20_000 });
    await makeFrameSet(other, { kind: "jpeg", count: 1200, bytes: 20_000 });
    const receivers: Receiver[] = [];
    for (let index = 0; index < 2; index += 1) receivers.push(await place.receive(out, { words: ["--verbose"] }));
    const [first, second] = receivers as [Receiver, Receiver];
    const balancer = place.proxy({ targetPort: first.port });
    const moving = place.send(balancer.port, [`one=${one}`]);
    const staying = place.send(second.port, [`other=${other}`]);
    await first.until(() => first.count("stored") > 100, "a hundred frames");
    balancer.targetPort = second.port;
    await first.kill();
    expect(await moving.status()).toBe(0);
    expect(await staying.status()).toBe(0);
    await expectClean(place, out, 2400);
  }, 240_000);

  test("a frame larger than the server takes is named with what to do, and the rest is stored", async () => {
    await using place = await openPlace();
    const server = await startServer(place, "max_payload: 65536");
    const out = server.address("frames");
    const dir = place.path("vis");
    await makeFrameSet(dir, { kind: "jpeg", count: 10, bytes: 20_000 });
    await Bun.write(`${dir}/large.raw`, new Uint8Array(100_000));
    const receiver = await place.receive(out);
    const sender = place.send(receiver.port, [`vis=${dir}`]);
    expect(await sender.status()).toBe(4);
    expect(sender.stderr).toContain("max_payload 65536");
    const verified = await place.run(["--verify", out]);
    expect(verified.status).toBe(4);
    expect(verified.stdout).toContain("gap camera/vis/large.raw");
    expect(verified.stdout).toContain("10 frames");
  }, 60_000);

  test("a server that is away at the start is waited for", async () => {
    await using place = await openPlace();
    const server = new NatsServer();
    place.onClose(() => void server.stop());
    const out = server.address("frames");
    const dir = place.path("vis");
    await makeFrameSet(dir, { kind: "jpeg", count: 10, bytes: 5_000 });
    const receiver = await place.receive(out);
    const sender = place.send(receiver.port, [`vis=${dir}`]);
    await sender.waitFor("held");
    await server.start();
    expect(await sender.status()).toBe(0);
    await expectClean(place, out, 10);
  }, 120_000);

  test("a user that is not let in is told what to look at, and nothing counts as stored", async () => {
    await using place = await openPlace();
    const server = await startServer(place, 'authorization { user: "somebody", password: "else" }');
    const dir = place.path("vis");
    await makeFrameSet(dir, { kind: "jpeg", count: 3, bytes: 5_000 });
    const receiver = await place.receive(server.address("frames"));
    const sender = place.send(receiver.port, [`vis=${dir}`], ["--retry-for", "2s"]);
    expect(await sender.status()).toBe(5);
    expect(receiver.all("held")[0]).toMatchObject({ hints: [expect.stringContaining("NATS_CREDS")] });
  }, 60_000);

  test("a credentials file lets a user in, and no word of it is ever said", async () => {
    await using place = await openPlace();
    const [operator, system, account, user] = [createOperator(), createAccount(), createAccount(), createUser()];
    const unlimited = {
      subs: -1,
      data: -1,
      payload: -1,
      imports: -1,
      exports: -1,
      wildcards: true,
      conn: -1,
      leaf: -1,
    };
    const storage = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
    const operatorJwt = jwt(operator, operator, { type: "operator", version: 2 });
    const accountJwt = jwt(operator, account, { type: "account", version: 2, limits: { ...unlimited, ...storage } });
    const userJwt = jwt(account, user, { type: "user", version: 2, subs: -1, data: -1, payload: -1 });
    const systemJwt = jwt(operator, system, { type: "account", version: 2, limits: unlimited });
    const preload = `${account.getPublicKey()}: "${accountJwt}", ${system.getPublicKey()}: "${systemJwt}"`;
    const lines = [
      `operator: "${operatorJwt}"`,
      `system_account: ${system.getPublicKey()}`,
      `resolver: MEMORY`,
      `resolver_preload: { ${preload} }`,
    ];
    const server = await startServer(place, lines.join("\n"));
    const seed = new TextDecoder().decode(user.getSeed());
    const file = place.path("user.creds");
    const part = (what: string, text: string): string =>
      `-----BEGIN ${what}-----\n${text}\n------END ${what}------\n\n`;
    writeFileSync(file, part("NATS USER JWT", userJwt) + part("USER NKEY SEED", seed));
    const env = { NATS_CREDS: file };
    const dir = place.path("vis");
    await makeFrameSet(dir, { kind: "jpeg", count: 10, bytes: 5_000 });
    const out = server.address("frames");
    const receiver = await place.receive(out, { env });
    const sender = place.send(receiver.port, [`vis=${dir}`]);
    expect(await sender.status()).toBe(0);
    const verified = await place.run(["--verify", out], { env });
    expect(verified.status).toBe(0);
    const refused = await place.run(["--verify", out]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("NATS_CREDS");
    for (const said of [receiver.stderr, verified.stderr, refused.stderr]) {
      expect(said).not.toContain(seed);
      expect(said).not.toContain(userJwt);
    }
  }, 60_000);
});

/** A token of NATS: what `issuer` says of `subject`. */
function jwt(issuer: KeyPair, subject: KeyPair, claims: object): string {
  const coded = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const [iss, sub] = [issuer.getPublicKey(), subject.getPublicKey()];
  const body = { jti: crypto.randomUUID(), iat: Math.floor(Date.now() / 1000), iss, sub, name: "test", nats: claims };
  const text = `${coded({ typ: "JWT", alg: "ed25519-nkey" })}.${coded(body)}`;
  return `${text}.${Buffer.from(issuer.sign(Buffer.from(text))).toString("base64url")}`;
}
