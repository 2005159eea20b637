/** The whole program but for the process around it: from words and environment to an exit status. */
import { ExitStatus, SinkError, SourceError, UserError } from "../errors.ts";
import { checkLimits } from "../limits.ts";
import { pageWord } from "../live/page-messages.ts";
import { systemClock } from "../system/system-clock.ts";
import { type Command, parseArguments } from "./command.ts";
import { helpText } from "./help.ts";
import type { OptionValues } from "./option-table.ts";
import type { Environment } from "./parsed-options.ts";
import type { Shell } from "./shell.ts";
import { parseSwitch } from "../quantities.ts";
import { type DataStream, type MessageStream, OutputClosed, Terminal } from "./terminal.ts";
import { commit, version } from "./version.ts";

export interface ProgramOptions {
  /** Without the program's own name. */
  readonly words: readonly string[];
  readonly env: Environment;
  readonly stdout: DataStream;
  readonly stderr: MessageStream;
  readonly exitNow: (status: number) => never;
}

/** Resolves to the exit status. Never throws: whatever goes wrong has been said. */
export async function runProgram(options: ProgramOptions): Promise<number> {
  const { words, env, exitNow } = options;
  // Until the command is known, the wish for JSON is guessed, so that a complaint about it has the right form.
  let terminal = openTerminal(options, {
    json: words.includes("--json") || parseSwitch(env["FRAMEPIPE_JSON"] ?? "") === true,
    quiet: false,
    verbose: words.includes("--verbose"),
  });
  const fail = (error: unknown): number => reportFailure(terminal, error);
  process.on("uncaughtException", (error) => exitNow(fail(error)));
  process.on("unhandledRejection", (error) => exitNow(fail(error)));
  try {
    checkLimits();
    // Started by another framepipe, and talks to that alone.
    if (words.length === 1 && words[0] === pageWord) return await servePage();
    const command = parseArguments(words, env);
    if (command === "help" || command === "version") {
      terminal.data(command === "help" ? helpText().trimEnd() : `framepipe ${version} (${commit})`);
      return ExitStatus.ok;
    }
    terminal = openTerminal(options, command.values);
    return await runCommand(command, { terminal, exitNow, nowMs: () => performance.now() });
  } catch (error) {
    return fail(error);
  }
}

/** How to talk to the user. */
type OutputOptions = Pick<OptionValues, "json" | "quiet" | "verbose">;

function openTerminal({ stdout, stderr, env }: ProgramOptions, { json, quiet, verbose }: OutputOptions): Terminal {
  return new Terminal({ stdout, stderr, env, json, quiet, verbose, clock: systemClock });
}

async function servePage(): Promise<ExitStatus> {
  await (await import("../live/server/serve-page.ts")).servePage();
  return ExitStatus.ok;
}

/** A mode is loaded when it is asked for: a sender starts without SQLite and the sinks. */
async function runCommand(command: Command, shell: Shell): Promise<ExitStatus> {
  switch (command.mode) {
    case "send":
      return (await import("./send.ts")).send(command, shell);
    case "receive":
      return (await import("./receive.ts")).receive(command, shell);
    case "invite":
      return (await import("./invite.ts")).invite(command, shell);
    case "verify":
      return (await import("./verify.ts")).verify(command, shell);
    case "read":
      return (await import("./read.ts")).read(command, shell);
  }
}

/** Says what went wrong, and gives the status for it. Only a bug of ours is called unexpected. */
function reportFailure(terminal: Terminal, error: unknown): number {
  if (terminal.interactive) terminal.draw([]);
  terminal.sumUp();
  if (error instanceof OutputClosed) return ExitStatus.ok;
  if (error instanceof UserError) {
    terminal.error(error.message, error.hints);
    return error.status;
  }
  if (error instanceof SinkError || error instanceof SourceError) {
    terminal.error(error.message);
    return ExitStatus.failure;
  }
  const shown = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const trace = terminal.verbose && error instanceof Error ? (error.stack ?? "").split("\n").slice(1) : [];
  terminal.error(`unexpected: ${shown}`, [
    `this is a bug in framepipe ${version} (${commit}): please report it with these lines`,
    ...(trace.length > 0 ? trace.map((line) => line.trim()) : ["--verbose shows where it happened"]),
  ]);
  return ExitStatus.failure;
}
