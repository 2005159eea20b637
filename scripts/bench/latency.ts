/**
 * How long a live frame takes: from the moment that the camera hands it over to the moment that the sender knows it to
 * be stored. Senders and cameras are in this process, the receiver is the compiled executable; so there is one clock,
 * and the way of the ack is in the figure. With many cameras each has a sender and a connection of its own, as if it
 * were another device.
 */
import { join } from "node:path";
import { SourceError } from "../../src/errors.ts";
import type { FrameEntry, Outcome } from "../../src/frame.ts";
import { runSender, type SenderRun } from "../../src/pipeline/send.ts";
import type { Listed, ListedFrame, OpenedFrame, Source } from "../../src/ports.ts";
import type { SyncMode } from "./contender.ts";
import { compareContent } from "./content.ts";
import { percentile } from "./figures.ts";
import { freePort, type SideUsage, type Stage } from "./stage.ts";

export interface LatencyShape {
  /** As `--set` takes it. */
  readonly name: string;
  readonly cameras: number;
  /** Of each camera. */
  readonly framesPerSecond: number;
  readonly frameBytes: number;
  /** Of each camera, those that are counted. */
  readonly frames: number;
  /** Of each camera, sent before as fast as they go, so that both ends are as warm as after a minute of use. */
  readonly warmUpFrames: number;
}

export const latencyShapes: readonly LatencyShape[] = [
  { name: "latency", cameras: 1, framesPerSecond: 30, frameBytes: 100_000, frames: 300, warmUpFrames: 2_000 },
  { name: "senders", cameras: 500, framesPerSecond: 2, frameBytes: 20_000, frames: 20, warmUpFrames: 0 },
];

/** A second of at most 20 cameras. */
export function quickShape(shape: LatencyShape): LatencyShape {
  return { ...shape, cameras: Math.min(shape.cameras, 20), frames: shape.framesPerSecond, warmUpFrames: 0 };
}

/** At the camera's pace, behind the warm-up, and not counted either. */
const settlingSeconds = 0.5;
/** Warm-up frames that are handed over at once. */
const burstFrames = 20;
/** Many times what it takes to open a thousand connections. */
const retryForMs = 5_000;

export interface Latency {
  readonly sync: SyncMode;
  readonly shape: LatencyShape;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** How far behind its time a frame was emitted, because this process was busy; not part of the latency. */
  readonly lateP99Ms: number;
  /** Of this process: all cameras and senders. */
  readonly senderCpuSeconds: number;
  readonly receiver: SideUsage | undefined;
  /** Every frame is at the receiver with its bytes. */
  readonly verified: true;
}

interface EmittedFrame {
  readonly bytes: Uint8Array;
  readonly emittedMs: number;
}

/** A camera: frames wait here, in memory, until they are settled. */
class CameraSource implements Source {
  readonly name = "camera";
  readonly live = true;
  readonly device: string;
  /** How long each frame took that was stored, in that order. */
  readonly waitedMs: number[] = [];
  /** CRC-32 of each frame that was emitted. */
  readonly checksums: Map<string, number> = new Map<string, number>();
  onReady?: () => void;
  readonly #frames = new Map<string, EmittedFrame>();
  #unlisted: ListedFrame[] = [];
  #over = false;

  constructor(device: string) {
    this.device = device;
  }

  emit(name: string, bytes: Uint8Array): void {
    this.checksums.set(name, Bun.hash.crc32(bytes));
    this.#frames.set(name, { bytes, emittedMs: performance.now() });
    this.#unlisted.push({ name, bytes: bytes.length, capturedNs: BigInt(Date.now()) * 1_000_000n, live: true });
    this.onReady?.();
  }

  /** Resolves when all of it is stored. */
  async warmUp({ warmUpFrames, frameBytes }: LatencyShape): Promise<void> {
    for (let index = 0; index < warmUpFrames; index += 1) {
      this.emit(nameOf(index), makeFrame(frameBytes, index));
      if ((index + 1) % burstFrames === 0 || index + 1 === warmUpFrames) await this.#allSettled();
    }
  }

  async #allSettled(): Promise<void> {
    while (this.#frames.size > 0) await Bun.sleep(1);
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
    const bytes = this.#frames.get(entry.name)?.bytes;
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
    const frame = this.#frames.get(entry.name);
    this.#frames.delete(entry.name);
    if (frame !== undefined && outcome === "stored") this.waitedMs.push(performance.now() - frame.emittedMs);
  }

