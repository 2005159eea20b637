/**
 * What a live stream costs a small machine: each program is given the same pictures through a pipe, at a camera's pace,
 * all of them at the same time, so that whatever else the machine does falls on all of them. And what framepipe takes
 * when it is connected and there is nothing to do.
 */
import { closeSync, linkSync, mkdirSync, readdirSync, readFileSync, write, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFrameSet } from "../demo-frames.ts";
import { findPython } from "./contenders/zeromq.ts";
import { type Child, freePort, type Stage } from "./stage.ts";

export interface LiveShape {
  /** As `--set` takes it. */
  readonly name: "live";
  readonly framesPerSecond: number;
  readonly frameBytes: number;
  /** Before it counts, and while it does. */
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export interface IdleShape {
  readonly name: "idle";
  /** Stored before. */
  readonly frames: number;
  /** After the last of them, before it counts, and while it does. */
  readonly restSeconds: number;
  readonly seconds: number;
}

export const liveShape: LiveShape = {
  name: "live",
  framesPerSecond: 30,
  frameBytes: 100_000,
  warmUpSeconds: 10,
  seconds: 30,
};
export const idleShape: IdleShape = { name: "idle", frames: 200_000, restSeconds: 30, seconds: 60 };

/** What one end took. */
export interface LiveSide {
  /** Of one core. */
  readonly cpuPercent: number;
  /** How often a thread of it was woken. */
  readonly wakeUpsPerSecond: number;
  /** Resident, at the end. */
  readonly bytes: number;
}

export interface LiveRow {
  readonly program: string;
  readonly guarantees: string;
  readonly sender: LiveSide;
  readonly receiver: LiveSide;
}

export interface LiveReport {
  readonly shape: LiveShape | IdleShape;
  readonly rows: readonly LiveRow[];
}

interface LiveJob {
  readonly executable: string;
  readonly stage: Stage;
  /** Empty. */
  readonly dest: string;
  readonly scratch: string;
}

interface Pair {
  readonly sender: Child;
  readonly receiver: Child;
}

interface Start extends LiveJob {
  readonly port: number;
  /** The pipe that the sender reads. */
  readonly stdin: number;
  readonly frameBytes: number;
}

interface LiveProgram {
  readonly name: string;
  readonly guarantees: string;
  missing?(): boolean;
  start(options: Start): Promise<Pair>;
}

const bareProgram = join(import.meta.dir, "bare/pipe.ts");

const pushProgram = `
import sys, zmq
address, size = sys.argv[1], int(sys.argv[2])
push = zmq.Context().socket(zmq.PUSH)
push.connect(address)
while True:
    frame = sys.stdin.buffer.read(size)
    if len(frame) < size:
        break
    push.send(frame, copy=False)
`;

const pullProgram = `
import sys, zmq
address, folder = sys.argv[1:]
pull = zmq.Context().socket(zmq.PULL)
pull.bind(address)
count = 0
while True:
    frame = pull.recv(copy=False)
    count += 1
    with open(f"{folder}/{count}", "wb", buffering=0) as file:
        file.write(frame.buffer)
`;

const programs: readonly LiveProgram[] = [
  {
    name: "framepipe",
    guarantees: "pictures found in the stream, checked, stored as files, recorded, acknowledged",
    async start({ executable, stage, dest, port, stdin }) {
      const receive = [executable, "--receive", `127.0.0.1:${port}`, "--out", dest, "--sync", "never", "--quiet"];
      const receiver = stage.start("receiver", receive);
      await stage.listening(port);
      const send = [executable, "--send", `127.0.0.1:${port}`, "--device", "bench", "--quiet", "--format", "jpeg"];
      return { receiver, sender: stage.start("sender", [...send, "camera=-"], { stdin }) };
    },
  },
  {
    name: "bare-bun",
    guarantees: "none: a page of TypeScript that copies the pipe to a socket, and cuts files of a known size",
    async start({ stage, dest, port, stdin, frameBytes }) {
      const bare = [process.execPath, bareProgram];
      const receiver = stage.start("receiver", [...bare, "receive", `${port}`, dest, `${frameBytes}`]);
      await stage.listening(port);
      return { receiver, sender: stage.start("sender", [...bare, "send", `${port}`], { stdin }) };
    },
  },
  {
    name: "socat",
    guarantees: "none: bytes from a pipe to one file",
    missing: () => Bun.which("socat") === null,
    async start({ stage, dest, port, stdin }) {
      const copy = ["socat", "-u", "-b", "65536"];
      const place = `CREATE:${join(dest, "stream")}`;
      const receiver = stage.start("receiver", [...copy, `TCP-LISTEN:${port},bind=127.0.0.1`, place]);
      await stage.listening(port);
      return { receiver, sender: stage.start("sender", [...copy, "STDIN", `TCP:127.0.0.1:${port}`], { stdin }) };
    },
  },
  {
    name: "zeromq",
    guarantees: "none: push to pull, python3-zmq, frames of a known size, one file each",
    missing: () => findPython() === undefined,
    async start({ stage, dest, scratch, port, stdin, frameBytes }) {
      const python = findPython() ?? "python3";
      const [push, pull] = [join(scratch, "push.py"), join(scratch, "pull.py")];
      writeFileSync(push, pushProgram);
      writeFileSync(pull, pullProgram);
      const address = `tcp://127.0.0.1:${port}`;
      const receiver = stage.start("receiver", [python, pull, address, dest]);
      await stage.listening(port);
      return { receiver, sender: stage.start("sender", [python, push, address, `${frameBytes}`], { stdin }) };
    },
  },
];

/** As `--only` takes them. */
export const livePrograms: readonly string[] = programs.map(({ name }) => name);

/** As `--quick` has them. */
export function quickLive<Shape extends LiveShape | IdleShape>(shape: Shape): Shape {
  const seconds = { seconds: 2 };
  return shape.name === "live"
    ? { ...shape, ...seconds, warmUpSeconds: 1 }
    : { ...shape, ...seconds, frames: 200, restSeconds: 1 };
}

/** Runs those of the programs that are chosen and installed. */
export async function measureLive(shape: LiveShape, only: readonly string[], job: LiveJob): Promise<LiveReport> {
  const { stage, dest, scratch } = job;
  const frames = join(scratch, "live");
  await makeFrameSet(frames, { kind: "jpeg", count: 1, bytes: shape.frameBytes });
  const frame = readFileSync(join(frames, readdirSync(frames)[0] ?? ""));
  const chosen = programs.filter(({ name, missing }) => only.includes(name) && missing?.() !== true);
  const pipes: number[] = [];
  try {
    const pairs: Pair[] = [];
    for (const program of chosen) {
      const own = join(dest, program.name);
      mkdirSync(own);
      const pipe = stage.pipe();
      pipes.push(pipe.write);
      const start = { ...job, dest: own, port: freePort(), stdin: pipe.read, frameBytes: frame.length };
      pairs.push(await program.start(start));
    }
    const camera = feed(pipes, frame, shape);
    const sides = await stage.unlessBroken(watch(pairs, shape.warmUpSeconds, shape.seconds));
    await stage.unlessBroken(camera);
    return {
      shape,
      rows: chosen.map(({ name, guarantees }, at) => ({ program: name, guarantees, ...sidesOf(sides, at) })),
    };
  } finally {
    for (const pipe of pipes) closeSync(pipe);
    await stage.close();
  }
}

/** Until the last frame was taken by all. Each goes to one pipe after the other, spread over the time. */
async function feed(pipes: readonly number[], frame: Uint8Array, shape: LiveShape): Promise<void> {
  const { framesPerSecond, warmUpSeconds, seconds } = shape;
  const startedMs = performance.now();
  const one = async (pipe: number, at: number): Promise<void> => {
    for (let count = 0; count < framesPerSecond * (warmUpSeconds + seconds); count += 1) {
      const dueMs = startedMs + ((count + at / pipes.length) * 1000) / framesPerSecond;
      await Bun.sleep(Math.max(0, dueMs - performance.now()));
      await writeAll(pipe, frame);
    }
  };
  await Promise.all(pipes.map(one));
}

async function writeAll(pipe: number, frame: Uint8Array): Promise<void> {
  for (let at = 0; at < frame.length;) {
    at += await new Promise<number>((resolve, reject) =>
      write(pipe, frame, at, frame.length - at, null, (error, count) =>
        error === null ? resolve(count) : reject(error),
      ),
    );
  }
}

/** A watching sender and its receiver, when everything was stored long ago. */
export async function measureIdle(
  shape: IdleShape,
  { executable, stage, dest, scratch }: LiveJob,
): Promise<LiveReport> {
  const source = join(scratch, "frames");
  await makeFrameSet(source, { kind: "jpeg", count: 1, bytes: 1_000 });
  const [first = ""] = readdirSync(source);
  for (let count = 1; count < shape.frames; count += 1) linkSync(join(source, first), join(source, `${count}-.jpg`));
  const port = freePort();
  try {
    const receive = [executable, "--receive", `127.0.0.1:${port}`, "--out", dest, "--sync", "never", "--quiet"];
    const receiver = stage.start("receiver", receive);
    await stage.listening(port);
    const send = [executable, "--send", `127.0.0.1:${port}`, "--device", "bench", "--quiet", "--watch"];
    const sender = stage.start("sender", [...send, `frames=${source}`]);
    const stored = join(dest, "bench", "frames");
    while (countOf(stored) < shape.frames) await stage.unlessBroken(Bun.sleep(500));
    const sides = await stage.unlessBroken(watch([{ sender, receiver }], shape.restSeconds, shape.seconds));
    const guarantees = `connected and watching, after ${shape.frames.toLocaleString("en-US")} frames`;
    return { shape, rows: [{ program: "framepipe", guarantees, ...sidesOf(sides, 0) }] };
  } finally {
    await stage.close();
  }
}

function countOf(folder: string): number {
  try {
    return readdirSync(folder).length;
  } catch {
    return 0;
  }
}

/** What each sender and each receiver takes, in this order. */
async function watch(pairs: readonly Pair[], afterSeconds: number, seconds: number): Promise<LiveSide[]> {
  const children = pairs.flatMap(({ sender, receiver }) => [sender, receiver]);
  await Bun.sleep(afterSeconds * 1000);
  const before = children.map((child) => ({ ...child.usageNow(), atMs: performance.now() }));
  await Bun.sleep(seconds * 1000);
  return children.map((child, index) => {
    const then = before[index];
    if (then === undefined) throw new RangeError("one for each child");
    const elapsedSeconds = (performance.now() - then.atMs) / 1000;
    const now = child.usageNow();
    return {
      cpuPercent: ((now.cpuSeconds - then.cpuSeconds) / elapsedSeconds) * 100,
      wakeUpsPerSecond: (now.wakeUps - then.wakeUps) / elapsedSeconds,
      bytes: now.residentBytes,
    };
  });
}

function sidesOf(sides: readonly LiveSide[], pair: number): Pick<LiveRow, "sender" | "receiver"> {
  const [sender, receiver] = sides.slice(2 * pair);
  if (sender === undefined || receiver === undefined) throw new RangeError("two for each pair");
  return { sender, receiver };
}
