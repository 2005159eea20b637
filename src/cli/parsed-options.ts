/**
 * From what was typed and what the environment adds to the values of one mode's options. Commander splits the words and
 * calls the parsers of the table. The environment is read here: commander looks into `process.env` whatever the mode
 * is, and takes an empty variable and `FRAMEPIPE_ONCE=0` for a yes.
 */
import { Command as CommandLine, CommanderError } from "@commander-js/extra-typings";
import { UserError } from "../errors.ts";
import { helpHint, listed, makeOption, usage } from "./make-option.ts";
import { entryOf, flagOf, type Mode, modes } from "./option-table.ts";
import { type OptionKey, optionKeys, type OptionValues, variableOf } from "./option-table.ts";
import { parseSwitch } from "../quantities.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ParsedOptions {
  readonly mode: Mode;
  /** The words that are no options; for the sender, without any, the lines of FRAMEPIPE_INPUT. */
  readonly inputs: readonly string[];
  /** Only those of the mode are there. */
  readonly values: OptionValues;
  /** The flag or the variable by which an option was given; undefined: it was not. */
  readonly label: (key: OptionKey) => string | undefined;
}

/** Inputs are no option, but a service without a wrapper has them, too. */
export const inputVariable = "FRAMEPIPE_INPUT";

/** Throws UserError for whatever cannot be meant. */
export function parseOptions(words: readonly string[], env: Environment): ParsedOptions {
  const mode = chooseMode(words, env);
  const line = commandLine(optionKeys.filter((key) => entryOf(key).modes.includes(mode)));
  const operands = split(line, words, mode);
  readEnvironment(line, env);
  const label = (key: OptionKey): string | undefined => {
    const source = line.getOptionValueSource(key);
    if (source === "cli") return flagOf(key);
    return source === "env" ? variableOf(flagOf(key)) : undefined;
  };
  refuseConflicts(label);
  const inputs = operands.length > 0 || mode !== "send" ? operands : linesOf(env[inputVariable]);
  // The parsers of the table made the values, so they have its types.
  return { mode, inputs, values: line.opts() as OptionValues, label };
}

function commandLine(keys: readonly OptionKey[]): CommandLine {
  const line = new CommandLine("framepipe").helpOption(false).exitOverride().allowExcessArguments();
  line.configureOutput({ writeOut: () => {}, writeErr: () => {} });
  for (const key of keys) line.addOption(makeOption(key));
  return line;
}

/** The words that are no options. `mode` undefined: none was chosen, and `line` has the options of all. */
function split(line: CommandLine, words: readonly string[], mode: Mode | undefined): readonly string[] {
  try {
    const { operands, unknown } = line.parseOptions([...words]);
    if (unknown[0] !== undefined) throw unknownOption(unknown[0], mode);
    return operands;
  } catch (error) {
    // Only behind the last word there is nothing.
    if (error instanceof CommanderError && error.code === "commander.optionMissingArgument")
      throw new UserError(`${words.at(-1)} needs a value`, [helpHint]);
    throw error;
  }
}

function unknownOption(word: string, mode: Mode | undefined): UserError {
  const flag = word.split("=", 1)[0] ?? "";
  const key = optionKeys.find((known) => flagOf(known) === flag);
  if (key === undefined) {
    const similar = similarFlags(flag);
    return new UserError(`unknown option: ${word}`, [similar === undefined ? helpHint : `did you mean ${similar}?`]);
  }
  const { modes: owners } = entryOf(key);
  if (mode === undefined || owners.includes(mode)) {
    return new UserError(`${flag} takes no value`, [`write ${flag} alone`]);
  }
  const owner = listed(owners.map((one) => modeNames[one]));
  return new UserError(`${flag} is an option of ${owner}, and this is ${modeNames[mode]}`, [helpHint]);
}

const modeNames: Readonly<Record<Mode, string>> = {
  send: "the sender",
  receive: "the receiver",
  invite: "--invite",
  verify: "--verify",
  read: "--read",
};

/** Commander compares, and gives the result in its message only. */
function similarFlags(flag: string): string | undefined {
  const line = commandLine([]);
  for (const key of optionKeys) line.option(flagOf(key));
  try {
    line.parse([flag], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const similar = /Did you mean (?:one of )?(.+)\?/.exec(error.message)?.[1];
    return similar?.replace(/, ([^,]*)$/, " or $1");
  }
  return undefined;
}

/** The command line chooses; only if it does not, the environment does. */
function chooseMode(words: readonly string[], env: Environment): Mode {
  const options = wordsBeforeEnd(words);
  const typed = modes.flatMap((mode) => {
    const flag = flagOf(mode);
    return options.filter((word) => word === flag || word.startsWith(`${flag}=`)).map(() => mode);
  });
  const labelOf = (mode: Mode): string => (typed.length > 0 ? flagOf(mode) : variableOf(flagOf(mode)));
  const chosen = typed.length > 0 ? typed : modes.filter((mode) => isSet(env, labelOf(mode)));
  const [mode, second] = chosen;
  if (mode === undefined) {
    // A mode that is spelled wrongly is none.
    split(commandLine(optionKeys), words, undefined);
    throw new UserError("nothing to do: none of --send, --receive, --verify, --read and --invite", usage);
  }
  if (second === undefined) return mode;
  if (mode === second) throw new UserError(`${labelOf(mode)} is given twice`, ["start framepipe once for each"]);
  throw new UserError(`${chosen.map(labelOf).join(" and ")} exclude each other`, usage);
}

/** Words behind `--` are no options, whatever they look like. */
export function wordsBeforeEnd(words: readonly string[]): readonly string[] {
  const end = words.indexOf("--");
  return end === -1 ? words : words.slice(0, end);
}

/** An empty variable is none: that is how a service file leaves one out. */
function isSet(env: Environment, variable: string): boolean {
  return (env[variable] ?? "").trim() !== "";
}

/** Gives a value to each option that has a variable and was not typed. */
function readEnvironment(line: CommandLine, env: Environment): void {
  for (const option of line.options) {
    const key = option.attributeName() as OptionKey;
    const { envVar: label = "" } = option;
    const { [label]: text = "" } = env;
    if (!isSet(env, label) || line.getOptionValueSource(key) === "cli") continue;
    const { takes, repeatable } = entryOf(key);
    const parse = takes?.[1] ?? switchValue;
    const value =
      repeatable === true ? linesOf(text).map((one) => parse({ text: one, label })) : parse({ text, label });
    // A switch that is off is as if it were not there: it contradicts nothing.
    if (value !== false) line.setOptionValueWithSource(key, value, "env");
  }
}

function switchValue({ text, label }: { readonly text: string; readonly label: string }): boolean {
  const value = parseSwitch(text);
  if (value !== undefined) return value;
  throw new UserError(`${label}: neither on nor off: ${text}`, [`${label}=1 or ${label}=0`]);
}

/** A list in a variable: one a line. */
function linesOf(text = ""): string[] {
  return text
    .split("\n")
    .map((one) => one.trim())
    .filter((one) => one !== "");
}

function refuseConflicts(label: ParsedOptions["label"]): void {
  for (const key of optionKeys) {
    for (const [other, reason] of Object.entries(entryOf(key).conflicts ?? {})) {
      const [one, two] = [label(key), label(other as OptionKey)];
      if (one === undefined || two === undefined) continue;
      const because = reason === "" ? "" : `: ${reason}`;
      throw new UserError(`${one} cannot be used with ${two}${because}`, ["leave out one of them"]);
    }
  }
}
