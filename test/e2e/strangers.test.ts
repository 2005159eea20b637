/**
 * Whoever else finds the port: browsers, scanners, silence, drips, a crowd. Each is closed within the stated limits and
 * gets one line in the log, and the transfer beside them does not notice.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { Socket } from "bun";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { differences, openPlace, type Receiver } from "../support/processes.ts";
import { encode, Fields } from "./wire-peer.ts";

/** PROTOCOL.md section 6. */
const handshakeMs = 5_000;
/** What a busy machine may add. */
const slackMs = 3_000;

/** A connection that says something and then waits until it is closed. */
class Stranger {
  readonly #startedMs = performance.now();
  readonly #closed = Promise.withResolvers<number>();
  #socket: Socket<undefined> | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  receivedBytes = 0;
  /** `127.0.0.1:PORT`, as the receiver's log names it. */
  address = "";

  static async connect(port: number): Promise<Stranger> {
    const stranger = new Stranger();
    stranger.#socket = await Bun.connect<undefined>({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, chunk) => {
          stranger.receivedBytes += chunk.length;
        },
        close: () => {
          clearInterval(stranger.#timer);
          stranger.#closed.resolve(performance.now() - stranger.#startedMs);
        },
        error: () => undefined,
      },
    });
    stranger.address = `127.0.0.1:${stranger.#socket.localPort}`;
    return stranger;
  }

  say(bytes: Uint8Array | string): this {
    this.#socket?.write(bytes);
    return this;
  }

  /** Byte by byte, a second apart. */
  drip(text: string): this {
    let at = 0;
    this.#timer = setInterval(() => this.#socket?.write(text.charAt(at++ % text.length)), 1_000);
    return this;
  }

  leave(): void {
    this.#socket?.terminate();
  }

  /** How long the connection lasted, in milliseconds. */
  get closedMs(): Promise<number> {
    return this.#closed.promise;
  }
}

/** The lines about one address. */
function linesAbout(receiver: Receiver, address: string): number {
  return receiver.all("connection-refused").filter(({ peer }) => peer === address).length;
}

const tlsHello = Buffer.from("16030100f8010000f40303", "hex");
const header = (headBytes: number, payloadBytes: number): Uint8Array =>
  new Fields().u8(0xf5).u8(2).u8(1).u8(0).u32(headBytes).u32(payloadBytes).encoded;

