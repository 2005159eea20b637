/** A sender with a key: what it says before it is admitted, whom it believes, and what it does when it is refused. */
import { describe, expect, test } from "bun:test";
import { ExitStatus, ProtocolCode } from "../../src/errors.ts";
import { unauthorizedFirstMs, unauthorizedLastMs } from "../../src/limits.ts";
import type { SenderTrust } from "../../src/ports.ts";
import { kinds, type Message } from "../e2e/wire-peer.ts";
import { encoded } from "../protocols/wire/cases.ts";
import { keyOf } from "./fake-trust.ts";
import { ackStored, Strange, type StrangeOptions, wantAll, welcome } from "./strange-receiver.ts";

const receiver = keyOf(200);
const proven = { fingerprint: receiver, exporter: new Uint8Array(32).fill(5) };

class FakeSenderTrust implements SenderTrust {
  readonly identity = { fingerprint: keyOf(1), certificate: "", privateKey: "" };
  readonly pins = [receiver];
  readonly asked: unknown[] = [];
  readonly heard: unknown[] = [];
  proof: Uint8Array = new Uint8Array(0);

  joinProof(...words: unknown[]): Uint8Array {
    this.asked.push(words);
    return this.proof;
  }
  pinned(...words: unknown[]): void {
    this.heard.push(words);
    this.proof = new Uint8Array(0);
  }
}

/** The device and the proof of a HELLO. */
function introduction(message: Message): { device: string; proofBytes: number } {
  message.skip(28);
  const device = message.text();
  message.text();
  return { device, proofBytes: message.u16() };
}

const refuse = encoded((w) => w.refuse(ProtocolCode.unauthorized, "the key fp1… is not known here"));

function refused(options: Partial<StrangeOptions>): Strange {
  return new Strange({
    files: [new Uint8Array(1)],
    answer: ({ kind }, { say }) => {
      if (kind === kinds.hello) say(refuse);
    },
    ...options,
  });
}

describe("a sender with a key", () => {
  test("that joined asks at once for the device that it was given, and sends nothing as another", () => {
    const trust = new FakeSenderTrust();
    trust.proof = new Uint8Array(97);
    const said: number[] = [];
    const hellos: unknown[] = [];
    const strange = new Strange({
      files: [new Uint8Array(1)],
      sending: { trust, device: "other" },
      proven,
      answer: (message, { connection, say }) => {
        said.push(message.kind);
        if (message.kind !== kinds.hello) return;
        hellos.push(introduction(message));
        say(connection === 0 ? encoded((w) => w.welcome({ ...welcome, device: "rig-7", pins: [receiver] })) : refuse);
      },
    });
    strange.time.pass(20_000);
    expect(hellos).toEqual([
      { device: "", proofBytes: 97 },
      { device: "other", proofBytes: 0 },
    ]);
    expect(said).toEqual([kinds.hello, kinds.hello]);
    expect(trust.heard).toEqual([[receiver, [receiver]]]);
    expect(strange.all("connected")).toEqual([]);
    expect(strange.results).toMatchObject([{ error: { code: ProtocolCode.unauthorized } }]);
  });

  test("says HELLO, and not a name before it is welcome", () => {
    const trust = new FakeSenderTrust();
    let welcomed = false;
    const early: number[] = [];
    const hellos: unknown[] = [];
    const strange = new Strange({
      files: [new Uint8Array(1)],
      sending: { trust, device: "" },
      proven,
      answer: (message, { say }) => {
        const { kind } = message;
        if (!welcomed) early.push(kind);
        if (kind === kinds.hello) {
          hellos.push(introduction(message));
          strange.time.after(2_000, () => {
            welcomed = true;
            say(encoded((w) => w.welcome({ ...welcome, device: "rig-7", pins: [receiver, keyOf(201)] })));
          });
        } else if (kind === kinds.offer) say(wantAll(message));
        else if (kind === kinds.frame) say(ackStored(0, 1));
        else if (kind === kinds.end) say(encoded((w) => w.ended({ sourceIndex: 0, account: undefined })));
        else if (kind === kinds.bye) say(encoded((w) => w.farewell()));
      },
    });
    strange.time.pass(10_000);
    expect(early).toEqual([kinds.hello]);
    expect(hellos).toEqual([{ device: "", proofBytes: 0 }]);
    expect(trust.asked).toEqual([[proven.exporter, receiver]]);
    expect(trust.heard).toEqual([[receiver, [receiver, keyOf(201)]]]);
    expect(strange.all("connected")).toMatchObject([{ device: "rig-7" }]);
    expect(strange.results).toMatchObject([{ status: ExitStatus.ok }]);
  });

  test("asks for a name when it joins, and joins until it is welcome", () => {
    const trust = new FakeSenderTrust();
    trust.proof = new Uint8Array(97);
    const hellos: unknown[] = [];
    const strange = new Strange({
      files: [],
      live: true,
      sending: { trust, device: "rig-7" },
      proven,
      answer: (message, { connection, say, close }) => {
        if (message.kind !== kinds.hello) return;
        hellos.push(introduction(message));
        if (connection === 1) say(encoded((w) => w.welcome({ ...welcome, device: "rig-7" })));
        if (connection < 2) strange.time.after(100, close);
      },
    });
    strange.time.pass(20_000);
    expect(hellos.slice(0, 3)).toEqual([
      { device: "", proofBytes: 97 },
      { device: "", proofBytes: 97 },
      { device: "rig-7", proofBytes: 0 },
    ]);
  });
});

