/** The life of a frame at its sender, from its place in a listing until its number is settled (wire/PROTOCOL.md 3). */
import type { Moves } from "./moves.ts";

export type FrameState = "listed" | "offered" | "doubted" | "wanted" | "sent" | "gap" | "gap-sent" | "settled";

/**
 * - `offer`: its OFFER is written
 * - `want`: a verdict asks for it, or for its rest
 * - `have`: a verdict says that it is there, which is to be compared
 * - `differ`: it was compared, and what is there is another frame
 * - `send`: it is opened to be sent; what the receiver has of it may be compared first
 * - `again`: it was rejected, and is to be sent again
 * - `fail`: it cannot be read, or is refused for good
 * - `tell`: its GAP is written
 * - `settle`: it is stored, was there before, or its gap is recorded
 * - `cut`: the connection is gone
 */
export type FrameMove = "offer" | "want" | "have" | "differ" | "send" | "again" | "fail" | "tell" | "settle" | "cut";

/** A live frame begins as wanted, every other one as listed. */
export const frameMoves: Moves<FrameState, FrameMove> = {
  listed: { offer: "offered", fail: "gap", cut: "listed" },
  offered: { want: "wanted", have: "doubted", settle: "settled", fail: "gap", cut: "listed" },
  doubted: { settle: "settled", differ: "wanted", fail: "gap", cut: "listed" },
  wanted: { send: "sent", fail: "gap", cut: "listed" },
  sent: { settle: "settled", again: "wanted", fail: "gap", cut: "listed" },
  gap: { tell: "gap-sent", cut: "gap" },
  "gap-sent": { settle: "settled", cut: "gap" },
  settled: {},
};
