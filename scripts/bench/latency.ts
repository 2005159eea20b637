/**
 * How long a live frame takes: from the moment that the camera hands it over to the moment that the sender knows it to
 * be stored. Sender and camera are in this process, the receiver is the compiled executable; so there is one clock, and
 * the way of the ack is in the figure.
 */
import { join } from "node:path";
import { SourceError } from "../../src/errors.ts";
import type { FrameEntry, Outcome } from "../../src/frame.ts";
import { runSender } from "../../src/pipeline/send.ts";
import type { Listed, ListedFrame, OpenedFrame, Source } from "../../src/ports.ts";
import { compareContent } from "./content.ts";
import type { SyncMode } from "./contender.ts";
import { percentile } from "./figures.ts";
import { freePort, type Stage } from "./stage.ts";

export interface LatencyShape {
  readonly framesPerSecond: number;
  readonly frameBytes: number;
  /** Frames that are counted. */
  readonly frames: number;
}

export const latencyShape: LatencyShape = { framesPerSecond: 30, frameBytes: 100_000, frames: 300 };
export const quickLatencyShape: LatencyShape = { ...latencyShape, frames: 30 };
/** Sent first and not counted: code and connections warm up. */
const warmUpFrames = 15;

export interface Latency {
  readonly sync: SyncMode;
  readonly shape: LatencyShape;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Every frame is at the receiver with its bytes. */
  readonly verified: true;
}

/** A camera: frames wait here, in memory, until they are settled. */
class CameraSource implements Source {
  readonly name = "camera";
  readonly live = true;
  onReady?: () => void;
  readonly #bytesByName = new Map<string, Uint8Array>();
  #unlisted: ListedFrame[] = [];
  #over = false;
  readonly #onSettled: (name: string, outcome: Outcome | undefined) => void;

  constructor(onSettled: (name: string, outcome: Outcome | undefined) => void) {
    this.#onSettled = onSettled;
  }

  emit(name: string, bytes: Uint8Array): void {
    this.#bytesByName.set(name, bytes);
    this.#unlisted.push({ name, bytes: bytes.length, capturedNs: BigInt(Date.now()) * 1_000_000n, live: true });
    this.onReady?.();
  }

  /** No more frames. */
  end(): void {
    this.#over = true;
    this.onReady?.();
  }

  list(max: number): Listed[] | undefined {
    if (this.#over && this.#unlisted.length === 0) return undefined;
    return this.#unlisted.splice(0, max);
  }

  open(entry: FrameEntry): OpenedFrame {
    const bytes = this.#bytesByName.get(entry.name);
    if (bytes === undefined) throw new SourceError("vanished", "settled already");
    let at = 0;
    return {
      bytes: bytes.length,
      read: (into) => {
        const piece = bytes.subarray(at, at + into.length);
        into.set(piece);
        at += piece.length;
        return piece.length;
      },
      close: () => undefined,
    };
  }

  settled(entry: FrameEntry, outcome: Outcome | undefined): void {
    this.#bytesByName.delete(entry.name);
    this.#onSettled(entry.name, outcome);
  }

  dispose(): void {
    this.#bytesByName.clear();
  }
}

export interface LatencyJob {
  readonly executable: string;
  readonly sync: SyncMode;
  readonly shape: LatencyShape;
  /** An empty directory. */
  readonly dest: string;
  readonly stage: Stage;
}

/** Throws if a frame is not stored as it was sent. */
export async function measureLatency({ executable, sync, shape, dest, stage }: LatencyJob): Promise<Latency> {
  const port = freePort();
  const receive = ["--receive", `127.0.0.1:${port}`, "--out", dest, "--sync", sync, "--quiet"];
  stage.start("receiver", [executable, ...receive]);
  await stage.listening(port);

  const emittedMs = new Map<string, number>();
  const waitedMs: number[] = [];
  const camera = new CameraSource((name, outcome) => {
    if (outcome !== "stored") throw new Error(`${name} was not stored: ${outcome ?? "a gap"}`);
    waitedMs.push(performance.now() - (emittedMs.get(name) ?? Number.NaN));
  });
  const connected = Promise.withResolvers<void>();
  const run = runSender({
    host: "127.0.0.1",
    port,
    device: "bench",
    agent: "bench",
    sources: [camera],
    order: "oldest",
    rateMax: undefined,
    lockstep: false,
    retryForMs: 5_000,
    onEvent: ({ event }) => {
      if (event === "connected") connected.resolve();
    },
  });
  const checksums = new Map<string, number>();
  try {
    await stage.unlessBroken(connected.promise);
    const startedMs = performance.now();
    for (let index = 0; index < warmUpFrames + shape.frames; index++) {
      const name = `${index}.bin`;
      const bytes = new Uint8Array(shape.frameBytes).fill(index & 0xff);
      checksums.set(name, Bun.hash.crc32(bytes));
      // Each by the clock, so that a late one does not delay the next.
      const dueMs = startedMs + (index * 1000) / shape.framesPerSecond;
      await stage.unlessBroken(Bun.sleep(Math.max(0, dueMs - performance.now())));
      emittedMs.set(name, performance.now());
      camera.emit(name, bytes);
    }
    camera.end();
    const { status, error } = await stage.unlessBroken(run.done);
    if (status !== 0) throw error ?? new Error(`the sender ended with status ${status}`);
  } finally {
    run.stop();
  }
  compareContent(join(dest, "bench", camera.name), [...checksums.keys()], checksums);
  const counted = waitedMs.slice(warmUpFrames);
  return {
    sync,
    shape,
    p50Ms: percentile(counted, 0.5),
    p90Ms: percentile(counted, 0.9),
    p99Ms: percentile(counted, 0.99),
    maxMs: Math.max(...counted),
    verified: true,
  };
}
