/** What a TLS connection must show, one thing wrong at a time; what becomes of one, whichever way it ends. */
import { describe, expect, test } from "bun:test";
import { handshakeMs } from "../../src/limits.ts";
import type { Link, LinkHandlers } from "../../src/ports.ts";
import { identityOf } from "../../src/security/certificate.ts";
import { keyPairFromSeed } from "../../src/security/key-pair.ts";
import { alpn, authenticate, type Looking } from "../../src/transport/handshake.ts";
import { SecureConnection } from "../../src/transport/secure-connection.ts";
import { SimClock } from "../simulation/sim-clock.ts";

const pair = keyPairFromSeed(new Uint8Array(32).fill(1));
const other = keyPairFromSeed(new Uint8Array(32).fill(2)).fingerprint;
const raw = Buffer.from(
  identityOf(pair)
    .certificate.replaceAll(/-----[^-]+-----/g, "")
    .replaceAll("\n", ""),
  "base64",
);
const exporter = Buffer.alloc(32, 7);
/** The certificate with a public key of small order in place of its own. */
const smallOrder = Buffer.from(raw);
Buffer.from(`01${"00".repeat(31)}`, "hex").copy(smallOrder, raw.indexOf(pair.spki.subarray(12)));

/** A socket of Bun, as far as it is looked at. All is well unless the test says otherwise. */
class FakeSocket {
  alpnProtocol: string | false | null = alpn;
  version = "TLSv1.3";
  reused = false;
  completed = true;
  certificate: Uint8Array | undefined = raw;
  remoteAddress = "10.0.0.1";
  remotePort = 4000;
  terminated = 0;
  written = 0;
  asked: unknown[] = [];

  getTLSVersion(): string {
    return this.version;
  }
  isSessionReused(): boolean {
    return this.reused;
  }
  exportKeyingMaterial(...words: unknown[]): Buffer {
    this.asked = words;
    if (!this.completed) throw new Error("HANDSHAKE_NOT_COMPLETE");
    return exporter;
  }
  getPeerX509Certificate(): { raw: Uint8Array } | undefined {
    return this.certificate === undefined ? undefined : { raw: this.certificate };
  }
  write(): number {
    this.written++;
    return 0;
  }
  pause(): void {}
  resume(): void {}
  shutdown(): void {}
  terminate(): void {
    this.terminated++;
  }
}

const sender = (...pins: string[]): Looking => ({ as: "sender", pins });
const receiver: Looking = { as: "receiver" };

const faults: Readonly<Record<string, { change: (socket: FakeSocket) => void; says: RegExp }>> = {
  "a peer that does not hold its certificate's key": {
    change: (socket) => {
      socket.completed = false;
    },
    says: /no handshake of TLS/,
  },
  "TLS 1.2": {
    change: (socket) => {
      socket.version = "TLSv1.2";
    },
    says: /TLSv1\.2, expected TLSv1\.3/,
  },
  "no ALPN": {
    change: (socket) => {
      socket.alpnProtocol = false;
    },
    says: /ALPN/,
  },
  "another ALPN": {
    change: (socket) => {
      socket.alpnProtocol = "h2";
    },
    says: /ALPN/,
  },
  "a session that was resumed": {
    change: (socket) => {
      socket.reused = true;
    },
    says: /resumed/,
  },
  "no certificate": {
    change: (socket) => {
      socket.certificate = undefined;
    },
    says: /showed no key/,
  },
  "a certificate that is none": {
    change: (socket) => {
      socket.certificate = raw.subarray(0, 100);
    },
    says: /no key that could prove/,
  },
  "a key that anybody can sign with": {
    change: (socket) => {
      socket.certificate = smallOrder;
    },
    says: /no key that could prove/,
  },
};

describe("authenticate", () => {
  test("the key, and what binds a proof to this connection", () => {
    const socket = new FakeSocket();
    const proven = { fingerprint: pair.fingerprint, exporter: new Uint8Array(exporter) };
    expect(authenticate(socket, true, null, receiver)).toEqual(proven);
    expect(socket.asked).toEqual([32, "EXPORTER-framepipe-join-1", Buffer.alloc(0)]);
    // Bun tells a sender that nobody vouches for the certificate.
    expect(authenticate(socket, false, null, sender(other, pair.fingerprint))).toEqual(proven);
  });

  for (const [what, { change, says }] of Object.entries(faults)) {
    test(`${what} is refused, at either end`, () => {
      const socket = new FakeSocket();
      change(socket);
      expect(() => authenticate(socket, true, null, receiver)).toThrow(says);
      expect(() => authenticate(socket, true, null, sender(pair.fingerprint))).toThrow(says);
    });
  }

  test("a receiver believes Bun that a handshake failed", () => {
    const error = Object.assign(new Error("x"), { code: "EPROTO" });
    expect(() => authenticate(new FakeSocket(), false, error, receiver)).toThrow("(EPROTO)");
  });

  test("a sender names the key it saw and those it wanted", () => {
    const says = new RegExp(`${pair.fingerprint}, expected ${other} or fp1x`);
    expect(() => authenticate(new FakeSocket(), true, null, sender(other, "fp1x"))).toThrow(says);
    expect(() => authenticate(new FakeSocket(), true, null, sender())).toThrow(pair.fingerprint);
  });
});

