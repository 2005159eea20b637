/**
 * The wire fuzzer. Its property in one sentence: whatever bytes arrive, in whatever pieces, the receiver's engine
 * gives the same events and the same failure, the failure is a ProtocolError, and it never keeps more than its ring.
 *
 * Inputs are grown from the case table and from whole conversations by flipping, cutting, doubling and splicing; the
 * check of a message is often made good again, so that mutants get past it. Everything comes from the seed.
 */
import { crc32 } from "../../src/bytes/checksum.ts";
import { AssertionError, ProtocolError } from "../../src/errors.ts";
import type { ReceivingEvent } from "../../src/protocols/receiver-session.ts";
import { WireReceiver } from "../../src/protocols/wire/receiver.ts";
import { SenderSession } from "../../src/protocols/wire/sender.ts";
import {
  badHeads,
  cases,
  concat,
  encoded,
  hello,
  putPayload,
  rawMessage,
  roundTrips,
} from "../protocols/wire/cases.ts";
import { plain } from "../protocols/wire/pair.ts";
import { Random } from "../support/random.ts";

const conversation = concat(
  encoded((w, o) => {
    w.hello({ ...hello, proof: new Uint8Array(97).fill(1), via: ["fp1three"] });
    w.source({ sourceIndex: 0, name: "visible" });
    w.offer(0, 0, [{ name: "1.jpg", bytes: 5, capturedNs: 1n }]);
    const payload = new TextEncoder().encode("hello");
    const head = { sourceIndex: 0, sequence: 0, capturedNs: 1n, bytes: 5, name: "1.jpg" };
    putPayload(w, o, w.frame(head, 5), payload, crc32(payload));
    putPayload(w, o, w.frame({ ...head, sequence: 1, bytes: 10 }, 5), payload);
    putPayload(w, o, w.chunk({ sourceIndex: 0, sequence: 1, offset: 5 }, 5), payload, 1);
    w.gap({ sourceIndex: 0, reason: "vanished", firstSequence: 2, count: 1, name: "x", detail: "gone" });
    w.stretch({ sourceIndex: 0, class: "loss", sequence: 3, count: 1, bytes: 9, text: "a TIFF" });
    const metadata = new Map([["lux", "40"]]);
    const noted = { ...head, sequence: 3, metadata };
    putPayload(w, o, w.frame(noted, 5, true), payload, crc32(payload), 9, new Uint8Array(32));
    w.end({ sourceIndex: 0, totals: { frames: 3, stored: 2, duplicates: 0, conflicts: 0, refused: 0, skipped: 1 } });
    w.bye(false);
  }),
);

const seeds: readonly Uint8Array[] = [
  conversation,
  ...cases.map((each) => each.bytes),
  ...roundTrips.map((each) => each.bytes),
  ...badHeads.map((each, index) => rawMessage({ kind: 4 + (index % 18), head: each.head })),
];

/** One mutant of the seeds. */
export function mutant(random: Random): Uint8Array {
  let bytes: Uint8Array = random.pick(seeds).slice();
  for (let round = random.int(4); round > 0; round--) {
    const at = random.int(bytes.length);
    switch (random.int(5)) {
      case 0:
        if (bytes.length > 0) bytes[at] = random.chance(0.5) ? random.int(256) : random.pick([0, 1, 0x7f, 0x80, 0xff]);
        break;
      case 1:
        bytes = bytes.slice(0, at);
        break;
      case 2:
        bytes = concat(bytes.subarray(0, at), random.pick(seeds), bytes.subarray(at));
        break;
      case 3:
        bytes = concat(
          random.chance(0.5) ? conversation.subarray(0, 200) : new Uint8Array(0),
          bytes,
          random.pick(seeds),
        );
        break;
      default:
        bytes = concat(bytes, bytes.subarray(at));
    }
  }
  if (random.chance(0.7)) mendChecks(bytes);
  return bytes;
}

/** Makes the checks of all messages hold that can be found, so that a mutant is not only a damaged message. */
function mendChecks(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + 16 <= bytes.length;) {
    if (bytes[at] !== 0xf5) return;
    const checked = 12 + view.getUint32(at + 4, true);
    if (at + checked + 4 > bytes.length) return;
    view.setUint32(at + checked, crc32(bytes.subarray(at, at + checked)), true);
    at += checked + 4 + view.getUint32(at + 8, true);
  }
}

/** Whose frame, gap or end an event is about. */
function deviceOf(event: ReceivingEvent<string>): string | undefined {
  if ("origin" in event) return event.origin.device;
  if ("incoming" in event) return event.incoming.frame.origin.device;
  if ("gap" in event) return event.gap.origin.device;
  if ("stretch" in event) return event.stretch.origin.device;
  return "end" in event ? event.end.origin.device : undefined;
}

