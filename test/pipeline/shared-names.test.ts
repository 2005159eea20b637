/** Cameras that were made from one card: said to both and here, once, and only where both live. */
import { beforeEach, describe, expect, test } from "bun:test";
import type { ReceiverEvent } from "../../src/events.ts";
import type { ReceiverHub } from "../../src/pipeline/receiver.ts";
import { type NamedSender, SharedNames } from "../../src/pipeline/shared-names.ts";
import type { SimClock } from "../simulation/sim-clock.ts";
import { MemorySink } from "../sinks/memory-sink.ts";
import { openHub } from "./open-hub.ts";
import { WireClient } from "./wire-client.ts";

describe("at a receiver", () => {
  let hub: ReceiverHub;
  let time: SimClock;
  let events: ReceiverEvent[];

  beforeEach(() => {
    ({ hub, time, events } = openHub(new MemorySink({ frameBytesMax: 1000 })));
  });

  function client(session: string, source = "visible"): WireClient {
    const sender = new WireClient(hub, [source], session.repeat(32));
    sender.answers = true;
    return sender;
  }

  const shared = (): ReceiverEvent[] => events.filter(({ event }) => event === "shared-device");

  /** They look at what they are told, and answer. */
  function pass(...clients: WireClient[]): string[][] {
    const told = clients.map((): string[] => []);
    for (let turn = 0; turn < 3; turn++) {
      time.pass(20);
      for (const [index, each] of clients.entries()) told[index]?.push(...each.told());
    }
    return told.map((lines) => lines.filter((line) => line.startsWith("notice")));
  }

  test("two that live are told once each, and it is said once", () => {
    const [one, other] = [client("a"), client("b")];
    one.frame(0, 0);
    other.frame(0, 0, "other.jpg");
    expect(pass(one, other)).toEqual([["notice shared-device"], ["notice shared-device"]]);
    expect(shared()).toMatchObject([{ device: "pi-7", keyed: false }]);
    one.frame(0, 1);
    other.frame(0, 1, "another.jpg");
    expect(pass(one, other)).toEqual([[], []]);
    expect(shared().length).toBe(1);
  });

  test("again after lost connections they are not told; a third one is", () => {
    const [one, other] = [client("a"), client("b")];
    one.frame(0, 0);
    other.frame(0, 0, "other.jpg");
    pass(one, other);
    one.close();
    other.close();
    const again = [client("a"), client("b")] as const;
    again[0].frame(0, 1);
    again[1].frame(0, 1, "another.jpg");
    expect(pass(...again)).toEqual([[], []]);
    const third = client("c");
    third.frame(0, 0, "third.jpg");
    expect(pass(...again, third)).toEqual([[], [], ["notice shared-device"]]);
    expect(shared().length).toBe(2);
  });

  test("one that was left behind by a sender that started anew is no other", () => {
    const one = client("a");
    one.answers = false;
    one.frame(0, 0);
    pass(one);
    const other = client("b");
    other.frame(0, 1);
    // What it had sent before it died arrives late.
    one.frame(0, 2);
    expect(pass(one, other)).toEqual([[], []]);
    expect(shared()).toEqual([]);
    // It lives after all.
    one.answers = true;
    other.close();
    const third = client("c");
    third.frame(0, 3);
    expect(pass(one, third)).toEqual([["notice shared-device"], ["notice shared-device"]]);
  });

  test("two of one machine that send different sources are in order, until they send the same", () => {
    const [one, other] = [client("a"), client("b", "infrared")];
    one.frame(0, 0);
    other.frame(0, 0);
    expect(pass(one, other)).toEqual([[], []]);
    other.say((w) => w.source({ sourceIndex: 1, name: "visible" }));
    other.frame(1, 0, "other.jpg");
    expect(pass(one, other)).toEqual([["notice shared-device"], ["notice shared-device"]]);
  });

  test("a session that comes back on another connection is no other", () => {
    const one = client("a");
    one.frame(0, 0);
    pass(one);
    const again = client("a");
    again.frame(0, 0);
    expect(pass(one, again)).toEqual([[], []]);
    expect(shared()).toEqual([]);
  });
});

describe("pairs", () => {
  class Sender implements NamedSender {
    readonly device = "cam";
    readonly key = undefined;
    readonly sessionKey: string;
    readonly peer: string;
    told = 0;
    alive: (() => void) | undefined;

    constructor(sessionKey: string, peer: string) {
      this.sessionKey = sessionKey;
      this.peer = peer;
    }

    probe(alive: () => void): void {
      this.alive = alive;
    }

    tellShared(): void {
      this.told++;
    }
  }

  test("different addresses are two machines, whatever they send; the port says nothing", () => {
    const pairs: [string, string][] = [];
    const names = new SharedNames((older, newer) => void pairs.push([older.peer, newer.peer]));
    const [one, other] = [new Sender("a", "10.0.0.1:1000"), new Sender("b", "10.0.0.2:1000")];
    names.joined(one);
    names.joined(other);
    names.sends(one, "vis");
    names.sends(other, "ir");
    expect(pairs).toEqual([]);
    one.alive?.();
    expect(pairs).toEqual([["10.0.0.1:1000", "10.0.0.2:1000"]]);
    expect([one.told, other.told]).toEqual([1, 1]);
    names.left(other);
    const third = new Sender("c", "10.0.0.1:2000");
    names.joined(third);
    one.alive?.();
    names.sends(third, "ir");
    expect(pairs.length).toBe(1);
    names.left(one);
    names.left(third);
    names.sends(third, "vis");
    expect(pairs.length).toBe(1);
  });
});
