/**
 * What the scripts share: where the repository is, which Bun it wants, and how a step is run. Imports only what Bun
 * itself has, because `demo` and `check` start before anything is installed.
 */
import { join } from "node:path";
import manifest from "../package.json" with { type: "json" };

export const root: string = join(import.meta.dir, "..");
export const version: string = manifest.version;

/** Ends the script with `error:` and `hint:` lines if another Bun runs it than the one `package.json` pins. */
export function requireBun(script: string): void {
  const wanted = manifest.engines.bun;
  if (Bun.version === wanted) return;
  console.error(`error: this is Bun ${Bun.version}, and framepipe is built with Bun ${wanted}`);
  console.error(`hint: npx --yes bun@${wanted} run ${script}`);
  process.exit(2);
}

/** Installs exactly what the lock file names. Fast when there is nothing to do. Returns the exit status. */
export async function installDependencies(): Promise<number> {
  return run([process.execPath, "install", "--frozen-lockfile"]);
}

/** Runs a command in the root of the repository. Returns its exit status. */
export async function run(command: string[]): Promise<number> {
  console.log(`\n$ ${shown(command)}`);
  return Bun.spawn(command, { cwd: root, stdio: ["ignore", "inherit", "inherit"] }).exited;
}

/** Like `run`, but keeps the output to itself. For what is only worth reading when it fails. */
export async function runQuietly(command: string[]): Promise<{ status: number; output: string }> {
  const child = Bun.spawn(command, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const [status, stdout, stderr] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status, output: stdout + stderr };
}

/** A command as a reader would type it: `bun` for the Bun that runs this, paths from the root. */
export function shown(command: readonly string[]): string {
  return command.map((word) => (word === process.execPath ? "bun" : word.replace(`${root}/`, ""))).join(" ");
}
