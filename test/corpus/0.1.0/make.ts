/**
 * Made this corpus, on Linux, with the executable of 0.1.0, and is kept to show how. It is no test.
 *
 *     bun test/corpus/0.1.0/make.ts EXECUTABLE [DESTINATION]
 *
 * DESTINATION, by default the folder of this file, gets all but this file and the README anew. Needs ffmpeg (two
 * pictures), strace (to kill a receiver inside a commit) and prlimit (to make a write a short one).
 */
import {
  cpSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Facts, type Kind, readFacts, storedFiles, summarize } from "../read.ts";

const executable = process.argv[2] ?? "";
const root = process.argv[3] ?? import.meta.dir;
const inputs = join(root, "inputs");
const work = mkdtempSync(join(tmpdir(), "framepipe-corpus-"));

// ---- inputs

/** Numbers that are the same everywhere, from a text. */
function* numbers(seed: string): Generator<number> {
  for (let state = Bun.hash.crc32(seed) || 1; ;) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state & 0xff;
  }
}

function noise(seed: string, bytes: number): Buffer {
  const from = numbers(seed);
  return Buffer.from(Array.from({ length: bytes }, () => Number(from.next().value)));
}

/** Has the parts of a JPEG, so that a stream of them is split; what a decoder would see is noise. */
function jpeg(seed: string, bytes: number): Buffer {
  const head = "ffd8ffe000104a46494600010100000100010000ffc0000b080010001001011100ffda0008010100003f00";
  const start = Buffer.from(head, "hex");
  const scan = noise(seed, bytes - start.length - 2).map((byte) => (byte === 0xff ? 0x7f : byte));
  return Buffer.concat([start, scan, Buffer.from("ffd9", "hex")]);
}

function png(seed: string, bytes: number): Buffer {
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
    const ends = Buffer.alloc(8);
    ends.writeUInt32BE(data.length, 0);
    ends.writeUInt32BE(Bun.hash.crc32(body), 4);
    return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
  };
  const size = Buffer.from("00000010000000100800000000", "hex");
  const parts = [chunk("IHDR", size), chunk("IDAT", noise(seed, bytes - 57)), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), ...parts]);
}

/** Halves, quarters and eighths of seconds, which every way of setting a file's time can say exactly. */
const mayFirst = Date.UTC(2026, 4, 1, 10) / 1000;
const maySecond = Date.UTC(2026, 4, 2, 23) / 1000;

function put(path: string, bytes: Uint8Array, seconds: number): void {
  const whole = join(inputs, path);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, bytes);
  utimesSync(whole, seconds, seconds);
}

function ffmpeg(...words: string[]): Buffer {
  const source = ["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=96x64:rate=1", "-frames:v", "1"];
  const made = Bun.spawnSync(["ffmpeg", ...source, ...words, "-f", "image2pipe", "-"]);
  if (!made.success) throw new Error(`ffmpeg: ${made.stderr}`);
  return made.stdout;
}

/** Links that lead nowhere or in a circle, which not every system can check out: made where they are needed. */
const links: Readonly<Record<string, string>> = {
  "visible-1/loop.jpg": "loop.jpg",
  "visible-1/gone.jpg": "nowhere.jpg",
};

/** A name that 0.1.0 did not send, and that not every system can hold. */
const backslash = "visible-1/back\\slash.jpg";

/** For as long as `step` takes. */
async function withOddities(step: () => Promise<void>): Promise<void> {
  for (const [path, to] of Object.entries(links)) symlinkSync(to, join(inputs, path));
  put(backslash, Buffer.from("back slash"), mayFirst);
  try {
    await step();
  } finally {
    for (const path of [...Object.keys(links), backslash]) rmSync(join(inputs, path));
  }
}

