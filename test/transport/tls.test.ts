/**
 * Real handshakes: by Bun, by openssl, and by a TLS of our own that signs with keys that are not its certificate's. Of
 * whoever is not let in nobody hears, and whoever is not who was wanted is told nothing.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Link, SenderTrust } from "../../src/ports.ts";
import { identityOf } from "../../src/security/certificate.ts";
import { keyPairFromSeed } from "../../src/security/key-pair.ts";
import { dialer } from "../../src/transport/connect.ts";
import { listen } from "../../src/transport/listen.ts";
import { Random } from "../support/random.ts";
import { lieToServer, lyingServer, type Mask } from "../support/tls-peer.ts";

const pairOf = (number: number) => keyPairFromSeed(new Uint8Array(32).fill(number));
const receiver = pairOf(1);
const device = pairOf(2);
const thief = pairOf(3);
const derOf = (pem: string): Buffer => Buffer.from(pem.replaceAll(/-----[^-]+-----|\n/g, ""), "base64");
const certificateOf = (pair: typeof device): Buffer => derOf(identityOf(pair).certificate);

/** A door, and everything that anybody heard or was told there. */
function open(options: { strangersMax?: number; perAddressMax?: number } = {}) {
  const heard: string[] = [];
  const strangers: string[] = [];
  const links: Link[] = [];
  const changes: (() => void)[] = [];
  const note = (to: string[], what: string): void => {
    to.push(what);
    for (const change of changes.splice(0)) change();
  };
  const listener = listen(
    {
      hostname: "127.0.0.1",
      port: 0,
      accept: () => ({
        opened: (link) => {
          links.push(link);
          note(heard, `opened ${link.proven?.fingerprint}`);
        },
        data: (chunk) => note(heard, `data ${Buffer.from(chunk).toString()}`),
        drain: () => undefined,
        closed: () => note(heard, "closed"),
      }),
    },
    {
      identity: identityOf(receiver),
      strangersMax: options.strangersMax ?? 10,
      perAddressMax: options.perAddressMax ?? 10,
      onStranger: (_peer, reason) => note(strangers, reason),
    },
  );
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise<void>((resolve) => changes.push(resolve));
  };
  return {
    port: Number(listener.address.split(":")[1]),
    heard,
    strangers,
    links,
    until,
    [Symbol.dispose]: () => {
      for (const link of links) link.close();
      listener.stop();
    },
  };
}

const words = Buffer.from("first words");

