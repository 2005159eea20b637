/**
 * Makes the executables.
 *
 *   bun run build                      dist/framepipe (framepipe.exe on Windows), for this machine
 *   bun run build --target linux-arm64   dist/framepipe-linux-arm64; may be repeated
 *   bun run build --all                every target, and dist/SHA256SUMS
 *
 * Bun for another target comes from the npm registry and is kept in Bun's cache. A target that cannot be had is named,
 * the others are made, and the exit status is 1.
 */
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { installDependencies, requireBun, root, version } from "./project.ts";

/** The machines that framepipe is made for. */
export const targets = [
  "linux-x64",
  "linux-arm64",
  "linux-x64-musl",
  "linux-arm64-musl",
  "darwin-x64",
  "darwin-arm64",
  "windows-x64",
  "windows-arm64",
] as const;
export type Target = (typeof targets)[number];

const dist = join(root, "dist");
/** The executable that `bun run build` makes for this machine. */
export const executable: string = join(dist, process.platform === "win32" ? "framepipe.exe" : "framepipe");

/** The commit of the checkout, `-dirty` if files differ from it; `unknown` where there is no checkout of our own. */
export function commit(): string {
  const top = git("rev-parse", "--show-prefix");
  const head = git("rev-parse", "--short", "HEAD");
  // A prefix means that the surrounding repository is someone else's: this tree came as an archive.
  if (top !== "" || head === undefined) return "unknown";
  return git("status", "--porcelain") === "" ? head : `${head}-dirty`;
}

function git(...args: string[]): string | undefined {
  if (Bun.which("git") === null) return undefined;
  const result = Bun.spawnSync(["git", ...args], { cwd: root, stdio: ["ignore", "pipe", "ignore"] });
  return result.success ? result.stdout.toString().trim() : undefined;
}

export interface Executable {
  /** Where it goes. On Windows, and for it, the name should end in `.exe`. */
  readonly outfile: string;
  /** Absent: this machine. */
  readonly target?: Target;
}

/**
 * Compiles `src/main.ts` into one executable. Throws if it does not compile or the target's Bun cannot be fetched.
 * What is in the place of `outfile` is replaced at once, so that a copy that is running is not disturbed.
 */
export async function buildExecutable({ outfile, target }: Executable): Promise<void> {
  mkdirSync(dirname(outfile), { recursive: true });
  const workshop = mkdtempSync(join(dirname(outfile), ".build-"));
  try {
    const result = await Bun.build({
      entrypoints: [join(root, "src", "main.ts"), join(root, "src", "system", "bulk-sync-worker.ts")],
      // Side by side, so that what starts the thread finds its program as it does in the source tree.
      naming: { entry: "[name].[ext]" },
      // Each mode is loaded when it is asked for: 2 to 3 ms of the start.
      splitting: true,
      compile: {
        ...(target === undefined ? {} : { target: `bun-${target}` }),
        outfile: join(workshop, basename(outfile)),
        // Otherwise `.env` and `bunfig.toml` of whatever directory it is started in would be read, and code there run.
        autoloadDotenv: false,
        autoloadBunfig: false,
        // Code is compiled to machine code when it is a hundred times as hot as usual. A sender's first second went
        // into compiling what ran for less than that: without, 5 to 14 % more frames. A receiver sets it back.
        jitPolicy: 100,
      },
      define: { BUILD_VERSION: JSON.stringify(version), BUILD_COMMIT: JSON.stringify(commit()) },
      // Names are kept: they are what a stack trace in a bug report shows.
      minify: { syntax: true, whitespace: true, identifiers: false },
      // Parsing is most of the start: 40 ms become 10. Byte code is only safe for the machine that makes it.
      ...(target === undefined ? { bytecode: true, format: "esm" as const } : {}),
      sourcemap: "inline",
    });
    if (!result.success) throw new AggregateError(result.logs, "does not compile");
    renameSync(join(workshop, basename(outfile)), outfile);
  } finally {
    rmSync(workshop, { recursive: true, force: true });
  }
}

/** Builds `executable` if it is absent or older than what it is made of. Returns its path. For tests and benchmarks. */
export async function freshExecutable(): Promise<string> {
  const built = statSync(executable, { throwIfNoEntry: false });
  const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => join(root, "src", path));
  const inputs = [...sources, join(root, "package.json"), join(root, "bun.lock"), import.meta.path];
  const newestMs = Math.max(...inputs.map((path) => statSync(path).mtimeMs));
  if (built === undefined || built.mtimeMs < newestMs) await buildExecutable({ outfile: executable });
  return executable;
}

function outfileOf(target: Target): string {
  return join(dist, `framepipe-${target}${target.startsWith("windows") ? ".exe" : ""}`);
}

/** Builds and says how it went. Returns whether it did. */
async function buildAndReport(what: Executable): Promise<boolean> {
  const startedMs = performance.now();
  try {
    await buildExecutable(what);
  } catch (error) {
    const reasons = error instanceof AggregateError && error.errors.length > 0 ? error.errors : [error];
    console.error(`error: ${what.target ?? "this machine"} was not built`);
    for (const reason of reasons) console.error(reason instanceof Error ? Bun.inspect(reason) : String(reason));
    return false;
  }
  const megabytes = (statSync(what.outfile).size / 1e6).toFixed(1);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`${what.outfile.replace(`${root}/`, "")}  ${megabytes} MB  ${seconds} s`);
  return true;
}

async function writeSums(files: readonly string[]): Promise<void> {
  const lines: string[] = [];
  for (const file of files) {
    const hash = new Bun.CryptoHasher("sha256").update(await Bun.file(file).bytes()).digest("hex");
    lines.push(`${hash}  ${basename(file)}\n`);
  }
  await Bun.write(join(dist, "SHA256SUMS"), lines.join(""));
}

function isTarget(name: string): name is Target {
  return (targets as readonly string[]).includes(name);
}

async function main(): Promise<number> {
  requireBun("build");
  const { values } = parseArgs({
    options: { all: { type: "boolean" }, target: { type: "string", multiple: true } },
  });
  const chosen: readonly string[] = values.all === true ? targets : (values.target ?? []);
  const unknown = chosen.filter((name) => !isTarget(name));
  if (unknown.length > 0) {
    console.error(`error: unknown target ${unknown.join(", ")}`);
    console.error(`hint: the targets are ${targets.join(", ")}`);
    return 2;
  }
  if ((await installDependencies()) !== 0) return 1;
  console.log(`framepipe ${version}, commit ${commit()}`);
  if (chosen.length === 0) return (await buildAndReport({ outfile: executable })) ? 0 : 1;
  const built: string[] = [];
  for (const target of chosen.filter(isTarget)) {
    if (await buildAndReport({ outfile: outfileOf(target), target })) built.push(outfileOf(target));
  }
  if (values.all === true) await writeSums(built);
  return built.length === chosen.length ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
