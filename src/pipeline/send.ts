/**
 * The sender's use case: sources go to one receiver over one connection at a time, until everything is settled.
 */
import { formatAddress } from "../address.ts";
import type { SenderEvent, SourceProgress } from "../events.ts";
import type { SenderTrust, Source } from "../ports.ts";
import type { SendingOrder } from "../protocols/source-ledger.ts";
import { systemClock } from "../system/system-clock.ts";
import { dialer } from "../transport/connect.ts";
import { LockstepSending } from "./sending-lockstep.ts";
import { Sending, type SenderResult, type SenderTrouble } from "./sending.ts";

export type { SenderResult } from "./sending.ts";

export interface SenderRunOptions {
  readonly host: string;
  readonly port: number;
  /** Empty, with `trust` only: as the receiver calls it. */
  readonly device: string;
  /** With a key, and keys that the receiver may have. Absent: plain TCP. */
  readonly trust?: SenderTrust | undefined;
  /** There will be more to send: who is refused tries again. */
  readonly goesOn?: boolean;
  /** Program and version, for the peer's log. */
  readonly agent: string;
  readonly sources: readonly Source[];
  /** Which unsent frame goes first. */
  readonly order: SendingOrder;
  /** Cap on the link, in bytes per millisecond; undefined: none. */
  readonly rateMax: number | undefined;
  /** What to do with a receiver that keeps nothing. */
  readonly ifNothingIsKept?: "send" | "wait" | "end";
  /** A larger frame is named and not sent. */
  readonly frameBytesMax?: number | undefined;
  /** Speak the article's protocol: always the oldest first, and nothing but its own pace. */
  readonly lockstep: boolean;
  /** How long to try without a connection; undefined: for ever. */
  readonly retryForMs: number | undefined;
  /** Frames that are stored are events, too, which costs a little for each. */
  readonly eachFrame?: boolean;
  readonly onEvent: (event: SenderEvent) => void;
}

export interface SenderRun {
  readonly progress: readonly SourceProgress[];
  /** What keeps frames from being stored, as a word for health checks; undefined: nothing. */
  trouble(): SenderTrouble | undefined;
  /** Finish what is in hand, say what is left. */
  stop(): void;
  readonly done: Promise<SenderResult>;
}

export function runSender(options: SenderRunOptions): SenderRun {
  const {
    host,
    port,
    device,
    agent,
    sources,
    order,
    rateMax,
    ifNothingIsKept = "send",
    frameBytesMax,
    retryForMs,
    eachFrame = false,
    trust,
    goesOn = false,
    onEvent,
  } = options;
  const peer = formatAddress(host, port);
  const dial = dialer(host, port, trust);
  const { promise: done, resolve: onDone } = Promise.withResolvers<SenderResult>();
  const common = {
    peer,
    dial,
    clock: systemClock,
    random: Math.random,
    sources,
    frameBytesMax,
    retryForMs,
    eachFrame,
    onEvent,
    onDone,
  };
  const sending = options.lockstep
    ? new LockstepSending(common)
    : new Sending({
        ...common,
        order,
        rateMax,
        ifNothingIsKept,
        session: crypto.randomUUID().replaceAll("-", ""),
        device,
        trust,
        goesOn,
        agent,
      });
  sending.start();
  return { progress: sending.progress, trouble: () => sending.trouble, stop: () => sending.stop(), done };
}