function makeInputs(): void {
  let at = 0;
  const next = (): number => mayFirst + (at += 0.125);
  for (let index = 1; index <= 10; index += 1)
    put(`visible-1/${index}.jpg`, jpeg(`v${index}`, 500 + 170 * index), next());
  put("visible-1/2026-05-01/Brücke 01.jpg", jpeg("b1", 1_501), next());
  put("visible-1/2026-05-01/Brücke 02.jpg", jpeg("b2", 1_502), next());
  put("visible-1/2026-05-01/日の出.png", png("sun", 900), next());
  put("visible-1/real/testsrc2.jpg", ffmpeg("-c:v", "mjpeg", "-q:v", "9"), next());
  put("visible-1/real/testsrc2.png", ffmpeg("-c:v", "png", "-pix_fmt", "gray"), next());
  // More than the receivers here take.
  put("visible-1/too-large.jpg", jpeg("large", 9_000), next());
  put("visible-1/vanishing.jpg", jpeg("vanishing", 1_234), next());
  put("visible-1/x-changing.jpg", jpeg("changing", 1_600), next());
  for (const name of ["1.jpg", "3.jpg", "2026-05-01/Brücke 01.jpg", "vanishing.jpg"]) {
    const path = join(inputs, "visible-1", name);
    put(`visible-2/${name}`, readFileSync(path), statSync(path).mtimeMs / 1000);
  }
  // The same bytes with another time: sent, and found to be there.
  put("visible-2/4.jpg", readFileSync(join(inputs, "visible-1/4.jpg")), next());
  put("visible-2/2.jpg", jpeg("another 2", 1_111), next());
  put("visible-2/11.jpg", jpeg("v11", 640), next());
  put("visible-2/12.jpg", jpeg("v12", 640), next());
  put("visible-3/2.jpg", jpeg("a third 2", 840), next());
  for (let index = 0; index < 8; index += 1)
    put(`infrared/2026-05-01/0${index}.raw`, noise(`i${index}`, 1_200), next());
  put("infrared/thumb.png", png("thumb", 700), next());
  // Names of the other device, other pictures.
  for (let index = 1; index <= 6; index += 1) put(`south/${index}.jpg`, jpeg(`s${index}`, 700 + 100 * index), next());
  put("south/2026-05-01/Brücke 01.jpg", jpeg("sb1", 1_501), next());
  for (let index = 0; index < 24; index += 1) {
    put(`night/${String(index).padStart(3, "0")}.jpg`, jpeg(`n${index}`, 1_000 + 50 * index), maySecond + index / 4);
  }
  // Frames of streams have no times of their own.
  for (let index = 0; index < 10; index += 1) put(`stream/${index}.jpg`, jpeg(`l${index}`, 800 + index), maySecond);
  for (let index = 0; index < 9; index += 1) put(`stream-raw/${index}.raw`, noise(`r${index}`, 1_200), maySecond);
}

function film(folder: string): Buffer {
  return Buffer.concat(storedFiles(join(inputs, folder)).map((name) => readFileSync(join(inputs, folder, name))));
}

// ---- processes

interface Event {
  readonly event: string;
  readonly [field: string]: unknown;
}

class Program {
  readonly events: Event[] = [];
  text = "";
  readonly child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly heard: Promise<void>;
  readonly stdout: Promise<string>;

  constructor(words: readonly string[]) {
    this.child = Bun.spawn([...words], { stdin: "pipe", stdout: "pipe", stderr: "pipe", cwd: work, env: shellOnly });
    this.stdout = new Response(this.child.stdout).text();
    this.heard = this.#listen();
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const piece of this.child.stderr) {
      const text = decoder.decode(piece, { stream: true });
      this.text += text;
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith("{")) this.events.push(JSON.parse(line) as Event);
    }
  }

  async until(holds: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + 20_000;
    while (!holds()) {
      if (performance.now() > deadline) throw new Error(`no ${what}; it said:\n${this.text}`);
      await Bun.sleep(2);
    }
  }

  async event(name: string): Promise<Event> {
    await this.until(() => this.events.some(({ event }) => event === name), name);
    return this.events.find(({ event }) => event === name) ?? { event: name };
  }

  async ends(status: number): Promise<this> {
    const ended = await this.child.exited;
    await this.heard;
    if (ended !== status) throw new Error(`status ${ended}, not ${status}; it said:\n${this.text}`);
    return this;
  }

  /** kill -9 */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.exited;
    await this.heard;
  }
}

const shellOnly = { PATH: process.env["PATH"] ?? "" };
const port = ((): number => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  listener.stop(true);
  return listener.port;
})();
const address = `127.0.0.1:${port}`;

async function receive(words: readonly string[]): Promise<Program> {
  const receiver = new Program([executable, "--receive", address, "--json", ...words]);
  await receiver.event("listening");
  return receiver;
}

/** Everything that is acknowledged is stored; SIGTERM. */
async function close(receiver: Program, status = 0): Promise<void> {
  receiver.child.kill("SIGTERM");
  await receiver.ends(status);
}

function send(device: string, sources: readonly string[], words: readonly string[] = []): Program {
  const given = sources.map((source) => source.replace("=", `=${inputs}/`));
  return new Program([executable, "--send", address, "--json", "--device", device, ...words, ...given]);
}