/** Everything that becomes known of one connection. */
function connect(looking: Looking = receiver, opened: (link: Link) => void = () => undefined) {
  const time = new SimClock();
  const socket = new FakeSocket();
  const heard: string[] = [];
  const handlers: LinkHandlers = {
    opened: (link) => {
      heard.push(`opened ${link.proven?.fingerprint}`);
      opened(link);
    },
    data: (chunk) => void heard.push(`data ${chunk.length}`),
    drain: () => void heard.push("drain"),
    closed: (reason) => void heard.push(`closed ${reason}`),
  };
  const connection = new SecureConnection({
    socket,
    looking,
    clock: time.process().clock,
    accept: () => handlers,
    admit: () => void heard.push("admitted"),
    over: () => void heard.push("over"),
    refused: (reason) => void heard.push(`refused ${reason}`),
  });
  return { time, socket, heard, connection };
}

function pass(time: SimClock, ms: number): void {
  const until = time.nowMs() + ms;
  while (time.nowMs() < until && time.step());
}

describe("a connection with keys", () => {
  test("is heard of when its peer has proven a key, and not before", () => {
    const { connection, socket, heard, time } = connect(receiver, (link) => link.admit?.());
    connection.data(new Uint8Array(5));
    connection.drain();
    expect(heard).toEqual([]);
    connection.shaken(true, null);
    connection.data(new Uint8Array(6));
    connection.drain();
    expect(connection.state).toBe("authenticated");
    expect(heard).toEqual([`opened ${pair.fingerprint}`, "admitted", "data 6", "drain"]);
    pass(time, 2 * handshakeMs);
    expect([socket.terminated, socket.written]).toEqual([0, 0]);
    connection.closed(undefined);
    expect(heard.slice(4)).toEqual(["over", "closed "]);
  });

  for (const [what, { change, says }] of Object.entries(faults)) {
    test(`${what} ends it without a word, and nothing that follows is heard`, () => {
      const { connection, socket, heard } = connect();
      change(socket);
      connection.shaken(true, null);
      connection.data(new Uint8Array(5));
      connection.shaken(true, null);
      connection.drain();
      connection.closed(undefined);
      expect([socket.terminated, socket.written]).toEqual([1, 0]);
      expect(heard).toHaveLength(2);
      expect(heard[0]).toBe("over");
      expect(heard[1]).toMatch(/^refused /);
      expect(heard[1]).toMatch(says);
    });
  }

  test("whatever Bun throws ends this connection and no other", () => {
    const { connection, socket, heard } = connect();
    socket.getTLSVersion = () => {
      throw new TypeError("a bug");
    };
    connection.shaken(true, null);
    connection.data(new Uint8Array(5));
    expect(socket.terminated).toBe(1);
    expect(heard).toEqual(["over", "refused the handshake failed: a bug"]);
  });

  test("a fault of ours while it is let in leaves nobody in", () => {
    const { connection, socket, heard } = connect(receiver, () => {
      throw new Error("ours");
    });
    expect(() => connection.shaken(true, null)).toThrow("ours");
    connection.data(new Uint8Array(5));
    expect(socket.terminated).toBe(1);
    expect(heard.slice(1)).toEqual(["over", "closed a fault of ours"]);
  });

  test("silence ends with the handshake's time", () => {
    const { connection, socket, heard, time } = connect();
    pass(time, handshakeMs + 1);
    expect(socket.terminated).toBe(1);
    expect(heard[1]).toMatch(/^refused no handshake in 5 s/);
    connection.shaken(true, null);
    connection.data(new Uint8Array(5));
    expect(heard).toHaveLength(2);
  });

  test("a peer that goes away in the handshake is told once", () => {
    const { connection, heard } = connect();
    connection.failed(Object.assign(new Error("reset"), { code: "ECONNRESET" }));
    connection.closed(undefined);
    connection.closed(undefined);
    expect(heard).toEqual(["over", "refused it went away during the handshake: reset"]);
  });

  test("an eviction, before and after the key was proven", () => {
    const before = connect();
    before.connection.leave("others");
    expect(before.heard).toEqual(["over", "refused others"]);
    const after = connect();
    after.connection.shaken(true, null);
    after.connection.leave("others");
    after.connection.data(new Uint8Array(5));
    expect(after.heard).toEqual([`opened ${pair.fingerprint}`, "over", "closed others"]);
    expect([before.socket.terminated, after.socket.terminated]).toEqual([1, 1]);
  });

  test("a link that is closed while it is opened does not come to life again", () => {
    const { connection, socket, heard } = connect(receiver, () => connection.closed(undefined));
    connection.shaken(true, null);
    connection.data(new Uint8Array(5));
    expect(connection.state).toBe("over");
    expect(heard).toEqual([`opened ${pair.fingerprint}`, "over", "closed "]);
    expect(socket.terminated).toBe(0);
  });
});