describe("a receiver", () => {
  test("hears a peer that holds the key it shows", async () => {
    using door = open();
    const meeting = lieToServer(door.port, { certificate: certificateOf(device), signWith: device.privateKey }, words);
    await door.until(() => door.heard.length >= 2);
    expect(door.heard).toEqual([`opened ${device.fingerprint}`, "data first words"]);
    door.links[0]?.close();
    await meeting;
  });

  const liars: Readonly<Record<string, Mask>> = {
    "a victim's certificate, signed with another key": {
      certificate: certificateOf(device),
      signWith: thief.privateKey,
    },
    "a victim's certificate, and no signature": { certificate: certificateOf(device), signWith: undefined },
    "no certificate": { certificate: undefined, signWith: undefined },
    "another protocol in ALPN": { certificate: certificateOf(device), signWith: device.privateKey, alpn: "h2" },
    "a certificate that is none": { certificate: words, signWith: device.privateKey },
  };
  for (const [what, mask] of Object.entries(liars)) {
    test(`lets nobody in with ${what}, and says not a word`, async () => {
      using door = open();
      const { heard } = await lieToServer(door.port, mask, words);
      await door.until(() => door.strangers.length > 0);
      expect(heard).toHaveLength(0);
      expect(door.heard).toEqual([]);
      expect(door.strangers).toHaveLength(1);
    });
  }

  test("says nothing of who had gone before anybody looked", async () => {
    using door = open();
    const script = `await Bun.connect({ hostname: "127.0.0.1", port: ${door.port},
      socket: { open: (socket) => socket.terminate(), data() {} } });`;
    // This process does not get to its connections until the other one has left.
    expect(Bun.spawnSync([process.execPath, "-e", script]).exitCode).toBe(0);
    const meeting = lieToServer(door.port, { certificate: certificateOf(device), signWith: device.privateKey }, words);
    await door.until(() => door.heard.length >= 2);
    expect([door.heard[0], ...door.strangers]).toEqual([`opened ${device.fingerprint}`]);
    door.links[0]?.close();
    await meeting;
  });

  test("survives handshakes that are damaged by chance, and what follows them", async () => {
    using door = open({ strangersMax: 1000, perAddressMax: 0 });
    const seed = Math.trunc(Math.random() * 1e9);
    const random = new Random(seed);
    const rounds = 200;
    const mask = { certificate: certificateOf(device), signWith: device.privateKey };
    const meetings = Array.from({ length: rounds }, () => {
      // Of some 700 bytes of a handshake, and then of what is said.
      let left = random.int(900);
      const bit = 1 << random.int(8);
      return lieToServer(door.port, mask, words, (bytes) => {
        if (left >= 0 && left < bytes.length) bytes[left] = (bytes[left] ?? 0) ^ bit;
        left -= bytes.length;
        return bytes;
      });
    });
    // A length that is damaged makes the other end wait for more, as long as a handshake may take.
    const closing = setInterval(() => {
      for (const link of door.links.splice(0)) link.close();
    }, 100);
    await Promise.all(meetings);
    clearInterval(closing);
    const opened = door.heard.filter((line) => line.startsWith("opened"));
    expect([seed, new Set(opened).size]).toEqual([seed, 1]);
    expect(opened[0]).toBe(`opened ${device.fingerprint}`);
    expect(door.heard.filter((line) => line.startsWith("data") && line !== "data first words")).toEqual([]);
    expect(door.strangers.length).toBeGreaterThan(rounds / 3);
    expect(door.strangers.length).toBeLessThan(rounds);
  });

  test("sends away whoever is one too many, and forgets those who left", async () => {
    using door = open({ strangersMax: 2, perAddressMax: 2 });
    const connect = () =>
      Bun.connect({
        hostname: "127.0.0.1",
        port: door.port,
        socket: { data: () => undefined, error: () => undefined },
      });
    const held = [await connect(), await connect()];
    await connect();
    await door.until(() => door.strangers.length === 1);
    expect(door.strangers[0]).toContain("too many");
    for (const socket of held) socket.terminate();
    await door.until(() => door.strangers.length === 3);
    void lieToServer(door.port, { certificate: certificateOf(device), signWith: device.privateKey }, words);
    await door.until(() => door.heard.length > 0);
  });
});

describe("a sender", () => {
  const servers: Readonly<Record<string, { mask: Mask; says: RegExp }>> = {
    "a receiver's certificate, signed with another key": {
      mask: { certificate: certificateOf(receiver), signWith: thief.privateKey },
      says: /no handshake of TLS/,
    },
    "another key": {
      mask: { certificate: certificateOf(thief), signWith: thief.privateKey },
      says: new RegExp(`${thief.fingerprint}, expected ${receiver.fingerprint}`),
    },
    "a certificate that is none": {
      mask: { certificate: words, signWith: thief.privateKey },
      says: /no handshake of TLS/,
    },
  };
  const trust: SenderTrust = {
    identity: identityOf(device),
    pins: [receiver.fingerprint],
    joinProof: () => new Uint8Array(0),
    pinned: () => undefined,
  };
  const meet = async (mask: Mask): Promise<{ said: string; showed: boolean; opened: boolean; reason: string }> => {
    const met = Promise.withResolvers<{ said: string; showed: boolean }>();
    const closed = Promise.withResolvers<string>();
    const server = lyingServer(mask, (bytes, showed) => met.resolve({ said: bytes.toString(), showed }));
    let opened = false;
    dialer(
      "127.0.0.1",
      server.port,
      trust,
    )({
      opened: (link) => {
        opened = true;
        link.write(words);
        link.shutdown();
      },
      data: () => undefined,
      drain: () => undefined,
      closed: closed.resolve,
    });
    const result = { ...(await met.promise), reason: await closed.promise, opened };
    server.stop();
    return result;
  };

  test("talks to a receiver that holds the key that is wanted", async () => {
    const mask = { certificate: certificateOf(receiver), signWith: receiver.privateKey };
    expect(await meet(mask)).toMatchObject({ said: "first words", showed: true, opened: true });
  });

  for (const [what, { mask, says }] of Object.entries(servers)) {
    test(`tells nothing to a server with ${what}, not even who it is`, async () => {
      const { reason, ...met } = await meet(mask);
      expect(met).toEqual({ said: "", showed: false, opened: false });
      expect(reason).toMatch(says);
    });
  }

  test("names no host in the clear", async () => {
    const hello = Promise.withResolvers<Buffer>();
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data: (socket, chunk) => {
          hello.resolve(chunk);
          socket.terminate();
        },
      },
    });
    const closed = Promise.withResolvers<string>();
    const handlers = { opened: () => undefined, data: () => undefined, drain: () => undefined };
    dialer("localhost", server.port, trust)({ ...handlers, closed: closed.resolve });
    expect((await hello.promise).includes("localhost")).toBe(false);
    expect(await closed.promise).toMatch(/^no handshake of TLS with keys|^it went away during the handshake/);
    server.stop(true);
  });
});