/** `frames` go into its standard input, which then ends. */
async function stream(device: string, source: string, frames: Uint8Array, words: readonly string[]): Promise<Program> {
  const sender = new Program([executable, "--send", address, "--json", "--device", device, ...words, `${source}=-`]);
  sender.child.stdin.write(frames);
  await sender.child.stdin.end();
  return sender;
}

// ---- destinations

/** A send that a test can run again. */
interface Again {
  readonly device: string;
  /** SOURCE=FOLDER, the folder below `inputs`. */
  readonly sources: readonly string[];
  readonly words?: readonly string[];
}

const rig = "rig-7";
const south = "südhang/kamera-2";
const limits = ["--max-frame", "8000"];
const visible1: Again = { device: rig, sources: ["visible=visible-1", "infrared/Wärme=infrared"] };
const visible2: Again = { device: rig, sources: ["visible=visible-2"] };
const visible3: Again = { device: rig, sources: ["visible=visible-3"] };
const southern: Again = { device: south, sources: ["visible=south"] };
const night: Again = { device: rig, sources: ["night=night"] };

async function sendWhole({ device, sources, words = [] }: Again, status: number): Promise<void> {
  await send(device, sources, words).ends(status);
}

/** A file was not read at the moment that was wanted. */
class Missed extends Error {}

/** A file that is taken away once it was offered, and one that never keeps its size: for the gaps they leave. */
async function sendVisible1(receiver: Program): Promise<void> {
  const vanishing = join(inputs, "visible-1/vanishing.jpg");
  const changing = join(inputs, "visible-1/x-changing.jpg");
  const [before, seconds] = [readFileSync(changing), statSync(changing).mtimeMs / 1000];
  const script = `const fd = require("fs").openSync(${JSON.stringify(changing)}, "r+");
    console.log("on"); for (let i = 0; ; i ^= 1) require("fs").ftruncateSync(fd, 1600 + i);`;
  const changer = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
  await changer.stdout.getReader().read();
  const sender = send(visible1.device, visible1.sources, ["--max-rate", "100kbit"]);
  await receiver.until(() => receiver.events.some(({ event }) => event === "session-started"), "session");
  await Bun.sleep(300);
  renameSync(vanishing, join(work, "vanishing.jpg"));
  await sender.ends(4);
  changer.kill("SIGKILL");
  await changer.exited;
  renameSync(join(work, "vanishing.jpg"), vanishing);
  writeFileSync(changing, before);
  ftruncateSync(openSync(changing, "r+"), before.length);
  utimesSync(changing, seconds, seconds);
  const reasons = sender.events.filter(({ event }) => event === "skipped").map(({ reason }) => reason);
  if (!reasons.includes("changing") || !reasons.includes("vanished")) throw new Missed(String(reasons));
}

/** The whole story of a destination that was closed in good order; again until it came out as it should. */
async function makeClosed(out: string): Promise<void> {
  for (;;) {
    try {
      return await tryClosed(out);
    } catch (error) {
      if (!(error instanceof Missed)) throw error;
      console.log(`again: ${error.message}`);
      rmSync(out, { recursive: true });
    }
  }
}

async function tryClosed(out: string): Promise<void> {
  // Senders that were there before the receiver. Three frames of 33 MB, padded with comments, are more than a sender
  // keeps in memory; each pushes out the one before it, and the first small one the last of them.
  const padding = Buffer.concat([Buffer.from("fffeffff", "hex"), Buffer.alloc(65_533)]);
  const padded = jpeg("huge", 1_000);
  const huge = Buffer.concat([
    padded.subarray(0, 2),
    ...Array.from({ length: 512 }, () => padding),
    padded.subarray(2),
  ]);
  const dropping = await stream(rig, "live", Buffer.concat([huge, huge, huge, film("stream")]), [
    "--when-behind",
    "drop-oldest",
  ]);
  const spool = join(work, `spool-${crypto.randomUUID()}`);
  const spoolWords = ["--when-behind", "spool", "--spool", spool, "--spool-limit", "10K"];
  const spooling = await stream(south, "spooled", film("stream"), spoolWords);
  await Bun.sleep(1_500);

  let receiver = await receive(["--out", out, ...limits]);
  await dropping.ends(4);
  await spooling.ends(4);
  await receiver.until(() => receiver.events.filter(({ event }) => event === "session-ended").length === 2, "ends");
  await close(receiver, 0);

  receiver = await receive(["--out", out, ...limits]);
  try {
    await withOddities(() => sendVisible1(receiver));
  } catch (error) {
    await close(receiver);
    throw error;
  }
  // Closes one of the gaps: `vanishing.jpg` is there again.
  await sendWhole(visible2, 0);
  await sendWhole(visible3, 0);
  await sendWhole(southern, 0);
  await sendSomeOfNight(receiver);
  await close(receiver);
}

