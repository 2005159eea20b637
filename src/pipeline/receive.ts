/**
 * The receiver's use case: accept connections, store every frame of every session in one sink, until stopped or, with
 * `once`, until the first session has ended.
 */
import { ExitStatus, SinkError } from "../errors.ts";
import type { OriginProgress, ReceiverEvent } from "../events.ts";
import { spareFiles, stopMs, strangersMax, strangersPerAddressDefault, strangersShare } from "../limits.ts";
import type { Backlog, Dial, ReceiverTrust, SenderTrust, Sink, WatchFrame } from "../ports.ts";
import { openFilesMax } from "../system/open-files.ts";
import { systemClock } from "../system/system-clock.ts";
import { listen } from "../transport/listen.ts";
import { Gateway } from "./gateway.ts";
import { ReceiverHub } from "./receiver.ts";

export interface ReceiverRunOptions {
  readonly hostname: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly sink: Sink;
  /** Where it stores, for messages. */
  readonly out: readonly string[];
  /** Program and version, for the peer's log. */
  readonly agent: string;
  readonly frameBytesMax: number;
  readonly connectionsMax: number;
  /** With a key: only peers that prove one are let in. Absent: plain TCP. Disposed of when the run is done. */
  readonly trust?: ReceiverTrust | undefined;
  /** Of peers that are not let in yet, from one address; 0: any. */
  readonly perAddressMax?: number;
  /** Exit when the first session has ended. */
  readonly once: boolean;
  /** What is stored is handed on. Absent: it is no gateway. */
  readonly handingOn?: HandingOn | undefined;
  /** Frames that are stored are events, too, which costs a little for each. */
  readonly eachFrame?: boolean;
  /** Frames are shown to somebody on their way. Absent: to nobody. */
  readonly watchFrame?: WatchFrame | undefined;
  readonly onEvent: (event: ReceiverEvent) => void;
}

/** Of a gateway: to whom, and what. */
export interface HandingOn {
  /** For messages: `host:port`. */
  readonly peer: string;
  readonly dial: Dial;
  readonly trust?: SenderTrust;
  readonly backlog: Backlog;
}

export interface ReceiverResult {
  readonly status: ExitStatus;
  readonly error: Error | undefined;
}

export interface ReceiverRun {
  /** Where it listens, with the port that was really taken. */
  readonly address: string;
  /** Per device and source, updated in place. */
  readonly progress: ReadonlyMap<string, OriginProgress>;
  /** What keeps it from taking frames, as a word for health checks; undefined: nothing. */
  trouble(): "held" | "grants-unknown" | undefined;
  /** Connections of senders that were let in. */
  connections(): number;
  /** Of a gateway: what its upstream does not have. */
  upstream(): { readonly backlogFrames: number; readonly connected: boolean } | undefined;
  /** Commits and acknowledges what is complete, then ends. */
  stop(): void;
  readonly done: Promise<ReceiverResult>;
}

/** Throws UserError when the port cannot be had. The sink is disposed of when the run is done. */
export function runReceiver(options: ReceiverRunOptions): ReceiverRun {
  const { hostname, port, sink, out, agent, frameBytesMax, connectionsMax, once, eachFrame = false, onEvent } = options;
  const { trust, watchFrame, perAddressMax = strangersPerAddressDefault } = options;
  let finish!: (result: ReceiverResult) => void;
  const done = new Promise<ReceiverResult>((resolve) => {
    finish = resolve;
  });
  let stopping = false;
  const end = (status: ExitStatus, error?: Error): void => {
    if (stopping) return;
    stopping = true;
    listener.stop();
    hub.stop((unstoredFrames) => {
      drain(sink, async () => {
        await stopHandingOn();
        sink.dispose();
        trust?.dispose();
        if (unstoredFrames === 0) return finish({ status, error });
        const message = `${sink.place}: takes nothing; gave up after ${stopMs / 1000} s, ${unstoredFrames} not stored`;
        finish({ status: ExitStatus.failure, error: error ?? new SinkError(message, { retryable: false }) });
      });
    });
  };
  const { handingOn } = options;
  const gateway =
    handingOn && new Gateway({ ...handingOn, clock: systemClock, random: Math.random, newSession, agent, onEvent });
  const stopHandingOn = (): Promise<void> =>
    new Promise((resolve) => {
      if (gateway === undefined) resolve();
      else gateway.stop(resolve);
    });
  const filesMax = openFilesMax() ?? Number.POSITIVE_INFINITY;
  // Who waits at the door has files as well.
  const strangers =
    trust === undefined ? 0 : Math.max(1, Math.min(strangersMax, Math.floor(filesMax / strangersShare)));
  const hub = new ReceiverHub({
    sink,
    clock: systemClock,
    agent,
    frameBytesMax,
    // Without a file to write to, a connection is of no use to anybody. Every destination may have one for each frame.
    connectionsMax: Math.min(connectionsMax, Math.max(1, filesMax - strangers - spareFiles * out.length)),
    trust,
    perAddress: perAddressMax > 0,
    newSession,
    eachFrame,
    watchFrame,
    onEvent,
    onSessionEnd: (complete) => {
      if (once) end(complete ? ExitStatus.ok : ExitStatus.incomplete);
    },
    onFailure: (error) => end(ExitStatus.failure, error),
  });
  const door = trust && {
    identity: trust.identity,
    strangersMax: strangers,
    perAddressMax,
    onStranger: (peer: string, reason: string) => hub.refused(peer, reason),
  };
  const listener = listen({ hostname, port, accept: () => hub.accept() }, door);
  const { keepsNothing = false, remote: ackMeans } = sink.traits;
  const meaning = ackMeans === undefined ? {} : { ackMeans };
  onEvent({ event: "listening", address: listener.address, out, keepsNothing, ...meaning });
  hub.watch();
  gateway?.start();
  return {
    address: listener.address,
    progress: hub.tally.origins,
    trouble: () => {
      if (hub.heldFor !== undefined) return "held";
      return trust?.trouble === undefined ? undefined : "grants-unknown";
    },
    connections: () => hub.sendingCount,
    upstream: () => gateway && { backlogFrames: gateway.backlogFrames, connected: gateway.isConnected },
    stop: () => end(ExitStatus.ok),
    done,
  };
}

function newSession(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

/** Whoever is shown frames may see the last of them, if that does not take long. */
function drain(sink: Sink, done: () => Promise<void>): void {
  if (sink.drain === undefined) return void done();
  let left = false;
  const leave = (): void => {
    if (left) return;
    left = true;
    stopClock();
    void done();
  };
  const stopClock = systemClock.after(stopMs, leave);
  sink.drain(leave);
}
