/** A sender in the test's hand, connected to a hub: it says what the test says, and shows what it is told. */
import { crc32 } from "../../src/bytes/checksum.ts";
import type { ReceiverHub } from "../../src/pipeline/receiver.ts";
import type { LinkHandlers } from "../../src/ports.ts";
import { Kind } from "../../src/protocols/wire/constants.ts";
import { MessageReader } from "../../src/protocols/wire/message-reader.ts";
import type { MessageWriter } from "../../src/protocols/wire/message-writer.ts";
import { MessageParser } from "../../src/protocols/wire/parser.ts";
import { encoded, hello, putPayload } from "../protocols/wire/cases.ts";
import { frameOf } from "../sinks/suite.ts";
import { HeldLink } from "./held-link.ts";

export class WireClient {
  readonly link: HeldLink = new HeldLink();
  readonly #handlers: LinkHandlers;
  readonly #parser = new MessageParser();
  readonly #reader = new MessageReader();
  #read = 0;
  /** It lives: pings are answered, when it looks at what it was told. */
  answers = false;

  /** Says HELLO for device `pi-7`, with these sources. */
  constructor(hub: ReceiverHub, sources: readonly string[], session: string = hello.session) {
    this.#handlers = hub.accept();
    this.#handlers.opened(this.link);
    this.say((w) => {
      w.hello({ ...hello, session, features: 0 });
      for (const [sourceIndex, name] of sources.entries()) w.source({ sourceIndex, name });
    });
  }

  say(write: (writer: MessageWriter) => void): void {
    this.#handlers.data(encoded(write));
  }

  frame(sourceIndex: number, sequence: number, name: string = `${sequence}.jpg`): void {
    const payload = Buffer.from(name);
    const head = { sourceIndex, sequence, capturedNs: 1n, bytes: payload.length, name };
    this.#handlers.data(encoded((w, o) => putPayload(w, o, w.frame(head, payload.length), payload, crc32(payload))));
  }

  offer(sourceIndex: number, sequence: number): void {
    this.say((w) => void w.offer(sourceIndex, sequence, [frameOf(`${sequence}.jpg`, "picture")]));
  }

  close(): void {
    this.#handlers.closed("");
  }

  /** What has been said to it since the last call, without greetings, pings and pongs. */
  told(): string[] {
    const { written } = this.link;
    this.#parser.push(written.slice(this.#read));
    this.#read = written.length;
    const told: string[] = [];
    for (let next = this.#parser.next(); next !== "more"; next = this.#parser.next()) {
      if (next === "message") told.push(...this.#words(this.#parser.kind, this.#parser.head));
    }
    return told;
  }

  #words(kind: number, head: Uint8Array): string[] {
    switch (kind) {
      case Kind.ack:
        return this.#reader.ack(head).ranges.map(({ firstSequence, count, outcome }) => {
          return `ack ${firstSequence}${count > 1 ? `+${count - 1}` : ""} ${outcome}`;
        });
      case Kind.reject: {
        const { sequence, reason, again, text } = this.#reader.reject(head);
        return [`reject ${sequence} ${reason}${again ? " again" : ""}: ${text}`];
      }
      case Kind.hold: {
        const { sourceIndex, text } = this.#reader.hold(head);
        return [`hold ${sourceIndex ?? "all"}: ${text}`];
      }
      case Kind.notice:
        return [`notice ${this.#reader.notice(head).notice}`];
      case Kind.ping:
        if (this.answers) this.say((w) => w.pong({ echoNs: this.#reader.ping(head), clockNs: 0n }));
        return [];
      case Kind.resume:
        return [`resume ${this.#reader.resume(head) ?? "all"}`];
      case Kind.refuse:
        return ["refuse"];
      default:
        return [];
    }
  }
}