/** A sender that is killed in the middle. */
async function sendSomeOfNight(receiver: Program): Promise<void> {
  const sender = send(night.device, night.sources, ["--fps", "20"]);
  await sender.event("connected");
  await Bun.sleep(400);
  await sender.kill();
  await receiver.event("connection-lost");
}

async function attached(pid: number, inject: string): Promise<Program> {
  const words = ["-e", `trace=${inject.split(":")[0]}`, "-e", `inject=${inject}`];
  const tracer = new Program(["strace", "-f", "-p", String(pid), ...words]);
  await tracer.until(() => /attached/.test(tracer.text), "strace");
  await Bun.sleep(300);
  return tracer;
}

/** Whole sessions, one whose sender was killed, and one in which the receiver is killed inside a commit. */
async function makeKilled(kind: Kind, out: string): Promise<void> {
  const receiver = await receive(["--out", out, ...limits]);
  await sendWhole(southern, 0);
  await withOddities(() => sendWhole(visible1, 4));
  await sendWhole(visible2, 0);
  await sendSomeOfNight(receiver);
  const { pid } = receiver.child;
  if (kind !== "directory") {
    // The write ends there, as on a full disk, and the receiver is killed before it does anything about it.
    Bun.spawnSync(["prlimit", "--pid", String(pid), `--fsize=${statSync(out).size + 30_001}`]);
  }
  const tracer = await attached(
    pid,
    kind === "directory" ? "renameat2:signal=SIGKILL:when=6" : "ftruncate:signal=SIGKILL",
  );
  const sender = send(night.device, night.sources);
  await receiver.child.exited;
  await receiver.heard;
  await sender.kill();
  await tracer.child.exited;
}

async function makeLayout(out: string): Promise<void> {
  const receiver = await receive(["--out", out, "--layout", "{date}/{source}/{name}", ...limits]);
  await sendWhole(visible2, 0);
  await sendWhole(southern, 0);
  await sendWhole(night, 0);
  await close(receiver);
}

async function makeLockstep(out: string): Promise<void> {
  const receiver = await receive(["--out", out, ...limits]);
  await sendWhole({ ...southern, words: ["--lockstep"] }, 0);
  await close(receiver);
}

async function makeSpool(spool: string): Promise<void> {
  const words = ["--when-behind", "spool", "--spool", spool];
  // The receiver refuses a frame, which stays in the spool under another name.
  const nowhere = await receive(["--out", "/dev/null", "--max-frame", "2000"]);
  await (await stream(rig, "visible", jpeg("refused", 2_500), words)).ends(4);
  await close(nowhere);
  // From here on no receiver is there.
  const visible = await stream(rig, "visible", film("stream"), words);
  const limited = ["--format", "raw:1200", "--spool-limit", "12K", ...words];
  const infrared = await stream(rig, "infrared/Wärme", film("stream-raw"), limited);
  await Bun.sleep(1_000);
  await visible.kill();
  await infrared.kill();
  // Killed when it would have given its fifth file the final name.
  const inject = ["-e", "trace=rename", "-e", "inject=rename:signal=SIGKILL:when=5"];
  const torn = new Program([
    "strace",
    "-f",
    ...inject,
    executable,
    "--send",
    address,
    "--device",
    rig,
    ...words,
    "torn=-",
  ]);
  torn.child.stdin.write(film("stream"));
  await torn.child.stdin.end();
  await torn.child.exited;
}

// ---- what must be found

interface Destination {
  readonly kind: Kind;
  readonly path: string;
  readonly receive: readonly string[];
  readonly again: readonly Again[];
}

const closedAgain = [visible1, visible2, visible3, southern, night];
const killedAgain = [southern, visible1, visible2, night];
const layoutWords = ["--layout", "{date}/{source}/{name}"];
const destinations: readonly Destination[] = [
  { kind: "directory", path: "directory/closed", receive: limits, again: closedAgain },
  { kind: "directory", path: "directory/killed", receive: limits, again: killedAgain },
  {
    kind: "directory",
    path: "directory/layout",
    receive: [...limits, ...layoutWords],
    again: [visible2, southern, night],
  },
  {
    kind: "directory",
    path: "directory/lockstep",
    receive: limits,
    again: [{ ...southern, words: ["--lockstep"] }],
  },
  { kind: "tar", path: "tar/closed.tar", receive: limits, again: closedAgain },
  { kind: "tar", path: "tar/killed.tar", receive: limits, again: killedAgain },
  { kind: "mcap", path: "mcap/closed.mcap", receive: limits, again: closedAgain },
  { kind: "mcap", path: "mcap/killed.mcap", receive: limits, again: killedAgain },
];

