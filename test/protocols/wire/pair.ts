/**
 * A sender's and a receiver's engine joined in memory, with a clock that the test moves. The test decides what the
 * receiver's driver would: verdicts, rejections, acks. Frames come from a map.
 */
import { crc32 } from "../../../src/bytes/checksum.ts";
import type { FrameEntry, Metadata, Verdict } from "../../../src/frame.ts";
import type { ListedStretch } from "../../../src/ports.ts";
import type { IncomingFrame, ReceivingEvent } from "../../../src/protocols/receiver-session.ts";
import { type ReceiverOptions, WireReceiver } from "../../../src/protocols/wire/receiver.ts";
import { type SenderOptions, SenderSession } from "../../../src/protocols/wire/sender.ts";
import type { SenderStep } from "../../../src/protocols/wire/sender-steps.ts";

/** A sender of complete directories. */
export const plain = { order: "oldest", prompt: false, rateMax: undefined } as const;

export interface PairOptions {
  /** By source, then by name. */
  readonly frames: Readonly<Record<string, Readonly<Record<string, Uint8Array>>>>;
  readonly live?: boolean;
  readonly sending?: Partial<Pick<SenderOptions, "order" | "prompt" | "rateMax" | "digest" | "compares">>;
  readonly receiving?: Partial<Pick<ReceiverOptions, "keepsNothing" | "resume" | "digest">>;
  /** What is listed of a frame beside name, size and time. */
  readonly entry?: (name: string) => Pick<FrameEntry, "notes" | "metadata">;
  /** What is known of it when it is open, and when it has been read. */
  readonly opened?: (name: string) => { notes?: number; metadata?: Metadata; digest?: Uint8Array };
  /** Bytes in no frame, by the name of the frame that follows; with the empty name, behind the last. */
  readonly stretches?: Readonly<Record<string, readonly ListedStretch[]>>;
  readonly verdict?: (source: string, name: string) => Verdict;
  /** Called for each frame that begins; a reason rejects it. */
  readonly onFrame?: (incoming: IncomingFrame<Uint8Array[]>, pair: SessionPair) => void;
  /** Called for each complete frame; the default acknowledges it. */
  readonly onFrameEnd?: (incoming: IncomingFrame<Uint8Array[]>, pair: SessionPair) => void;
  /** The sender's clock minus the receiver's. */
  readonly clockOffsetNs?: () => bigint;
  /** May change what travels to the receiver. */
  readonly toReceiver?: (bytes: Uint8Array) => Uint8Array;
}

export class SessionPair {
  readonly sender: SenderSession;
  receiver!: WireReceiver<Uint8Array[]>;
  nowMs = 0;
  readonly #options: PairOptions;
  readonly #listed = new Set<string>();
  readonly #open = new Map<number, { name: string; bytes: Uint8Array; at: number }>();
  /** What the sender was told, in words. */
  readonly told: string[] = [];
  /** Complete frames, by source/name. */
  readonly stored: Map<string, Uint8Array> = new Map<string, Uint8Array>();
  /** Order of first payloads and ends, as source/sequence. */
  readonly order: string[] = [];
  readonly events: ReceivingEvent<Uint8Array[]>[] = [];
  done = false;

  constructor(options: PairOptions) {
    this.#options = options;
    this.sender = new SenderSession({
      session: "00112233445566778899aabbccddeeff",
      device: "device",
      agent: "sender",
      sources: Object.keys(options.frames).map((name) => ({ name })),
      ...plain,
      ...options.sending,
      wallNs: () => this.#wallNs() + (options.clockOffsetNs?.() ?? 0n),
    });
    this.connect();
  }

  connect(): void {
    this.receiver = new WireReceiver<Uint8Array[]>({
      agent: "receiver",
      frameBytesMax: 1e9,
      ...this.#options.receiving,
      wallNs: () => this.#wallNs(),
      nowMs: this.nowMs,
    });
    this.sender.connected(this.nowMs);
  }

