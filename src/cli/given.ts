/**
 * What was typed and what the environment adds, before anybody asks what it means: commander splits the words; here it
 * is decided which mode was chosen and which options belong to it, and every value keeps the name of the option or
 * variable it came from, so that a complaint can name it.
 */
import { Command as CommandLine, CommanderError } from "@commander-js/extra-typings";
import { UserError } from "../errors.ts";
import { parseSwitch } from "./values.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export type Mode = "send" | "receive" | "verify";

/** Options that take a value. */
export type ValueKey =
  | Mode
  | "device"
  | "include"
  | "format"
  | "name"
  | "order"
  | "whenBehind"
  | "spool"
  | "spoolLimit"
  | "maxRate"
  | "fps"
  | "retryFor"
  | "out"
  | "layout"
  | "sync"
  | "maxFrame"
  | "maxConnections"
  | "minFree";
/** Options that are there or not. */
export type SwitchKey =
  "watch" | "deleteSent" | "lockstep" | "once" | "insecure" | "json" | "quiet" | "verbose" | "help" | "version";
type Key = ValueKey | SwitchKey;

/** Every value is a list, in the order typed. */
type Parsed = { [K in ValueKey]?: string[] | undefined } & { [K in SwitchKey]?: true | undefined };

/** The options as commander sees them: every value a list of texts, in the order given. */
function commandLine() {
  const list = (text: string, before: string[] | undefined): string[] => [...(before ?? []), text];
  return new CommandLine("framepipe")
    .argument("[input...]")
    .option("--receive <address>", "", list)
    .option("--send <address>", "", list)
    .option("--verify <dir>", "", list)
    .option("--device <name>", "", list)
    .option("--include <glob>", "", list)
    .option("--watch")
    .option("--format <format>", "", list)
    .option("--name <template>", "", list)
    .option("--order <order>", "", list)
    .option("--when-behind <policy>", "", list)
    .option("--spool <dir>", "", list)
    .option("--spool-limit <size>", "", list)
    .option("--max-rate <rate>", "", list)
    .option("--fps <rate>", "", list)
    .option("--delete-sent")
    .option("--retry-for <duration>", "", list)
    .option("--lockstep")
    .option("--out <dest>", "", list)
    .option("--layout <template>", "", list)
    .option("--sync <mode>", "", list)
    .option("--max-frame <size>", "", list)
    .option("--max-connections <count>", "", list)
    .option("--min-free <size>", "", list)
    .option("--once")
    .option("--insecure")
    .option("--json")
    .option("--quiet")
    .option("--verbose")
    .option("--help")
    .option("--version")
    .helpOption(false)
    .exitOverride()
    .configureOutput({ writeOut: () => {}, writeErr: () => {} });
}

const modes = ["receive", "send", "verify"] as const satisfies readonly Mode[];
const everyMode: readonly Mode[] = modes;

/** The modes in which an option means something. */
const modesOf: Readonly<Record<Key, readonly Mode[]>> = {
  receive: ["receive"],
  send: ["send"],
  verify: ["verify"],
  device: ["send"],
  include: ["send"],
  watch: ["send"],
  format: ["send"],
  name: ["send"],
  order: ["send"],
  whenBehind: ["send"],
  spool: ["send"],
  spoolLimit: ["send"],
  maxRate: ["send"],
  fps: ["send"],
  deleteSent: ["send"],
  retryFor: ["send"],
  lockstep: ["send"],
  out: ["receive"],
  layout: ["receive"],
  sync: ["receive"],
  maxFrame: ["receive"],
  maxConnections: ["receive"],
  minFree: ["receive"],
  once: ["receive"],
  insecure: ["send", "receive"],
  json: everyMode,
  quiet: everyMode,
  verbose: everyMode,
  help: everyMode,
  version: everyMode,
};

/** Options that are planned. They are refused by name: to pass over `--key` would be worse than to stop. */
export const laterOptions: readonly string[] = ["--keygen", "--key", "--tls-cert", "--tls-key", "--tls-ca", "--http"];

/** The flags that are offered, as typed: for the test that compares them with the help. */
export function offeredFlags(): string[] {
  return commandLine().options.map((option) => option.long ?? "");
}

const helpHint = "framepipe --help lists the options and shows examples";

/** Throws UserError for unknown words, no mode or several, and options that are not this mode's or not yet there. */
export function readGiven(words: readonly string[], env: Environment): Given {
  const { parsed, inputs } = split(words);
  refuseLaterVariables(env);
  const mode = chooseMode(parsed, env);
  refuseOtherModes(parsed, mode);
  return new Given({ parsed, inputs, env, mode });
}

function split(words: readonly string[]): { parsed: Parsed; inputs: readonly string[] } {
  const line = commandLine();
  try {
    line.parse(words, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) throw splitError(error, words);
    throw error;
  }
  return { parsed: line.opts(), inputs: line.args };
}

