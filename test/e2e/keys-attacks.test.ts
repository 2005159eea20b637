/**
 * What somebody without a key that is let in can try against the executable: lies about keys, a relay, crowds. Nothing
 * is stored, nothing is said, and a proven session beside it goes on.
 */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Socket } from "bun";
import { identityOf } from "../../src/security/certificate.ts";
import { parseKeyFile } from "../../src/security/key-file.ts";
import { type KeyPair, keyPairFromSeed } from "../../src/security/key-pair.ts";
import { tlsOptions } from "../../src/transport/tls.ts";
import {
  differences,
  filesBelow,
  freePort,
  openPlace,
  patienceMs,
  type Place,
  type Receiver,
  type Running,
} from "../support/processes.ts";
import { canMount, mountSmall } from "../support/small-disk.ts";
import { lieToServer, lyingServer } from "../support/tls-peer.ts";
import { encode, Fields, kinds, type Message, MessageReader } from "./wire-peer.ts";

const thief = keyPairFromSeed(crypto.getRandomValues(new Uint8Array(32)));
const derOf = (pem: string): Buffer => Buffer.from(pem.replaceAll(/-----[^-]+-----|\n/g, ""), "base64");
const certificateOf = (pair: KeyPair): Buffer => derOf(identityOf(pair).certificate);
const pairIn = (path: string): KeyPair => keyPairFromSeed(parseKeyFile(readFileSync(path, "utf8")).seed);

/** Frames that have been quiet for long. */
function makeFrames(place: Place, count: number, bytes = 100, name = "vis"): string {
  const folder = place.path(name);
  mkdirSync(folder, { recursive: true });
  for (let index = 0; index < count; index += 1) {
    const path = join(folder, `${index}.raw`);
    writeFileSync(path, `${index} ${"x".repeat(bytes)}`);
    utimesSync(path, 1_700_000_000 + index, 1_700_000_000 + index);
  }
  return `visible=${folder}`;
}

const words = (place: Place): string[] => ["--key", place.path("recorder.key")];

/** The file of an invitation. */
async function invite(place: Place, device: string, port: number): Promise<string> {
  const made = await place.run(["--invite", `${device}@127.0.0.1:${port}`, ...words(place)]);
  const path = place.path(`${device}.invitation`);
  writeFileSync(path, made.stdout);
  return path;
}

function send(place: Place, port: number, device: string, more: readonly string[]): Running {
  return place.start(["--send", `127.0.0.1:${port}`, "--key", place.path(`${device}.key`), "--json", ...more]);
}

/** A receiver with a device that is in, `rig-7`, whose key file is there. */
async function open(place: Place): Promise<Receiver> {
  const receiver = await place.receive(place.path("captures"), { words: words(place) });
  const invitation = await invite(place, "rig-7", receiver.port);
  expect(await send(place, receiver.port, "rig-7", ["--join", invitation, makeFrames(place, 1)]).status()).toBe(0);
  return receiver;
}

const helloOf = (device: string): Uint8Array =>
  encode(
    kinds.hello,
    new Fields()
      .u32(0)
      .bytes(crypto.getRandomValues(new Uint8Array(16)))
      .u64(0)
      .text(device)
      .text("x")
      .u16(0)
      .u8(0),
  );

/** What is stored, folders included. */
const stored = (place: Place): string[] => readdirSync(place.path("captures"), { recursive: true, encoding: "utf8" });

test("the certificate of a device, without its key, stores nothing and makes no folder", async () => {
  await using place = await openPlace();
  const receiver = await open(place);
  const before = stored(place);
  const certificate = certificateOf(pairIn(place.path("rig-7.key")));
  for (const signWith of [thief.privateKey, undefined]) {
    const meeting = await lieToServer(receiver.port, { certificate, signWith }, helloOf(""));
    expect(meeting.heard).toHaveLength(0);
    expect(meeting.shaken).toBe(true);
  }
  // The one who holds it is heard.
  const signWith = pairIn(place.path("rig-7.key")).privateKey;
  void lieToServer(receiver.port, { certificate, signWith }, helloOf(""));
  await receiver.until(() => receiver.count("session-started") === 2, "the honest one");
  expect(stored(place)).toEqual(before);
});