  #wallNs(): bigint {
    return BigInt(Math.round(this.nowMs * 1e6));
  }

  /** The connection is lost; everything under way with it. */
  cut(): void {
    this.#open.clear();
    this.sender.disconnected();
    while (this.#step(this.sender.next(this.nowMs)));
  }

  /** Lets both talk until nothing moves. Throws ProtocolError as the engines do. */
  run(): void {
    for (let idle = 0; idle < 2; idle++) {
      while (this.#step(this.sender.next(this.nowMs)));
      const toReceiver = this.sender.outbox.view().slice();
      this.sender.outbox.clear();
      if (toReceiver.length > 0) {
        idle = 0;
        this.receiver.push(this.#options.toReceiver?.(toReceiver) ?? toReceiver, this.nowMs);
      }
      for (let event = this.receiver.next(this.nowMs); event !== undefined; event = this.receiver.next(this.nowMs))
        this.#handle(event);
      this.receiver.flushAcks();
      const toSender = this.receiver.outbox.view().slice();
      this.receiver.outbox.clear();
      if (toSender.length === 0) {
        // What pauses is not waited for.
        for (const { pausedUntilMs } of this.sender.ledgers) {
          if (pausedUntilMs <= this.nowMs) continue;
          this.nowMs = pausedUntilMs;
          idle = 0;
        }
        continue;
      }
      idle = 0;
      this.sender.receive(toSender, this.nowMs);
    }
  }

  #frames(index: number): Readonly<Record<string, Uint8Array>> {
    return Object.values(this.#options.frames)[index] ?? {};
  }

  #step(step: SenderStep): boolean {
    const { sender } = this;
    switch (step.type) {
      case "wait":
      case "flush":
        return false;
      case "list": {
        const frames = Object.entries(this.#frames(step.sourceIndex)).filter(
          ([name]) => !this.#listed.has(`${step.sourceIndex}/${name}`),
        );
        for (const [name, bytes] of frames.slice(0, step.max)) {
          this.#listed.add(`${step.sourceIndex}/${name}`);
          this.#stretch(step.sourceIndex, name);
          const entry = { name, bytes: bytes.length, capturedNs: 5n, ...this.#options.entry?.(name) };
          sender.listed(step.sourceIndex, entry, this.#options.live === true);
        }
        if (frames.length === 0) {
          this.#stretch(step.sourceIndex, "");
          sender.listingDone(step.sourceIndex);
        }
        return true;
      }
      case "compare": {
        const bytes = this.#frames(step.sourceIndex)[step.entry.name] ?? new Uint8Array(0);
        sender.compared(step.sourceIndex, step.place, crc32(bytes) === step.crc32);
        return true;
      }
      case "open": {
        const { name } = step.entry;
        const bytes = this.#frames(step.sourceIndex)[name] ?? new Uint8Array(0);
        this.#open.set(step.sourceIndex, { name, bytes, at: 0 });
        const first = sender.frames.open(step.sourceIndex, bytes.length, this.#options.opened?.(name).metadata);
        if (first !== undefined) this.#fill(step.sourceIndex, first);
        return true;
      }
      case "chunk":
        this.#fill(step.sourceIndex, step.bytes);
        return true;
      case "prove": {
        const open = this.#open.get(step.sourceIndex);
        if (open === undefined) throw new Error("a frame that is not open is compared");
        open.at += step.bytes;
        if (!sender.frames.proved(step.sourceIndex, open.bytes.subarray(open.at - step.bytes, open.at))) open.at = 0;
        return true;
      }
      case "close":
        this.#open.delete(step.sourceIndex);
        return true;
      case "settled":
        this.told.push(`${step.entry.name} ${step.outcome ?? "gap"}`);
        return true;
      case "refused":
        this.told.push(`${step.entry.name} refused ${step.reason}`);
        return true;
      case "done":
        this.done = true;
        return true;
      default:
        this.told.push(step.type);
        return true;
    }
  }

  #stretch(sourceIndex: number, before: string): void {
    for (const { stretch, count, bytes, text } of this.#options.stretches?.[before] ?? []) {
      this.sender.stretch(sourceIndex, stretch, count, bytes, text);
    }
  }

  #fill(sourceIndex: number, bytes: number): void {
    const open = this.#open.get(sourceIndex);
    if (open === undefined) throw new Error("a chunk of a frame that is not open");
    this.sender.frames.chunkView(sourceIndex, bytes).set(open.bytes.subarray(open.at, open.at + bytes));
    open.at += bytes;
    const { notes, digest } = this.#options.opened?.(open.name) ?? {};
    const last = open.at === open.bytes.length;
    if (
      this.sender.frames.commitChunk(
        sourceIndex,
        bytes,
        notes,
        last && this.sender.frames.digesting ? digest : undefined,
      )
    ) {
      this.#open.delete(sourceIndex);
    }
  }

  #handle(event: ReceivingEvent<Uint8Array[]>): void {
    const { receiver } = this;
    this.events.push(event);
    switch (event.type) {
      case "hello":
        return receiver.welcome(this.#wallNs());
      case "offer": {
        const { source } = event.origin;
        const verdicts = event.entries.map(
          ({ name }) => this.#options.verdict?.(source, name) ?? ({ kind: "want" } as const),
        );
        return receiver.answer(event.sourceIndex, event.firstSequence, verdicts);
      }
      case "frame":
        event.incoming.writer = [];
        this.#options.onFrame?.(event.incoming, this);
        return;
      case "payload":
        this.order.push(`${event.incoming.frame.origin.source}/${event.incoming.frame.sequence}`);
        event.incoming.writer?.push(event.view.slice());
        return;
      case "frame-end": {
        const { frame, writer } = event.incoming;
        this.stored.set(`${frame.origin.source}/${frame.name}`, Buffer.concat(writer ?? []));
        if (this.#options.onFrameEnd !== undefined) this.#options.onFrameEnd(event.incoming, this);
        else receiver.settle(event.incoming.sourceIndex, frame.sequence, "stored");
        return;
      }
      case "frame-lost":
      case "stretch":
        return;
      case "gap":
        return receiver.settle(event.sourceIndex, event.gap.firstSequence, "recorded", event.gap.count);
      case "end":
        return receiver.confirmEnd(event.sourceIndex);
      case "bye":
        return receiver.farewell();
    }
  }
}