/** Commander's complaint in our words. */
function splitError(error: CommanderError, words: readonly string[]): UserError {
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  const flag = quoted.split(/[ =]/, 1)[0] ?? "";
  if (error.code === "commander.optionMissingArgument") return new UserError(`${flag} needs a value`, [helpHint]);
  if (laterOptions.includes(flag)) return notYet(flag);
  if (offeredFlags().includes(flag)) return new UserError(`${flag} takes no value`, [`write ${flag} alone`]);
  const similar = /Did you mean (?:one of )?(.+)\?/.exec(error.message)?.[1];
  const hint = similar === undefined ? helpHint : `did you mean ${similar.replace(/, ([^,]*)$/, " or $1")}?`;
  const found = words.find((word) => word === quoted || word.startsWith(`${quoted}=`)) ?? quoted;
  return new UserError(`unknown option: ${found}`, [hint]);
}

function notYet(label: string): UserError {
  const hint = label.startsWith("--") ? `leave it out; ${helpHint}` : `unset it; ${helpHint}`;
  return new UserError(`${label} is not in this version yet`, [hint]);
}

function refuseLaterVariables(env: Environment): void {
  for (const flag of laterOptions) {
    const variable = variableOf(flag);
    if ((env[variable] ?? "") !== "") throw notYet(variable);
  }
}

function flagOf(key: Key): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function variableOf(flag: string): string {
  return `FRAMEPIPE_${flag.slice(2).toUpperCase().replaceAll("-", "_")}`;
}

const modeHints = [
  "framepipe --send HOST:PORT [SOURCE=]INPUT ...",
  "framepipe --receive [HOST:]PORT --out DEST",
  "framepipe --verify DIR",
];

/** The command line chooses; only if it does not, the environment does. */
function chooseMode(parsed: Parsed, env: Environment): Mode {
  const typed = modes.flatMap((mode) => (parsed[mode] ?? []).map(() => mode));
  const set = modes.filter((mode) => (env[variableOf(flagOf(mode))] ?? "") !== "");
  const chosen = typed.length > 0 ? typed : set;
  const [mode, second] = chosen;
  if (mode === undefined) throw new UserError("nothing to do: none of --send, --receive and --verify", modeHints);
  if (second === undefined) return mode;
  const label = (which: Mode): string => (typed.length > 0 ? flagOf(which) : variableOf(flagOf(which)));
  if (mode === second) throw new UserError(`${label(mode)} is given twice`, ["start framepipe once for each"]);
  throw new UserError(`${chosen.map(label).join(" and ")} exclude each other`, modeHints);
}

const modeNames: Readonly<Record<Mode, string>> = { send: "the sender", receive: "the receiver", verify: "--verify" };

function refuseOtherModes(parsed: Parsed, mode: Mode): void {
  for (const key of Object.keys(modesOf) as Key[]) {
    if (parsed[key] === undefined || modesOf[key].includes(mode)) continue;
    const owners = modesOf[key].map((owner) => modeNames[owner]).join(" and ");
    throw new UserError(`${flagOf(key)} is an option of ${owners}, and this is ${modeNames[mode]}`, [helpHint]);
  }
}

/** A value and where it came from: `--out`, or `FRAMEPIPE_OUT`. */
export interface Text {
  readonly text: string;
  readonly label: string;
}

interface GivenOptions {
  readonly parsed: Parsed;
  readonly inputs: readonly string[];
  readonly env: Environment;
  readonly mode: Mode;
}

/** What was given for the mode's options, on the command line or else in the environment. */
export class Given {
  readonly mode: Mode;
  /** The words that are no options. */
  readonly inputs: readonly string[];
  readonly #parsed: Parsed;
  readonly #env: Environment;

  constructor(options: GivenOptions) {
    const { parsed, inputs, env, mode } = options;
    this.mode = mode;
    this.inputs = inputs;
    this.#parsed = parsed;
    this.#env = env;
    for (const key of Object.keys(modesOf) as Key[]) {
      const values = parsed[key];
      if (!Array.isArray(values) || !modesOf[key].includes(mode)) continue;
      for (const text of values) {
        // Commander takes whatever follows. A forgotten value must not swallow the next option.
        if (text.startsWith("--")) throw new UserError(`${flagOf(key)} needs a value, found ${text}`, [helpHint]);
        if (text === "") throw new UserError(`${flagOf(key)} needs a value, found an empty one`, [helpHint]);
      }
    }
  }

  all(key: ValueKey): Text[] {
    const label = flagOf(key);
    const typed = this.#parsed[key];
    if (typed !== undefined) return typed.map((text) => ({ text, label }));
    const text = this.#env[variableOf(label)] ?? "";
    return text === "" ? [] : [{ text, label: variableOf(label) }];
  }

  /** Of several the last, as is usual, so that a wrapper's options can be overruled behind them. */
  last(key: ValueKey): Text | undefined {
    return this.all(key).at(-1);
  }

  switch(key: SwitchKey): boolean {
    if (this.#parsed[key] === true) return true;
    const variable = variableOf(flagOf(key));
    const text = this.#env[variable] ?? "";
    if (text === "") return false;
    const value = parseSwitch(text);
    if (value === undefined)
      throw new UserError(`${variable}: neither on nor off: ${text}`, [`${variable}=1 or ${variable}=0`]);
    return value;
  }
}