test("the certificate of the receiver, without its key, hears nothing of a sender", async () => {
  await using place = await openPlace();
  const receiver = await open(place);
  const certificate = certificateOf(pairIn(place.path("recorder.key")));
  const said: string[] = [];
  const liar = lyingServer({ certificate, signWith: thief.privateKey }, (bytes) => said.push(bytes.toString()));
  place.onClose(() => liar.stop());
  const sender = send(place, liar.port, "rig-7", ["--retry-for", "1s", makeFrames(place, 3)]);
  expect(await sender.status()).toBe(5);
  expect(said.length).toBeGreaterThan(0);
  expect(said.join("")).toBe("");
  expect(receiver.count("session-started")).toBe(1);
});

test("a relay that ends TLS with a key of its own relays nothing, and the sender names both keys", async () => {
  await using place = await openPlace();
  const receiver = await open(place);
  let relayed = 0;
  const relay = Bun.listen<Socket | undefined>({
    hostname: "127.0.0.1",
    port: 0,
    tls: tlsOptions(identityOf(thief)),
    socket: {
      handshake: (socket) => {
        void Bun.connect({
          hostname: "127.0.0.1",
          port: receiver.port,
          tls: tlsOptions(identityOf(thief)),
          socket: {
            data: (_, chunk) => void socket.write(chunk),
            error: () => undefined,
            close: () => void socket.end(),
          },
        }).then((up) => (socket.data = up));
      },
      data: (socket, chunk) => {
        relayed += chunk.length;
        socket.data?.write(chunk);
      },
      error: () => undefined,
    },
  });
  place.onClose(() => relay.stop(true));
  const sender = send(place, relay.port, "rig-7", ["--retry-for", "1s", makeFrames(place, 3)]);
  expect(await sender.status()).toBe(5);
  expect(sender.stderr).toContain(thief.fingerprint);
  expect(sender.stderr).toContain(pairIn(place.path("recorder.key")).fingerprint);
  expect(relayed).toBe(0);
  expect(filesBelow(place.path("captures"))).toHaveLength(1);
});

test("a refusal arrives, also behind megabytes that nobody reads", async () => {
  await using place = await openPlace();
  const receiver = await open(place);
  const refusals: Message[] = [];
  const over = Promise.withResolvers<void>();
  const much = new Uint8Array(4 << 20).fill(7);
  let at = 0;
  const push = (socket: Socket): void => {
    at += Math.max(0, socket.write(much, at, much.length - at));
  };
  const reader = new MessageReader();
  await Bun.connect({
    hostname: "127.0.0.1",
    port: receiver.port,
    tls: tlsOptions(identityOf(thief)),
    socket: {
      handshake: (socket) => {
        socket.write(helloOf("rig-7"));
        push(socket);
      },
      drain: push,
      data: (_, chunk) => void refusals.push(...reader.push(chunk)),
      close: () => over.resolve(),
      error: () => undefined,
    },
  });
  await over.promise;
  expect(refusals.map(({ kind }) => kind)).toEqual([kinds.refuse]);
  expect(refusals[0]?.u16()).toBe(6);
  await receiver.until(() => receiver.stderr.includes(thief.fingerprint), "the key is named");
});

test.skipIf(!canMount())(
  "a device whose frame finds no room holds itself, and the device beside it finishes",
  async () => {
    await using place = await openPlace();
    place.onClose(mountSmall(place.path("captures"), 12_000_000));
    const receiver = await place.receive(place.path("captures"), { words: [...words(place), "--min-free", "1M"] });
    const [first, second] = [await invite(place, "rig-7", receiver.port), await invite(place, "rig-8", receiver.port)];
    const large = send(place, receiver.port, "rig-7", ["--join", first, makeFrames(place, 1, 20_000_000, "large")]);
    await large.waitFor("held");
    const { device } = await receiver.waitFor("held");
    expect(device).toBe("rig-7");
    const small = send(place, receiver.port, "rig-8", ["--join", second, makeFrames(place, 20, 20_000, "small")]);
    expect(await small.status()).toBe(0);
    expect(small.count("held")).toBe(0);
    expect(differences(place.path("small"), place.path("captures", "rig-8", "visible"))).toEqual([]);
    expect(large.ended).toBe(false);
    large.signal("SIGTERM");
    expect(await large.status()).toBe(4);
    receiver.signal("SIGTERM");
    await receiver.status();
  },
);