  dispose(): void {
    this.#frames.clear();
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

/** Throws if a frame is not stored as it was sent. The stage is closed then, and otherwise too. */
export async function measureLatency({ executable, sync, shape, dest, stage }: LatencyJob): Promise<Latency> {
  const port = freePort();
  const receive = ["--receive", `127.0.0.1:${port}`, "--out", dest, "--sync", sync, "--quiet"];
  stage.start("receiver", [executable, ...receive]);
  await stage.listening(port);

  const cameras = Array.from({ length: shape.cameras }, (_, index) => new CameraSource(`device-${index}`));
  const runs = cameras.map((camera) => connect(camera, port));
  const settling = Math.ceil(settlingSeconds * shape.framesPerSecond);
  const lateMs: number[] = [];
  let senderCpu = process.cpuUsage();
  try {
    const allStored = stage.unlessBroken(Promise.all(runs.map(({ run }) => succeeded(run))));
    await Promise.race([Promise.all(runs.map(({ connected }) => connected)), allStored]);
    for (const camera of cameras) await Promise.race([camera.warmUp(shape), allStored]);
    const startedMs = performance.now();
    const emit = async (firstRound: number, rounds: number): Promise<void> => {
      for (let index = firstRound * cameras.length; index < (firstRound + rounds) * cameras.length; index++) {
        // Each by the clock, so that a late one does not delay the next; the cameras take turns, so their frames are
        // spread evenly over the time from one frame of a camera to its next.
        const dueMs = startedMs + (index * 1000) / (shape.framesPerSecond * cameras.length);
        await Promise.race([Bun.sleep(Math.max(0, dueMs - performance.now())), allStored]);
        lateMs.push(performance.now() - dueMs);
        cameras[index % cameras.length]?.emit(nameOf(shape.warmUpFrames + index), makeFrame(shape.frameBytes, index));
      }
    };
    await emit(0, settling);
    senderCpu = process.cpuUsage();
    await stage.time(async () => {
      await emit(settling, shape.frames);
      for (const camera of cameras) camera.end();
      await allStored;
    });
    senderCpu = process.cpuUsage(senderCpu);
  } finally {
    for (const { run } of runs) run.stop();
    await stage.close();
  }
  for (const { device, name, checksums, waitedMs } of cameras) {
    const lost = checksums.size - waitedMs.length;
    if (lost > 0) throw new Error(`${lost} frames of ${device} were not stored`);
    compareContent(join(dest, device, name), [...checksums.keys()], checksums);
  }
  const counted = cameras.flatMap(({ waitedMs }) => waitedMs.slice(shape.warmUpFrames + settling));
  return {
    sync,
    shape,
    p50Ms: percentile(counted, 0.5),
    p90Ms: percentile(counted, 0.9),
    p99Ms: percentile(counted, 0.99),
    maxMs: Math.max(...counted),
    lateP99Ms: percentile(lateMs.slice(settling * cameras.length), 0.99),
    senderCpuSeconds: (senderCpu.user + senderCpu.system) / 1e6,
    receiver: stage.usage("receiver"),
    verified: true,
  };
}

function connect(camera: CameraSource, port: number): { readonly run: SenderRun; readonly connected: Promise<void> } {
  const { promise: connected, resolve } = Promise.withResolvers<void>();
  const run = runSender({
    host: "127.0.0.1",
    port,
    device: camera.device,
    agent: "bench",
    sources: [camera],
    order: "oldest",
    rateMax: undefined,
    lockstep: false,
    retryForMs,
    onEvent: ({ event }) => {
      if (event === "connected") resolve();
    },
  });
  return { run, connected };
}

/** Resolves when everything was sent and acknowledged; throws if it was not. */
async function succeeded(run: SenderRun): Promise<void> {
  const { status, error } = await run.done;
  if (status !== 0) throw error ?? new Error(`a sender ended with status ${status}`);
}

/** In the order of time, as cameras name their frames. */
function nameOf(index: number): string {
  return `${String(index).padStart(8, "0")}.bin`;
}

/** No two have the same bytes, so that frames that were mixed up would be noticed. */
function makeFrame(bytes: number, index: number): Uint8Array {
  const frame = new Uint8Array(bytes).fill(index & 0xff);
  new DataView(frame.buffer).setUint32(0, index);
  return frame;
}