async function describe({ kind, path, receive: words, again }: Destination): Promise<object> {
  const place = join(root, path);
  const facts = readFacts(kind, place);
  const wrong = facts.frames.filter((frame) => facts.contents.get(frame.path) !== frame.crc32);
  if (wrong.length > 0) throw new Error(`${path}: ${wrong.length} frames are not what was recorded`);
  return {
    path,
    kind,
    receive: words,
    again,
    frames: facts.frames.length,
    ...(kind === "directory" ? await ofDirectory(place, facts) : { whole: facts.whole }),
    sources: summarize(facts),
  };
}

/** What is in a directory besides rows, and what `--verify` of 0.1.0 says of a copy. */
async function ofDirectory(place: string, { frames, whole }: Facts): Promise<object> {
  const known = new Set(frames.map(({ path }) => path));
  const copy = mkdtempSync(join(tmpdir(), "framepipe-"));
  cpSync(place, copy, { recursive: true });
  const verify = Bun.spawnSync([executable, "--verify", copy, "--json"], { env: shellOnly });
  const lines = verify.stdout.toString().trim().split("\n");
  const found = lines.map((line) => JSON.parse(line) as Event);
  rmSync(copy, { recursive: true });
  const count = (kind: string): number => found.filter(({ event }) => event === kind).length;
  const { gapFrames } = found.at(-1) ?? { event: "none" };
  return {
    whole,
    withoutRow: storedFiles(place).filter((path) => !known.has(path)),
    temporary: readdirSync(join(place, ".framepipe/tmp")).length,
    verify: {
      status: verify.exitCode,
      missing: count("missing"),
      changed: count("changed"),
      unknown: count("unknown"),
      gapFrames,
      unended: count("unended"),
    },
  };
}

function describeSpool(): object[] {
  const spool = join(root, "spool");
  return readdirSync(spool)
    .toSorted()
    .map((folder) => {
      const names = readdirSync(join(spool, folder)).toSorted();
      return {
        source: folder.replaceAll("%2F", "/"),
        frames: names.filter((name) => /^[^.].*\.\d+$/.test(name)).length,
        /** Dropped because of --spool-limit before the sender was killed; by the numbers in the names. */
        dropped: Math.min(...names.map((name) => Number(/-(\d{8})-/.exec(name)?.[1] ?? Infinity))),
        refused: names.filter((name) => name.endsWith(".refused")).length,
        unfinished: names.filter((name) => name === ".unfinished").length,
      };
    });
}

/** Git keeps no modification times, and capture times are such: nanoseconds, by path. */
function describeTimes(): Record<string, string> {
  const times: Record<string, string> = {};
  for (const folder of ["inputs", "directory", "spool"]) {
    for (const path of storedFiles(join(root, folder)).filter((name) => !name.includes("/.framepipe"))) {
      times[`${folder}/${path}`] = String(lstatSync(join(root, folder, path), { bigint: true }).mtimeNs);
    }
  }
  return times;
}

function writeJson(name: string, value: unknown): void {
  writeFileSync(join(root, name), `${JSON.stringify(value, undefined, 2)}\n`);
}

for (const folder of ["inputs", "directory", "tar", "mcap", "spool"])
  rmSync(join(root, folder), { recursive: true, force: true });
for (const folder of ["directory", "tar", "mcap"]) mkdirSync(join(root, folder), { recursive: true });
makeInputs();
for (const { kind, path } of destinations) {
  const out = join(root, path);
  const name = path.replace(/.*\//, "").replace(/\..*/, "");
  console.log(path);
  if (name === "closed") await makeClosed(out);
  else if (name === "killed") await makeKilled(kind, out);
  else if (name === "layout") await makeLayout(out);
  else await makeLockstep(out);
}
console.log("spool");
await makeSpool(join(root, "spool"));
const version = Bun.spawnSync([executable, "--version"], { env: shellOnly }).stdout.toString().trim();
const described: object[] = [];
for (const destination of destinations) described.push(await describe(destination));
writeJson("inputs.json", { links, times: describeTimes() });
writeJson("expected.json", {
  version,
  destinations: described,
  spool: { device: rig, sources: describeSpool() },
});
rmSync(work, { recursive: true });
