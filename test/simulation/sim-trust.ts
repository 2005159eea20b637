/**
 * Keys in virtual time: the receiver's grants, which outlive it as its disk does, an invitation that is used up when it
 * grants, a sender that joins until it is welcome, and intruders who know everything but a key that is let in.
 */
import type { Admission, Clock, Dial, Identity, Link, ReceiverTrust, SenderTrust } from "../../src/ports.ts";
import { encode, Fields, kinds, MessageReader } from "../e2e/wire-peer.ts";
import { FakeTrust, keyOf } from "../pipeline/fake-trust.ts";
import type { Random } from "../support/random.ts";

export const receiverKey: string = keyOf(200);
export const senderKey: string = keyOf(1);
/** It has a grant, as another device. */
const neighbourKey = keyOf(2);
const strangerKey = keyOf(3);

const invitationProof = new Uint8Array(97).fill(9);

/** What the receiver's disk says of keys. */
export class SimGrants {
  readonly #device: string;
  #granted: boolean;
  #invited: boolean;
  /** Of the receiver that runs. */
  #trust: FakeTrust | undefined;

  /** `joins`: the device has an invitation, and no grant yet. */
  constructor(device: string, joins: boolean) {
    this.#device = device;
    this.#granted = !joins;
    this.#invited = joins;
  }

  /** For a receiver that starts. */
  open(clock: Clock, random: Random): ReceiverTrust {
    const trust = new FakeTrust();
    this.#trust = trust;
    trust.join = ({ proof, fingerprint }) => this.#join(trust, clock, random, proof, fingerprint);
    this.#apply();
    return trust;
  }

  get granted(): boolean {
    return this.#granted;
  }

  /** A person removes the device file, or puts it back. */
  set granted(granted: boolean) {
    this.#granted = granted;
    this.#apply();
  }

  #apply(): void {
    const neighbour = [neighbourKey, "device=neighbour"] as const;
    this.#trust?.grant(neighbour, ...(this.#granted ? [[senderKey, `device=${this.#device}`] as const] : []));
  }

  #join(trust: FakeTrust, clock: Clock, random: Random, proof: Uint8Array, key: string): Promise<Admission> {
    const { promise, resolve } = Promise.withResolvers<Admission>();
    // The disk takes its time, before and after the step that counts; a receiver that is killed ends with neither.
    clock.after(random.int(50), () => {
      if (this.#invited && Buffer.from(proof).equals(invitationProof) && key === senderKey) {
        this.#invited = false;
        this.granted = true;
      }
      clock.after(random.int(50), () => resolve(trust.admit(key, "")));
    });
    return promise;
  }
}

export class SimSenderTrust implements SenderTrust {
  readonly identity: Identity = { fingerprint: senderKey, certificate: "", privateKey: "" };
  readonly pins: readonly string[] = [receiverKey];
  #joins: boolean;

  constructor(joins: boolean) {
    this.#joins = joins;
  }

  joinProof(): Uint8Array {
    return this.#joins ? invitationProof : new Uint8Array(0);
  }

  pinned(): void {
    this.#joins = false;
  }
}

/**
 * Somebody who has read the sender's device and session in a log, and has another key: a stranger's, or that of the
 * neighbour, who may send as itself. Throws what it should not have got.
 */
export function intrude(dial: (key: string) => Dial, device: string, session: string, asNeighbour: boolean): void {
  const reader = new MessageReader();
  const hello = new Fields().u32(0).bytes(Buffer.from(session, "hex")).u64(0);
  hello
    .text(asNeighbour ? "" : device)
    .text("intruder")
    .u16(0)
    .u8(0);
  let words = encode(kinds.hello, hello);
  let link: Link | undefined;
  const say = (): void => {
    words = words.subarray(link?.write(words));
  };
  dial(asNeighbour ? neighbourKey : strangerKey)({
    opened: (opened) => {
      link = opened;
      say();
    },
    data: (chunk) => {
      for (const { kind } of reader.push(chunk)) {
        if (!asNeighbour && kind !== kinds.refuse) throw new Error(`an intruder got a ${kind}`);
      }
      if (asNeighbour) link?.close();
    },
    drain: say,
    closed: () => undefined,
  });
}