/** What a stranger says, and within what time it has to be gone. */
const strangers: Readonly<Record<string, { withinMs: number; act: (stranger: Stranger) => void }>> = {
  "an HTTP request": {
    withinMs: 1_000,
    act: (stranger) => stranger.say("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
  },
  "a TLS hello": { withinMs: 1_000, act: (stranger) => stranger.say(tlsHello) },
  "an SSH client": { withinMs: handshakeMs, act: (stranger) => stranger.say("SSH-2.0-OpenSSH_9.9\r\n") },
  "random bytes": {
    withinMs: 1_000,
    // Not ours by accident, and not text.
    act: (stranger) => stranger.say(crypto.getRandomValues(new Uint8Array(4_096)).fill(0x80, 0, 4)),
  },
  zeros: { withinMs: 1_000, act: (stranger) => stranger.say(new Uint8Array(100_000)) },
  "a head of 4 GiB": { withinMs: 1_000, act: (stranger) => stranger.say(header(0xffff_ffff, 0)) },
  "a payload of 4 GiB": { withinMs: 1_000, act: (stranger) => stranger.say(header(50, 0xffff_ffff)) },
  "another version": {
    withinMs: 1_000,
    act: (stranger) => stranger.say(encode(1, new Fields().u8(9).u8(9), { version: 9 })),
  },
  "a message before HELLO": { withinMs: 1_000, act: (stranger) => stranger.say(encode(18, new Fields().u8(0))) },
  silence: { withinMs: handshakeMs, act: () => undefined },
  "half a header": { withinMs: handshakeMs, act: (stranger) => stranger.say(header(50, 0).subarray(0, 7)) },
  "one byte a second of our protocol": {
    withinMs: handshakeMs,
    act: (stranger) => stranger.drip(String.fromCharCode(0x20)),
  },
  "one byte a second of text": { withinMs: handshakeMs, act: (stranger) => stranger.drip("visible") },
};

test("strangers are closed in time, one line each, beside a transfer that does not notice", async () => {
  await using place = await openPlace();
  const [dir, out] = [place.path("vis"), place.path("captures")];
  const { bytes } = await makeFrameSet(dir, { kind: "jpeg", count: 250, bytes: 40_000 });
  const receiver = await place.receive(out);
  const proxy = place.proxy({ targetPort: receiver.port, bytesPerSecond: bytes / 5 });
  const sender = place.send(proxy.port, [dir]);
  await sender.waitFor("connected");

  const visits = Object.entries(strangers).map(async ([what, { withinMs, act }]) => {
    const stranger = await Stranger.connect(receiver.port);
    act(stranger);
    return { what, withinMs, stranger, closedMs: await stranger.closedMs };
  });
  const crowd = Array.from({ length: 50 }, async () => {
    const stranger = await Stranger.connect(receiver.port);
    return stranger.say("OPTIONS * HTTP/1.1\r\n\r\n").closedMs;
  });
  for (let scan = 0; scan < 20; scan += 1) (await Stranger.connect(receiver.port)).leave();

  for (const { what, withinMs, stranger, closedMs } of await Promise.all(visits)) {
    expect(closedMs, what).toBeLessThan(withinMs + slackMs);
    expect(stranger.receivedBytes, what).toBeLessThan(1_000);
    expect(linesAbout(receiver, stranger.address), what).toBe(1);
  }
  for (const closedMs of await Promise.all(crowd)) expect(closedMs).toBeLessThan(1_000 + slackMs);

  expect(await sender.status()).toBe(0);
  expect(sender.count("connected")).toBe(1);
  expect(sender.count("disconnected")).toBe(0);
  expect(sender.count("skipped")).toBe(0);
  expect(differences(dir, join(out, "camera", "vis"))).toEqual([]);
  expect(receiver.count("connection-lost")).toBe(0);
  expect(receiver.count("connection-refused")).toBeGreaterThanOrEqual(visits.length + crowd.length);

  const again = place.send(receiver.port, [dir]);
  expect(await again.status()).toBe(0);
  expect(again.all("summary")).toMatchObject([{ duplicates: 250 }]);
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
}, 120_000);

test("a port scanner, who comes and goes without a word, gets a line each time", async () => {
  await using place = await openPlace();
  const receiver = await place.receive(place.path("captures"));
  const addresses: string[] = [];
  for (let scan = 0; scan < 5; scan += 1) {
    const stranger = await Stranger.connect(receiver.port);
    addresses.push(stranger.address);
    await Bun.sleep(50);
    stranger.leave();
    await stranger.closedMs;
  }
  // One that is gone before it was accepted has no address any more.
  (await Stranger.connect(receiver.port)).leave();
  const last = await Stranger.connect(receiver.port);
  last.say("GET / HTTP/1.1\r\n\r\n");
  await receiver.waitFor("connection-refused", ({ peer }) => peer === last.address);
  const peers = receiver.all("connection-refused").map(({ peer }) => peer);
  expect(addresses.filter((address) => !peers.includes(address))).toEqual([]);
  expect(peers).toHaveLength(addresses.length + 2);
}, 60_000);

test("a crowd of silent connections does not keep a sender out, and --max-connections is kept", async () => {
  await using place = await openPlace();
  const dir = place.path("vis");
  await makeFrameSet(dir, { kind: "jpeg", count: 5, bytes: 2_000 });
  const receiver = await place.receive(place.path("captures"), { words: ["--max-connections", "3", "--once"] });
  const silent = await Promise.all(Array.from({ length: 3 }, () => Stranger.connect(receiver.port)));
  const refused = await Stranger.connect(receiver.port);
  expect(await refused.closedMs).toBeLessThan(2_000);
  // It keeps trying, and gets in when the silent ones are closed.
  const sender = place.send(receiver.port, [dir]);
  const { reason } = await sender.waitFor("disconnected");
  expect(reason).toContain("--max-connections");
  expect(await sender.status()).toBe(0);
  expect(await receiver.status()).toBe(0);
  for (const stranger of silent) expect(await stranger.closedMs).toBeLessThan(handshakeMs + slackMs);
}, 60_000);
