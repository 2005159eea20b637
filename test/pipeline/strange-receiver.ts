/**
 * A sender in virtual time, and a receiver that answers as the test says, which may be as no receiver should. What the
 * sender writes is read by the second implementation of the protocol (test/e2e/wire-peer.ts).
 */
import type { SenderEvent } from "../../src/events.ts";
import { Sending, type SenderResult, type SendingOptions } from "../../src/pipeline/sending.ts";
import type { Dial, ProvenKey } from "../../src/ports.ts";
import type { Welcome } from "../../src/protocols/wire/messages.ts";
import { Fields, kinds, type Message, MessageReader, encode } from "../e2e/wire-peer.ts";
import { encoded } from "../protocols/wire/cases.ts";
import { SimClock } from "../simulation/sim-clock.ts";
import { type SimFile, SimSource } from "../simulation/sim-source.ts";
import { Random } from "../support/random.ts";

export const welcome: Welcome = {
  features: 0,
  keepsNothing: false,
  frameBytesMax: 1e9,
  windowBytes: 64 * 2 ** 20,
  windowFrames: 4096,
  clockNs: 0n,
  agent: "strange",
  proof: new Uint8Array(0),
  device: "",
  pins: [],
};

/** One connection, as the receiver has it. */
export interface Said {
  readonly connection: number;
  say(bytes: Uint8Array): void;
  close(): void;
}

export interface StrangeOptions {
  readonly files: readonly Uint8Array[];
  readonly live?: boolean;
  readonly sending?: Partial<SendingOptions>;
  /** The key that it has proven. */
  readonly proven?: ProvenKey;
  /** What it does with each message. */
  readonly answer: (message: Message, said: Said) => void;
}

export class Strange {
  readonly time: SimClock = new SimClock();
  readonly events: SenderEvent[] = [];
  readonly results: SenderResult[] = [];
  /** Of each connection, when it was opened. */
  readonly openedAtMs: number[] = [];
  /** By connection, kinds of what the sender said. */
  readonly heard: number[][] = [];
  /** Bytes that the sender wrote, heads and payloads. */
  bytes = 0;
  readonly sending: Sending;

  constructor({ files, live = false, sending, proven, answer }: StrangeOptions) {
    const { clock } = this.time.process();
    const random = new Random(1);
    const dial: Dial = (handlers) => {
      clock.after(1, () => {
        const reader = new MessageReader();
        const connection = this.openedAtMs.push(clock.nowMs()) - 1;
        const heard: number[] = [];
        this.heard.push(heard);
        let open = true;
        const close = (): void => {
          if (!open) return;
          open = false;
          clock.after(0, () => handlers.closed(""));
        };
        const say = (bytes: Uint8Array): void => {
          clock.after(1, () => {
            if (open) handlers.data(bytes);
          });
        };
        handlers.opened({
          peer: "strange:1",
          proven,
          write: (view) => {
            this.bytes += view.length;
            for (const message of reader.push(view.slice())) {
              heard.push(message.kind);
              answer(message, { connection, say, close });
            }
            return view.length;
          },
          pause: () => undefined,
          resume: () => undefined,
          shutdown: close,
          close,
        });
      });
    };
    const simFiles = files.map((bytes, at): SimFile => ({
      name: `${at}.jpg`,
      bytes,
      capturedNs: BigInt(at),
      broken: false,
    }));
    this.sending = new Sending({
      peer: "strange:1",
      dial,
      clock,
      random: () => 0.5,
      session: "2".repeat(32),
      device: "device",
      agent: "",
      sources: [
        new SimSource({
          folder: { source: "visible", files: simFiles, deleted: new Set() },
          random,
          deleteSent: false,
          live,
          onSettled: () => undefined,
        }),
      ],
      order: "oldest",
      rateMax: undefined,
      retryForMs: undefined,
      onEvent: (event) => void this.events.push(event),
      onDone: (result) => void this.results.push(result),
      ...sending,
    });
    this.sending.start();
  }

  /** Events of one kind. */
  all(event: SenderEvent["event"]): SenderEvent[] {
    return this.events.filter((each) => each.event === event);
  }
}

/** An answer to an OFFER: everything is wanted. */
export function wantAll(message: Message): Uint8Array {
  const [sourceIndex, count, first] = [message.u16(), message.u16(), message.u64()];
  return encoded((w) =>
    w.want(
      sourceIndex,
      first,
      Array.from({ length: count }, () => ({ kind: "want" as const })),
    ),
  );
}

export function rejectAgain(sequence: number, reason = 20): Uint8Array {
  return encode(kinds.reject, new Fields().u16(0).u8(reason).u8(1).u64(sequence).text("try again"));
}

export function ackStored(sequence: number, receivedBytes = 0): Uint8Array {
  const ranges = [{ firstSequence: sequence, count: 1, outcome: "stored" as const }];
  return encoded((w) => w.ack({ sourceIndex: 0, receivedBytes, ranges }));
}