describe.skipIf(Bun.which("openssl") === null)("openssl", () => {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-tls-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const path = (name: string): string => join(folder, name);
  const run = (...args: string[]) =>
    Bun.spawn(["openssl", ...args], { stdio: [new Blob(["first words"]), "pipe", "pipe"] });
  const connect = async (port: number, ...args: string[]): Promise<string> => {
    const alpn = ["-alpn", "framepipe/1"];
    const process = run("s_client", "-connect", `127.0.0.1:${port}`, ...alpn, "-quiet", "-msg", ...args);
    const [out, errors] = await Promise.all([new Response(process.stdout).text(), new Response(process.stderr).text()]);
    await process.exited;
    return out + errors;
  };
  const pem = (der: Buffer): string =>
    `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replaceAll(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
  /** The device's key, and a certificate of it. */
  const shown = async (der: Buffer): Promise<string[]> => {
    const [key, file] = [path("device.key"), path("device.crt")];
    await Bun.write(key, identityOf(device).privateKey);
    await Bun.write(file, pem(der));
    return ["-key", key, "-cert", file];
  };

  test("with a certificate whose dates are past is let in: its key counts", async () => {
    using door = open();
    const der = certificateOf(device);
    der.write("20010102030405Z", der.indexOf("99991231235959Z"));
    const over = connect(door.port, ...(await shown(der)));
    await door.until(() => door.heard.length > 0);
    expect(door.heard[0]).toBe(`opened ${device.fingerprint}`);
    for (const link of door.links) link.close();
    await over;
  });

  test("is given no ticket, and an old one leads nowhere", async () => {
    using door = open();
    const own = await shown(certificateOf(device));
    const session = path("session");
    const first = connect(door.port, ...own, "-sess_out", session);
    await door.until(() => door.heard.some((line) => line.startsWith("data")));
    // A ticket would come with the first words.
    for (const link of door.links) {
      link.write(words);
      link.shutdown();
    }
    const said = await first;
    expect(said).toContain("first words");
    expect(said).not.toContain("NewSessionTicket");
    // A ticket of a server that gives them, with another key: what was copied proves nothing here.
    const lavish = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      tls: { key: identityOf(receiver).privateKey, cert: identityOf(receiver).certificate },
      socket: { data: (socket) => void socket.end("x"), error: () => undefined },
    });
    expect(await connect(lavish.port, "-sess_out", session)).toContain("NewSessionTicket");
    lavish.stop(true);
    await connect(door.port, "-sess_in", session);
    await door.until(() => door.strangers.length > 0);
    expect(door.heard.filter((line) => line.startsWith("opened"))).toHaveLength(1);
  });

  for (const [what, args, says] of [
    ["no certificate", [], /showed no key/],
    ["TLS 1.2", ["-tls1_2"], /no handshake of TLS/],
  ] as const) {
    test(`with ${what} is not heard of`, async () => {
      using door = open();
      await connect(door.port, ...args);
      await door.until(() => door.strangers.length > 0);
      expect(door.heard).toEqual([]);
      expect(door.strangers[0]).toMatch(says);
    });
  }

  test("with a key of another kind is not heard of", async () => {
    using door = open();
    const key = path("p256.key");
    await run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key).exited;
    await run("req", "-x509", "-new", "-key", key, "-subj", "/CN=x", "-days", "1", "-out", `${key}.crt`).exited;
    await connect(door.port, "-key", key, "-cert", `${key}.crt`);
    await door.until(() => door.strangers.length > 0);
    expect(door.heard).toEqual([]);
    expect(door.strangers[0]).toContain("no key that could prove anything");
  });
});