/** Connections from one address that say nothing, kept until the other end has enough of them. How many opened. */
async function crowd(place: Place, port: number, localAddress: string, count: number): Promise<number> {
  let opened = 0;
  const socket = {
    open: (stranger: Socket) => {
      opened += 1;
      place.onClose(() => stranger.terminate());
    },
    data: () => undefined,
    error: () => undefined,
    connectError: () => undefined,
  };
  for (let at = 0; at < count; at += 1) {
    // Bun knows the option, and its types do not.
    const options = { hostname: "127.0.0.1", port, localAddress, socket };
    await Bun.connect(options).catch(() => undefined);
  }
  return opened;
}

/** Handshakes with ever new keys, each of which says HELLO, until `stop`. */
function helloFlood(port: number): { readonly stop: () => Promise<number> } {
  const state = { stopped: false };
  let refused = 0;
  const one = async (): Promise<void> => {
    while (!state.stopped) {
      const tls = tlsOptions(identityOf(keyPairFromSeed(crypto.getRandomValues(new Uint8Array(32)))));
      const over = Promise.withResolvers<void>();
      const socket = {
        handshake: (peer: Socket) => void peer.write(helloOf("rig-7")),
        data: () => void (refused += 1),
        close: () => over.resolve(),
        error: () => undefined,
        connectError: () => over.resolve(),
      };
      await Bun.connect({ hostname: "127.0.0.1", port, tls, socket }).catch(() => over.resolve());
      await over.promise;
    }
  };
  const all = Promise.all(Array.from({ length: 8 }, one));
  return {
    stop: async () => {
      state.stopped = true;
      await all;
      return refused;
    },
  };
}

// Elsewhere a machine has one loopback address.
test.skipIf(process.platform !== "linux")(
  "with 1,024 descriptors, 5,000 silent strangers and a flood of HELLOs, who is in goes on and a new device joins",
  async () => {
    await using place = await openPlace();
    const port = freePort();
    const receive = ["--receive", `127.0.0.1:${port}`, "--out", place.path("captures"), "--json", ...words(place)];
    const few = ["-c", 'ulimit -n 1024 && exec "$0" "$@"', place.executable];
    const shell = place.startOther("/bin/sh", [...few, ...receive]);
    await shell.waitFor("listening");
    const [first, second] = [await invite(place, "rig-7", port), await invite(place, "rig-8", port)];
    const frames = makeFrames(place, 200, 20_000);
    const slow = send(place, port, "rig-7", ["--join", first, "--max-rate", "3Mbit", frames]);
    await slow.waitFor("connected");

    const flood = helloFlood(port);
    const crowds = Array.from({ length: 8 }, (_, at) => crowd(place, port, `127.0.0.${at + 2}`, 625));
    const newcomer = send(place, port, "rig-8", ["--join", second, makeFrames(place, 3, 100, "new")]);
    expect(await newcomer.status()).toBe(0);
    const opened = (await Promise.all(crowds)).reduce((sum, each) => sum + each, 0);
    expect(opened).toBeGreaterThan(1_000);
    expect(await flood.stop()).toBeGreaterThan(0);

    expect(await slow.status()).toBe(0);
    expect([slow.count("connected"), slow.count("disconnected")]).toEqual([1, 0]);
    expect(differences(place.path("vis"), place.path("captures", "rig-7", "visible"))).toEqual([]);
    // Thousands came, and the log is not theirs.
    expect(shell.count("connection-refused")).toBeLessThan(30);
    expect(shell.count("connection-lost")).toBe(0);
  },
  3 * patienceMs,
);
