/**
 * The limit: the same files over one connection by the least program that can do it, on our runtime and in C. Neither
 * checks, records or acknowledges anything, so what is between them and framepipe is the price of that.
 */
import { join } from "node:path";
import { type Contender, movedAll } from "../contender.ts";
import { freePort } from "../stage.ts";
import { makeWarmUp } from "../warm-up.ts";

const folder = join(import.meta.dir, "../bare");

interface BareOptions {
  readonly name: string;
  readonly language: string;
  missing(): string | undefined;
  /** The command that runs it. `scratch` is empty. */
  make(scratch: string): string[];
  /** How often frames go to the receiver before the time counts. */
  readonly warmUps: number;
}

function bare({ name, language, missing, make, warmUps }: BareOptions): Contender {
  return {
    name,
    role: "reference",
    guarantees: `none: a program of a page in ${language}, no checksum, no catalogue, one answer at the end`,
    kinds: ["directory"],
    missing,
    async run({ set, dest, scratch, quick, stage }) {
      const program = make(scratch);
      const port = freePort();
      stage.start("receiver", [...program, "receive", String(port), dest]);
      await stage.listening(port);
      const send = (from: string): string[] => [...program, "send", String(port), from];
      const runs = quick ? Math.min(warmUps, 1) : warmUps;
      const warmUp = makeWarmUp(scratch);
      for (let at = 0; at < runs; at += 1) await stage.start("helper", send(warmUp)).succeeded();
      await stage.time(() => stage.start("sender", send(set.folder)).succeeded());
      return movedAll(set, join(dest, String(runs)));
    },
  };
}

export const bareBun: Contender = bare({
  name: "bare-bun",
  language: "TypeScript on Bun",
  missing: () => undefined,
  make: () => [process.execPath, join(folder, "bare.ts")],
  warmUps: 10,
});

/** Debian's name for the compiler, whichever is installed. */
const compiler = Bun.which("cc");

export const bareC: Contender = bare({
  name: "bare-c",
  language: "C",
  missing: () => (compiler === null || process.platform !== "linux" ? "a C compiler, on Linux" : undefined),
  make: (scratch) => {
    const program = join(scratch, "bare");
    const result = Bun.spawnSync([compiler ?? "cc", "-O2", "-o", program, join(folder, "bare.c")]);
    if (!result.success) throw new Error(`cc: ${result.stderr.toString()}`);
    return [program];
  },
  warmUps: 0,
});
