/**
 * The state tables of PROTOCOL.md section 3, for both roles: what leads from state to state, and which kinds may be
 * received in which. The engines go by them, a test compares with the text. This file does not know what a message
 * means.
 */
import { ProtocolCode, ProtocolError } from "../../errors.ts";
import type { Moves } from "../moves.ts";
import { Kind, kindName, type KindName } from "./constants.ts";

export type SenderState = "greeting" | "running" | "closing" | "closed";
export type ReceiverState = "fresh" | "running" | "closing" | "closed";

export type SenderMove = "connected" | "welcome" | "bye" | "farewell" | "refuse" | "gone";
export type ReceiverMove = "welcome" | "bye" | "farewell" | "refuse";

/** Named after the message that was written or read. `gone`: the connection is. */
export const senderMoves: Moves<SenderState, SenderMove> = {
  closed: { connected: "greeting", gone: "closed" },
  greeting: { welcome: "running", refuse: "closed", gone: "closed" },
  running: { bye: "closing", refuse: "closed", gone: "closed" },
  closing: { farewell: "closed", refuse: "closed", gone: "closed" },
};

/** A receiver's session ends with its connection. */
export const receiverMoves: Moves<ReceiverState, ReceiverMove> = {
  fresh: { welcome: "running", refuse: "closed" },
  running: { bye: "closing", refuse: "closed" },
  closing: { farewell: "closed", refuse: "closed" },
  closed: {},
};

/** What a sender may receive. */
export const senderStates: Readonly<Record<SenderState, readonly KindName[]>> = {
  greeting: ["welcome", "refuse", "ping"],
  running: ["want", "ack", "reject", "hold", "resume", "ping", "pong", "ended", "refuse", "progress", "notice"],
  closing: ["want", "ack", "ended", "ping", "pong", "farewell", "refuse", "hold", "resume", "progress", "notice"],
  closed: [],
};

/** What a receiver may receive. */
export const receiverStates: Readonly<Record<ReceiverState, readonly KindName[]>> = {
  fresh: ["hello"],
  running: ["source", "offer", "frame", "chunk", "gap", "stretch", "end", "ping", "pong", "bye"],
  closing: ["ping", "pong"],
  closed: [],
};

/** One role's table as sets of numbers, so that the check per message is one bit test. */
export class StateTable<State extends string> {
  readonly #masks = new Map<State, number>();

  constructor(table: Readonly<Record<State, readonly KindName[]>>) {
    for (const state of Object.keys(table) as State[]) {
      let mask = 0;
      for (const name of table[state]) mask |= 1 << Kind[name];
      this.#masks.set(state, mask);
    }
  }

  /** Throws ProtocolError (unexpected) if `kind` may not be received in `state`. */
  check(state: State, kind: number): void {
    if (((this.#masks.get(state) ?? 0) & (1 << kind)) !== 0) return;
    const name = (kindName(kind) ?? `kind ${kind}`).toUpperCase();
    throw new ProtocolError(ProtocolCode.unexpected, `${name} in state ${state}`);
  }
}

export const senderTable: StateTable<SenderState> = new StateTable(senderStates);
export const receiverTable: StateTable<ReceiverState> = new StateTable(receiverStates);
