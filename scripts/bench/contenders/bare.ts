/**
 * The limit: the same files over one connection by the least program that can do it, on our runtime and in C. These two
 * check, record and acknowledge nothing, so what is between them and `bare-safe`, which does, is the price of that; and
 * what is between that and framepipe is ours.
 */
import { join } from "node:path";
import { type Contender, movedAll } from "../contender.ts";
import { freePort } from "../stage.ts";
import { warmUp } from "../warm-up.ts";

const folder = join(import.meta.dir, "../bare");

interface BareOptions {
  readonly name: string;
  readonly guarantees: string;
  readonly safe?: boolean;
  missing(): string | undefined;
  /** The command that runs it. `scratch` is empty. */
  make(scratch: string): string[];
  /** It gets faster as it runs. */
  readonly warmsUp: boolean;
}

function noneIn(language: string): string {
  return `none: a program of a page in ${language}, no checksum, no catalogue, one answer at the end`;
}

function bare({ name, guarantees, safe = false, missing, make, warmsUp }: BareOptions): Contender {
  return {
    name,
    role: "reference",
    safe,
    guarantees,
    kinds: ["directory"],
    missing,
    async run(job) {
      const { set, dest, scratch, stage } = job;
      const program = make(scratch);
      const port = freePort();
      stage.start("receiver", [...program, "receive", String(port), dest]);
      await stage.listening(port);
      const send = (from: string): string[] => [...program, "send", String(port), from];
      const runs = warmsUp ? await warmUp(job, send) : 0;
      await stage.time(() => stage.start("sender", send(set.folder)).succeeded());
      return movedAll(set, join(dest, String(runs)));
    },
  };
}

export const bareBun: Contender = bare({
  name: "bare-bun",
  guarantees: noneIn("TypeScript on Bun"),
  missing: () => undefined,
  make: () => [process.execPath, join(folder, "bare.ts")],
  warmsUp: true,
});

export const bareSafe: Contender = bare({
  name: "bare-safe",
  guarantees:
    "each frame checked by checksum, recorded, acknowledged when stored: two pages of TypeScript on Bun; " +
    "resumes nothing",
  safe: true,
  missing: () => undefined,
  make: () => [process.execPath, join(folder, "bare-safe.ts")],
  warmsUp: true,
});

/** Debian's name for the compiler, whichever is installed. */
const compiler = Bun.which("cc");

export const bareC: Contender = bare({
  name: "bare-c",
  guarantees: noneIn("C"),
  missing: () => (compiler === null || process.platform !== "linux" ? "a C compiler, on Linux" : undefined),
  make: (scratch) => {
    const program = join(scratch, "bare");
    const result = Bun.spawnSync([compiler ?? "cc", "-O2", "-o", program, join(folder, "bare.c")]);
    if (!result.success) throw new Error(`cc: ${result.stderr.toString()}`);
    return [program];
  },
  warmsUp: false,
});