test("who answers in one outage, and says what, is told whenever it is another thing than before", () => {
  const texts = ["one", "one", "two", "one", "three"];
  const strange = refused({
    sending: { trust: new FakeSenderTrust() },
    proven,
    answer: ({ kind }, { connection, say }) => {
      const text = texts[connection];
      if (kind === kinds.hello && text !== undefined) say(encoded((w) => w.refuse(ProtocolCode.busy, text)));
    },
  });
  strange.time.pass(20_000);
  const reasons = strange
    .all("disconnected")
    .map((event) => ("reason" in event ? event.reason.split(": ").at(-1) : ""));
  expect(reasons.slice(0, 3)).toEqual(["one", "two", "three"]);
});

describe("a refusal", () => {
  test("of a receiver that has proven its key ends a run that has an end", () => {
    const strange = refused({ sending: { trust: new FakeSenderTrust() }, proven });
    strange.time.pass(1_000);
    expect(strange.results).toMatchObject([{ status: ExitStatus.refused }]);
    expect(strange.results[0]?.error?.message).toContain("is not known here");
  });

  test("of one that has proven none is not believed", () => {
    const strange = refused({});
    strange.time.pass(600_000);
    expect(strange.results).toEqual([]);
    expect(strange.openedAtMs.length).toBeGreaterThan(3);
  });

  test("is waited for to pass where more comes, longer and longer, and what was to be sent is sent then", () => {
    let admitted = false;
    const strange = refused({
      sending: { trust: new FakeSenderTrust(), goesOn: true },
      proven,
      answer: (message, { say }) => {
        const { kind } = message;
        if (kind === kinds.hello) say(admitted ? encoded((w) => w.welcome(welcome)) : refuse);
        else if (kind === kinds.offer) say(wantAll(message));
        else if (kind === kinds.frame) say(ackStored(0, 1));
        else if (kind === kinds.ping) say(encoded((w) => w.pong({ echoNs: 0n, clockNs: 0n })));
      },
    });
    strange.time.pass(3_600_000);
    const pauses = strange.openedAtMs.slice(1).map((atMs, index) => atMs - (strange.openedAtMs[index] ?? 0));
    expect(pauses[0]).toBeGreaterThanOrEqual(unauthorizedFirstMs);
    expect(pauses[0]).toBeLessThan(2 * unauthorizedFirstMs);
    for (const pause of pauses.slice(4)) {
      expect(pause).toBeGreaterThanOrEqual(unauthorizedLastMs);
      expect(pause).toBeLessThan(2 * unauthorizedLastMs);
    }
    expect(strange.results).toEqual([]);
    expect(strange.all("disconnected")).toHaveLength(1);
    expect(strange.all("disconnected")).toMatchObject([{ reason: expect.stringContaining("is not known here") }]);
    admitted = true;
    strange.time.pass(2 * unauthorizedLastMs);
    expect(strange.heard.at(-1)).toContain(kinds.frame);
  });
});
