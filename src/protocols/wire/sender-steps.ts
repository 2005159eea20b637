/** What the sender's session tells its driver, one step at a time: something to do, or something that happened. */
import type { FrameEntry, HeardOutcome, Notice, RefusalReason } from "../../frame.ts";
import type { Fate } from "../../ports.ts";

/** What the driver is to do next. */
export type SenderCommand =
  /**
   * Ask the source for up to `max` entries; call `listed`, `listedNothing` or `listingDone`. `idle`: there is nothing
   * to send before it; empty the outbox first and look for answers after it.
   */
  | {
      readonly type: "list";
      readonly sourceIndex: number;
      readonly max: number;
      readonly liveOnly: boolean;
      readonly idle: boolean;
    }
  /**
   * The receiver has a frame of this name, size and time: call `compared` with whether it is the same one. The step
   * comes again until then.
   */
  | {
      readonly type: "compare";
      readonly sourceIndex: number;
      readonly place: number;
      readonly entry: FrameEntry;
      readonly crc32: number;
    }
  /** Open the frame; call `frames.open` with its size, and fill what it returns as after `chunk`; or `frames.skip`. */
  | { readonly type: "open"; readonly sourceIndex: number; readonly entry: FrameEntry }
  /** Fill all of `frames.chunkView` from the open frame, and call `frames.commitChunk`; or `frames.skip`. */
  | { readonly type: "chunk"; readonly sourceIndex: number; readonly bytes: number }
  /** Read so many bytes of the open frame, which the receiver may have, and call `frames.proved`; or `frames.skip`. */
  | { readonly type: "prove"; readonly sourceIndex: number; readonly bytes: number }
  /** Close the open frame of this source: the receiver does not want its rest. */
  | { readonly type: "close"; readonly sourceIndex: number }
  /** The outbox must be emptied before anything else can be encoded. */
  | { readonly type: "flush" }
  /** Nothing to do until bytes arrive, a source is ready, or `tickAtMs`. */
  | { readonly type: "wait" };

/** What happened. */
export type SenderNotice =
  /** The connection before this one brought a frame further, though nothing may have been settled on it. */
  | { readonly type: "going-on" }
  /** FAREWELL has come: everything is said. */
  | { readonly type: "done" }
  /** `device`: what the receiver calls us. `keepsNothing`: its acks do not mean that anything is stored. */
  | {
      readonly type: "welcomed";
      readonly agent: string;
      readonly device: string;
      /** The receiver's keys as it says, the present one first. */
      readonly pins: readonly string[];
      readonly keepsNothing: boolean;
    }
  /** `outcome` undefined: it is a gap, recorded at the receiver. */
  | {
      readonly type: "settled";
      readonly sourceIndex: number;
      readonly entry: FrameEntry;
      readonly outcome: HeardOutcome | undefined;
      readonly crc32: number | undefined;
      readonly fate: Fate;
    }
  | {
      readonly type: "refused";
      readonly sourceIndex: number;
      readonly entry: FrameEntry;
      readonly reason: RefusalReason;
      readonly text: string;
    }
  /** The receiver does not do what it owes us, for a person; we wait, or go on without. */
  | { readonly type: "waiting"; readonly text: string }
  /** For our user; nothing else follows from it. */
  | { readonly type: "notice"; readonly notice: Notice; readonly text: string }
  /** `sourceIndex` undefined: all sources. */
  | { readonly type: "held"; readonly sourceIndex: number | undefined; readonly text: string }
  | { readonly type: "resumed"; readonly sourceIndex: number | undefined }
  | { readonly type: "source-ended"; readonly sourceIndex: number };

export type SenderStep = SenderCommand | SenderNotice;

export const waitStep: SenderCommand = { type: "wait" };
export const flushStep: SenderCommand = { type: "flush" };
