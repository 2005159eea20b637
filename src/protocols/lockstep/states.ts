/**
 * The state tables of lockstep/PROTOCOL.md sections 3 and 4: state, what happens, next state. The engines move by them
 * and a test compares them with the text. `server` is the receiver, `client` the sender.
 */
import type { Moves } from "../moves.ts";

export type ServerState =
  "opening" | "greeted" | "header" | "announced" | "payload" | "storing" | "next" | "over" | "failed";
export type ServerMove =
  "session-header" | "welcome" | "frame-header" | "header-ok" | "last-byte" | "final-ok" | "continue" | "over";

export type ClientState =
  "opening" | "greeting" | "ready" | "pausing" | "announcing" | "payload" | "confirming" | "over" | "failed";
export type ClientMove = "session-header" | "ok" | "first-frame" | "continue" | "frame-header" | "last-byte" | "over";

// `failure` is not listed: it leads from everywhere to `failed`.

export const serverMoves: Moves<ServerState, ServerMove> = {
  opening: { "session-header": "greeted" },
  greeted: { welcome: "header" },
  header: { "frame-header": "announced", over: "over" },
  announced: { "header-ok": "payload" },
  payload: { "last-byte": "storing" },
  storing: { "final-ok": "next" },
  next: { continue: "header", over: "over" },
  over: {},
  failed: {},
};

export const clientMoves: Moves<ClientState, ClientMove> = {
  opening: { "session-header": "greeting" },
  greeting: { ok: "ready" },
  ready: { "first-frame": "announcing", continue: "pausing", over: "over" },
  pausing: { "frame-header": "announcing" },
  announcing: { ok: "payload" },
  payload: { "last-byte": "confirming" },
  confirming: { ok: "ready" },
  over: {},
  failed: {},
};