/** Everything observable of feeding these pieces to a receiver, as text. */
function receive(pieces: readonly Uint8Array[], rejects: boolean, keyed: boolean): string {
  const receiver = new WireReceiver<string>({
    agent: "fuzz",
    frameBytesMax: 1000,
    resume: true,
    digest: true,
    keyed,
    wallNs: () => 0n,
    nowMs: 0,
  });
  const sourceProblem = (source: string): string | undefined => (source === "visible" ? undefined : "not granted");
  const admitted = { device: "rig-7", pins: ["fp1one", "fp1two"], via: [], sourceProblem };
  const said: string[] = [];
  let payload = "";
  for (const piece of pieces) {
    receiver.push(piece, 0);
    try {
      for (let event = receiver.next(0); event !== undefined; event = receiver.next(0)) {
        if (event.type === "payload") {
          payload += Buffer.from(event.view).toString("hex");
          continue;
        }
        // The last piece of a damaged frame is not passed on, so how much was depends on the pieces.
        if (event.type !== "frame-lost") said.push(payload);
        said.push(event.type);
        payload = "";
        if (event.type === "hello") {
          said.push(event.device, event.proof?.toHex() ?? "", (event.via ?? []).join());
          receiver.welcome(0n, keyed ? admitted : undefined);
        }
        if (keyed && (deviceOf(event) ?? "rig-7") !== "rig-7") {
          throw new AssertionError("a peer with a key writes as somebody else");
        }
        if (event.type === "offer")
          receiver.answer(
            event.sourceIndex,
            event.firstSequence,
            event.entries.map((_, at) => (at === 0 ? { kind: "want" } : { kind: "continue", offset: at, crc32: 0 })),
          );
        if (event.type === "frame") {
          const { name, bytes, metadata } = event.incoming.frame;
          said.push(name, String(bytes), JSON.stringify([...(metadata ?? [])]));
          if (rejects) receiver.reject(event.incoming, "name", "no", false);
          else event.incoming.writer = "w";
        }
        if (event.type === "frame-end") said.push(String(event.incoming.frame.notes), event.digest?.toHex() ?? "");
        if (event.type === "frame-end")
          receiver.settle(event.incoming.sourceIndex, event.incoming.frame.sequence, "stored");
        if (event.type === "bye") receiver.farewell();
        receiver.flushAcks();
        receiver.outbox.clear();
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return [...said, payload, error.message].join("|");
    }
  }
  return [...said, payload].join("|");
}

/**
 * The sender's engine takes anything as well: no failure but ProtocolError, whatever a receiver says. `ends`: it has
 * nothing to send and says so, between two pieces or behind the last.
 */
function send(pieces: readonly Uint8Array[], ends: boolean): string {
  const sender = new SenderSession({
    session: hello.session,
    device: "d",
    agent: "a",
    sources: [{ name: "s" }],
    ...plain,
    wallNs: () => 0n,
  });
  sender.connected(0);
  const said: string[] = [];
  for (const piece of pieces) {
    sender.receive(piece, 0);
    try {
      for (let step = sender.next(0); step.type !== "wait" && step.type !== "flush"; step = sender.next(0)) {
        said.push(step.type);
        if (step.type === "list" && ends) sender.listingDone(step.sourceIndex);
        else if (step.type === "list") sender.listedNothing(step.sourceIndex, step.liveOnly);
        if (step.type === "done") break;
      }
      sender.outbox.clear();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return error.code === 2 ? "version" : `failed ${error.code}`;
    }
  }
  return said.length > 1000 ? "much" : "taken";
}

function cutUp(bytes: Uint8Array, random: Random): Uint8Array[] {
  const all: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = 1 + random.int(random.chance(0.3) ? 3 : 100);
    all.push(bytes.subarray(at, at + length));
    at += length;
  }
  return all;
}

/** Throws, with the seed in the message, if the property does not hold for this seed. */
export function fuzzWire(seed: number): void {
  const random = new Random(seed);
  const bytes = mutant(random);
  try {
    const rejects = random.chance(0.3);
    const keyed = random.chance(0.5);
    const whole = receive([bytes], rejects, keyed);
    const cut = receive(cutUp(bytes, random), rejects, keyed);
    if (whole !== cut) throw new AssertionError(`whole and in pieces differ:\n${whole}\n${cut}`);
    const ends = random.chance(0.5);
    const sent = send([bytes], ends);
    const sentCut = send(cutUp(bytes, random), ends);
    // With an end, what is a fault depends on how much the sender had said when it arrived.
    if (sent !== sentCut && !ends) throw new AssertionError(`sender: whole and in pieces differ: ${sent}, ${sentCut}`);
  } catch (cause) {
    throw new Error(`fuzz seed ${seed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
