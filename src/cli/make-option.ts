/** The options of the table as commander wants them, and the words that messages about them share. */
import { Option } from "@commander-js/extra-typings";
import { UserError } from "../errors.ts";
import { entryOf, flagOf, type Mode, modes, type OptionKey, variableOf } from "./option-table.ts";

const groups: Readonly<Record<Mode, string>> = {
  send: "sender",
  receive: "receiver",
  invite: "invite",
  verify: "verify",
  read: "read",
};

/** The option as commander wants it. `env` and `conflicts` are for whoever explains it: see `parsed-options.ts`. */
export function makeOption(key: OptionKey): Option {
  const entry = entryOf(key);
  const { short, takes, conflicts = {}, repeatable } = entry;
  const flag = flagOf(key);
  const flags = `${short === undefined ? "" : `${short}, `}${flag}${takes === undefined ? "" : ` <${takes[0]}>`}`;
  const option = new Option(flags, entry.help).helpGroup(
    entry.modes === modes ? "all modes" : listed(entry.modes.map((mode) => groups[mode])),
  );
  // Brackets within a placeholder do not make the value optional.
  option.optional = false;
  // Nor does `--no-create` take back a `--create`.
  option.negate = false;
  option.conflicts(Object.keys(conflicts));
  if (entry.typedOnly !== true) option.env(variableOf(flag));
  if (takes === undefined) return option.default(false);
  const [, parse] = takes;
  if (parse.choices !== undefined) option.choices(parse.choices);
  option.argParser((text, before: unknown) => {
    const one = parse({ text: present(flag, text), label: flag });
    return repeatable === true ? [...(before as unknown[]), one] : one;
  });
  return option.default(repeatable === true ? [] : entry.default, entry.defaultText);
}

/** `a, b and c`. */
export function listed(words: readonly string[]): string {
  return words.join(", ").replace(/, ([^,]*)$/, " and $1");
}

/** Commander takes whatever follows. A forgotten value must not swallow the next option. */
function present(flag: string, text: string): string {
  if (text !== "" && !text.startsWith("--")) return text;
  throw new UserError(`${flag} needs a value, found ${text === "" ? "an empty one" : text}`, [helpHint]);
}

export const usage = [
  "framepipe --send HOST:PORT [SOURCE=]INPUT ...",
  "framepipe --receive [HOST:]PORT --out DEST",
  "framepipe --verify DIR",
  "framepipe --read DIR [DEVICE/SOURCE ...]",
  "framepipe --invite DEVICE@HOST:PORT --key FILE",
] as const;

export const helpHint = "framepipe --help lists the options and shows examples";
