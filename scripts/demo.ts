/**
 * The main job, from nothing: installs, builds the executable, makes a demonstration set of two sources, sends it over
 * one connection, verifies what arrived, and compares it with what was sent. Everything stays in `dist/demo/`.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { executable } from "./build.ts";
import type { FrameSet } from "./demo-frames.ts";
import { makeFrameSet } from "./demo-frames.ts";
import { installDependencies, requireBun, root, run, shown } from "./project.ts";

const demo = join(root, "dist", "demo");
const captures = join(demo, "captures");
/** Far longer than it takes, so that a fault ends with a message and not with a reader who waits. */
const patienceMs = 120_000;

interface DemoSource {
  readonly name: string;
  readonly dir: string;
  readonly frames: FrameSet;
}

async function makeSources(): Promise<DemoSource[]> {
  const visible = join(demo, "visible");
  const infrared = join(demo, "infrared");
  return [
    { name: "visible", dir: visible, frames: await makeFrameSet(visible, { kind: "jpeg", count: 120, rate: 30 }) },
    { name: "infrared", dir: infrared, frames: await makeFrameSet(infrared, { kind: "png", count: 36, rate: 9 }) },
  ];
}

/** A port that was free a moment ago. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  listener.stop(true);
  return listener.port;
}

/** Both ends at once. The receiver's words come after the sender's, so that two progress displays do not mix. */
async function transfer(sources: readonly DemoSource[]): Promise<{ status: number; seconds: number }> {
  const address = `127.0.0.1:${freePort()}`;
  const receive = [executable, "--receive", address, "--out", captures, "--once"];
  const inputs = sources.map(({ name, dir }) => `${name}=${dir}`);
  const send = [executable, "--send", address, "--device", "demo", ...inputs];

  console.log(`\n$ ${shown(receive)} &`);
  const receiver = Bun.spawn(receive, {
    cwd: root,
    stdio: ["ignore", "inherit", "pipe"],
    timeout: patienceMs,
  });
  const receiverSays = new Response(receiver.stderr).text();
  console.log(`$ ${shown(send)}`);
  const startedMs = performance.now();
  const sender = Bun.spawn(send, { cwd: root, stdio: ["ignore", "inherit", "inherit"], timeout: patienceMs });
  const sent = await sender.exited;
  if (sent !== 0) receiver.kill();
  const received = await receiver.exited;
  const seconds = (performance.now() - startedMs) / 1000;
  process.stderr.write((await receiverSays).replace(/^(?=.)/gm, "receiver: "));
  return { status: sent !== 0 ? sent : received, seconds };
}

/** Names of the frames whose stored bytes are not those that were sent. */
function differences(sources: readonly DemoSource[]): string[] {
  const different: string[] = [];
  for (const { name, dir, frames } of sources) {
    for (const frame of frames.names) {
      const original = readFileSync(join(dir, frame));
      const stored = readStored(join(captures, "demo", name, frame));
      if (stored === undefined || !original.equals(stored)) different.push(`${name}/${frame}`);
    }
  }
  return different;
}

function readStored(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

async function main(): Promise<number> {
  requireBun("demo");
  for (const step of [installDependencies, () => run([process.execPath, "scripts/build.ts"])]) {
    const status = await step();
    if (status !== 0) return status;
  }

  rmSync(demo, { recursive: true, force: true });
  console.log("\nMaking a demonstration set in dist/demo");
  const sources = await makeSources();
  for (const { name, frames } of sources) {
    console.log(`  ${name}: ${frames.names.length} frames, ${(frames.bytes / 1e6).toFixed(1)} MB`);
  }

  const { status, seconds } = await transfer(sources);
  if (status !== 0) return failed(`the transfer ended with status ${status}`, status);
  const verified = await run([executable, "--verify", captures]);
  if (verified !== 0) return failed(`verify ended with status ${verified}`, verified);
  const different = differences(sources);
  if (different.length > 0) return failed(`not stored as they were sent: ${different.join(", ")}`, 1);

  const count = sources.reduce((sum, { frames }) => sum + frames.names.length, 0);
  const bytes = sources.reduce((sum, { frames }) => sum + frames.bytes, 0);
  console.log(
    `\n${count} frames of ${sources.length} sources, ${(bytes / 1e6).toFixed(1)} MB, over one connection in ` +
      `${seconds.toFixed(2)} s (start of the programs included), stored byte for byte as sent.` +
      "\nSee dist/demo/captures, and its catalogue in dist/demo/captures/.framepipe/catalogue.db.",
  );
  return 0;
}

function failed(message: string, status: number): number {
  console.error(`error: ${message}`);
  return status;
}

process.exitCode = await main();
