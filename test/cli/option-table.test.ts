/** Each option of the table in each way that it can be given, and what is made from the table: help, modes, words. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArguments } from "../../src/cli/command.ts";
import { helpText } from "../../src/cli/help.ts";
import {
  entryOf,
  flagOf,
  type Mode,
  type OptionKey,
  optionKeys,
  optionTable,
  variableOf,
} from "../../src/cli/option-table.ts";
import { makeOption } from "../../src/cli/make-option.ts";
import { parseOptions } from "../../src/cli/parsed-options.ts";
import { ExitStatus, UserError } from "../../src/errors.ts";
import { keyOne, keyZero } from "../security/vectors.ts";

/** Of each option that takes a value: two good texts with their values, and one that is wrong. */
interface Sample {
  readonly good: readonly [[text: string, value: unknown], [text: string, value: unknown]];
  /** Undefined: any text is good, and what it means is found out by those who use it. */
  readonly wrong: readonly [text: string, complaint: string] | undefined;
}

const mistyped = keyZero.fingerprint.replace("fp1x", "fp1y");

const samples: Readonly<Partial<Record<OptionKey, Sample>>> = {
  send: {
    good: [
      ["localhost:1", { host: "localhost", port: 1 }],
      ["[::1]:2", { host: "::1", port: 2 }],
    ],
    wrong: ["localhost", "not an address: localhost"],
  },
  device: {
    good: [
      ["rig", "rig"],
      ["a/b", "a/b"],
    ],
    wrong: ["../x", '`..` segment in "../x"'],
  },
  include: {
    good: [
      ["*.jpg", "*.jpg"],
      ["a/*.png", "a/*.png"],
    ],
    wrong: undefined,
  },
  exclude: {
    good: [
      ["*.jpg", "*.jpg"],
      ["a/*.png", "a/*.png"],
    ],
    wrong: undefined,
  },
  format: {
    good: [
      ["png", { source: undefined, format: { kind: "png" } }],
      ["ir=raw:2Ki", { source: "ir", format: { kind: "raw", bytes: 2048 } }],
    ],
    wrong: ["gif", "not a format: gif"],
  },
  captured: {
    good: [
      ["header", { kind: "header" }],
      ["exif", { kind: "exif" }],
    ],
    wrong: ["ctime", "found ctime, expected auto, mtime, exif, header, arrival or name:PATTERN"],
  },
  name: {
    good: [
      ["{sequence}-{run}", "{sequence}-{run}"],
      ["{run}{sequence}", "{run}{sequence}"],
    ],
    wrong: undefined,
  },
  order: {
    good: [
      ["newest", "newest"],
      ["oldest", "oldest"],
    ],
    wrong: ["new", "found new, expected oldest or newest"],
  },
  whenBehind: {
    good: [
      ["block", "block"],
      ["drop-oldest", "drop-oldest"],
    ],
    wrong: ["wait", "found wait, expected block, spool or drop-oldest"],
  },
  spool: {
    good: [
      ["d", "d"],
      ["/var/spool/rig", "/var/spool/rig"],
    ],
    wrong: undefined,
  },
  spoolLimit: {
    good: [
      ["1M", 1e6],
      ["1Mi", 1_048_576],
    ],
    wrong: ["1T", "not a size: 1T"],
  },
  maxRate: {
    good: [
      ["8kbit", 1],
      ["1Gbit", 125_000],
    ],
    wrong: ["20M", "not a rate: 20M"],
  },
  fps: {
    good: [
      ["30", 30],
      ["0.5", 0.5],
    ],
    wrong: ["0", "not a number of frames per second: 0"],
  },
  unchangedFor: {
    good: [
      ["90", 90_000],
      ["1d", 86_400_000],
    ],
    wrong: ["soon", "not a duration: soon"],
  },
  compare: {
    good: [
      ["always", "always"],
      ["auto", "auto"],
    ],
    wrong: ["sometimes", "found sometimes, expected auto or always"],
  },
  retryFor: {
    good: [
      ["90", 90_000],
      ["1d", 86_400_000],
    ],
    wrong: ["soon", "not a duration: soon"],
  },
  receive: {
    good: [
      ["0", { host: undefined, port: 0 }],
      ["127.0.0.1:80", { host: "127.0.0.1", port: 80 }],
    ],
    wrong: ["65536", "not an address: 65536"],
  },
  out: {
    good: [
      ["d", "d"],
      ["-", "-"],
    ],
    wrong: undefined,
  },
  layout: {
    good: [
      ["{name}", "{name}"],
      ["{source}/{name}", "{source}/{name}"],
    ],
    wrong: undefined,
  },
  sync: {
    good: [
      ["never", "never"],
      ["each", "each"],
    ],
    wrong: ["always", "found always, expected batch, each or never"],
  },
  maxConnections: {
    good: [
      ["1", 1],
      ["2000", 2000],
    ],
    wrong: ["0", "not a number of connections: 0"],
  },
  keep: {
    good: [
      ["36h", 129_600_000],
      ["30d", 2_592_000_000],
    ],
    wrong: ["0", "found 0, expected more than nothing"],
  },
  keepSize: {
    good: [
      ["500G", 500_000_000_000],
      ["1Mi", 1_048_576],
    ],
    wrong: ["1k", "1.00 kB is too little"],
  },
  minFree: {
    good: [
      ["0", 0],
      ["2Gi", 2_147_483_648],
    ],
    wrong: ["-1", "not a size: -1"],
  },
  http: {
    good: [
      ["9100", { host: undefined, port: 9100 }],
      ["[::1]:0", { host: "::1", port: 0 }],
    ],
    wrong: ["localhost", "not an address: localhost"],
  },
  maxFrame: {
    good: [
      ["1", 1],
      ["3G", 3e9],
    ],
    wrong: ["0", "0 B is too little"],
  },
  join: {
    good: [
      ["invitation", "invitation"],
      ["-", "-"],
    ],
    wrong: undefined,
  },
  peer: {
    good: [
      [keyZero.fingerprint, keyZero.fingerprint],
      [keyOne.fingerprint, keyOne.fingerprint],
    ],
    wrong: [mistyped, `not a public key, or mistyped: ${mistyped}`],
  },
  perAddress: {
    good: [
      ["0", 0],
      ["2000", 2000],
    ],
    wrong: ["-1", "not a number of connections: -1"],
  },
  key: {
    good: [
      ["rig.key", "rig.key"],
      ["k", "k"],
    ],
    wrong: undefined,
  },
  invite: {
    good: [
      ["rig@localhost:1", { device: "rig", host: "localhost", port: 1 }],
      ["a@b@[::1]:2", { device: "a@b", host: "::1", port: 2 }],
    ],
    wrong: ["localhost:9", "no device in localhost:9"],
  },
  for: {
    good: [
      ["90", 90_000],
      ["1d", 86_400_000],
    ],
    wrong: ["soon", "not a duration: soon"],
  },
  verify: {
    good: [
      ["d", "d"],
      ["e", "e"],
    ],
    wrong: undefined,
  },
  sha256: {
    good: [
      ["f", "f"],
      ["a/g", "a/g"],
    ],
    wrong: undefined,
  },
  read: {
    good: [
      ["d", "d"],
      ["e", "e"],
    ],
    wrong: undefined,
  },
  from: {
    good: [
      ["2026-11-25T10:32:07.120Z", 1_795_602_727_120_000_000n],
      ["2026-11-25T11:32+01:00", 1_795_602_720_000_000_000n],
    ],
    wrong: ["noon", "not a time: noon"],
  },
  to: {
    good: [
      ["1970-01-01T00:00:01Z", 1_000_000_000n],
      ["1970-01-01T00:00:00.000000001Z", 1n],
    ],
    wrong: ["2026-02-30", "not a time: 2026-02-30"],
  },
  as: {
    good: [
      ["tar", "tar"],
      ["json", "json"],
    ],
    wrong: ["zip", "found zip, expected stream, tar, list or json"],
  },
  pairWithin: {
    good: [
      ["20ms", 20],
      ["1", 1000],
    ],
    wrong: ["near", "not a duration: near"],
  },
  clock: {
    good: [
      ["receiver", "receiver"],
      ["sender", "sender"],
    ],
    wrong: ["mine", "found mine, expected sender or receiver"],
  },
};

const modeWords: Readonly<Record<Mode, readonly string[]>> = {
  send: ["--send", "localhost:9", "vis"],
  receive: ["--receive", "0", "--out", "d"],
  invite: ["--invite", "rig@localhost:9"],
  verify: ["--verify", "d"],
  read: ["--read", "d"],
};
const everyMode = Object.keys(modeWords) as Mode[];

const isMode = (key: OptionKey): key is Mode => (everyMode as readonly OptionKey[]).includes(key);

/** Words that choose a mode, without the option under test. */
function wordsFor(mode: Mode, key: OptionKey): readonly string[] {
  if (key === mode) return mode === "send" ? ["vis"] : [];
  return modeWords[mode];
}

function complaintOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    expect(error.status).toBe(ExitStatus.usage);
    expect(error.hints.length).toBeGreaterThan(0);
    return error.message;
  }
  throw new Error("accepted");
}

const valued = optionKeys.filter((key) => entryOf(key).takes !== undefined);
const switches = optionKeys.filter((key) => entryOf(key).takes === undefined);

test("the table has options of both kinds, and there is a sample for each that takes a value", () => {
  expect(valued.length).toBeGreaterThan(15);
  expect(switches.length).toBeGreaterThan(8);
  expect(Object.keys(samples).toSorted()).toEqual(valued.toSorted());
});

describe.each(valued.flatMap((key) => entryOf(key).modes.map((mode) => [flagOf(key), mode, key] as const)))(
  "%s of %s",
  (flag, mode, key) => {
    const words = wordsFor(mode, key);
    const variable = variableOf(flag);
    const { repeatable = false } = entryOf(key);
    const [[first, firstValue], [second, secondValue]] = samples[key]?.good ?? [
      ["", 0],
      ["", 0],
    ];
    // `--out` is among the words that choose the receiver.
    const value = (given: readonly string[], env = {}): unknown => {
      const others = key === "out" ? ["--receive", "0"] : words;
      return parseOptions([...given, ...others], env).values[key];
    };

    test("typed", () => {
      expect(value([flag, first])).toEqual(repeatable ? [firstValue] : firstValue);
      expect(value([`${flag}=${second}`])).toEqual(repeatable ? [secondValue] : secondValue);
    });

    test("from the environment, unless it is typed", () => {
      expect(value([], { [variable]: first })).toEqual(repeatable ? [firstValue] : firstValue);
      expect(value([flag, second], { [variable]: first })).toEqual(repeatable ? [secondValue] : secondValue);
      expect(value([flag, second], { [variable]: "\0 nonsense" })).toEqual(repeatable ? [secondValue] : secondValue);
    });

    test("empty in the environment is as good as not there", () => {
      const { default: fallback } = entryOf(key);
      if (isMode(key)) expect(complaintOf(() => value([], { [variable]: "" }))).toStartWith("nothing to do");
      else expect(value([], { [variable]: "" })).toEqual(repeatable ? [] : fallback);
    });

    test("repeated", () => {
      const twice = [flag, first, flag, second];
      if (isMode(key)) expect(complaintOf(() => value(twice))).toBe(`${flag} is given twice`);
      else expect(value(twice)).toEqual(repeatable ? [firstValue, secondValue] : secondValue);
      if (repeatable) expect(value([], { [variable]: `${first}\n${second}` })).toEqual([firstValue, secondValue]);
    });

    test("a wrong value", () => {
      const wrong = samples[key]?.wrong;
      if (wrong === undefined) return;
      const [text, complaint] = wrong;
      expect(complaintOf(() => value([flag, text]))).toBe(`${flag}: ${complaint}`);
      expect(complaintOf(() => value([], { [variable]: text }))).toBe(`${variable}: ${complaint}`);
    });

    test("a missing value", () => {
      expect(complaintOf(() => parseOptions([...words, flag], {}))).toBe(`${flag} needs a value`);
      expect(complaintOf(() => parseOptions([...words, `${flag}=`], {}))).toBe(
        `${flag} needs a value, found an empty one`,
      );
      expect(complaintOf(() => parseOptions([...words, flag, "--json"], {}))).toBe(
        `${flag} needs a value, found --json`,
      );
    });
  },
);

describe.each(
  switches
    .filter((key) => entryOf(key).typedOnly !== true)
    .flatMap((key) => entryOf(key).modes.map((mode) => [flagOf(key), mode, key] as const)),
)("%s of %s", (flag, mode, key) => {
  const words = modeWords[mode];
  const variable = variableOf(flag);

  test("typed, once or more, and without a value", () => {
    expect(parseOptions(words, {}).values[key]).toBe(false);
    expect(parseOptions([flag, ...words], {}).values[key]).toBe(true);
    expect(parseOptions([flag, ...words, flag], {}).values[key]).toBe(true);
    expect(complaintOf(() => parseOptions([...words, `${flag}=1`], {}))).toBe(`${flag} takes no value`);
  });

  test("from the environment", () => {
    for (const text of ["1", "true", "YES", " on "])
      expect(parseOptions(words, { [variable]: text }).values[key]).toBe(true);
    for (const text of ["0", "false", "No", "off", ""])
      expect(parseOptions(words, { [variable]: text }).values[key]).toBe(false);
    expect(parseOptions([...words, flag], { [variable]: "0" }).values[key]).toBe(true);
    expect(complaintOf(() => parseOptions(words, { [variable]: "maybe" }))).toBe(
      `${variable}: neither on nor off: maybe`,
    );
  });
});

const foreign = optionKeys.flatMap((key) =>
  everyMode.filter((mode) => !entryOf(key).modes.includes(mode)).map((mode) => [flagOf(key), mode, key] as const),
);

test.each(foreign)("%s is refused with --%s, and its variable ignored", (flag, mode, key) => {
  const words = modeWords[mode];
  const given = entryOf(key).takes === undefined ? [flag] : [flag, samples[key]?.good[0][0] ?? ""];
  for (const all of [
    [...words, ...given],
    [...given, ...words],
  ]) {
    expect(complaintOf(() => parseOptions(all, {}))).toMatch(
      isMode(key) ? / exclude each other$/ : new RegExp(`^${flag} is an option of .+, and this is `),
    );
  }
  expect(parseOptions(words, { [variableOf(flag)]: "\0 nonsense" }).mode).toBe(mode);
});

test("options that contradict each other are both named, in each order and from each place", () => {
  const pairs = optionKeys.flatMap((key) =>
    Object.keys(entryOf(key).conflicts ?? {}).map((other) => [key, other as OptionKey] as const),
  );
  expect(pairs.length).toBeGreaterThan(3);
  for (const [key, other] of pairs) {
    const mode = entryOf(key).modes.find((one) => entryOf(other).modes.includes(one));
    expect(mode).toBeDefined();
    const words = modeWords[mode ?? "send"];
    const [one, two] = [key, other].map((which) => {
      const text = samples[which]?.good[0][0];
      return text === undefined ? [flagOf(which)] : [flagOf(which), text];
    }) as [string[], string[]];
    const complaint = new RegExp(`^${flagOf(key)} cannot be used with ${flagOf(other)}\\b`);
    expect(complaintOf(() => parseOptions([...words, ...one, ...two], {}))).toMatch(complaint);
    expect(complaintOf(() => parseOptions([...words, ...two, ...one], {}))).toMatch(complaint);
    const variable = variableOf(flagOf(other));
    expect(complaintOf(() => parseOptions([...words, ...one], { [variable]: two[1] ?? "1" }))).toStartWith(
      `${flagOf(key)} cannot be used with ${variable}`,
    );
  }
});

test("commander's options say all that is in the table, for whoever completes or explains them", () => {
  for (const key of optionKeys) {
    const { takes, conflicts = {}, typedOnly, short, help } = entryOf(key);
    expect(makeOption(key)).toMatchObject({
      long: flagOf(key),
      short,
      description: help,
      required: takes !== undefined,
      optional: false,
      argChoices: takes?.[1].choices,
      conflictsWith: Object.keys(conflicts),
      envVar: typedOnly === true ? undefined : variableOf(flagOf(key)),
    });
    expect(makeOption(key).attributeName()).toBe(key);
  }
});

describe("help", () => {
  const text = helpText();

  test("shows every option exactly once, with its value, under its modes", () => {
    const headings: Record<string, string> = {
      send: "sender",
      receive: "receiver",
      "send,receive": "sender and receiver",
      "receive,verify": "receiver and verify",
      "send,receive,invite": "sender, receiver and invite",
      invite: "invite",
      verify: "verify",
      read: "read",
      "receive,send,invite,verify,read": "all modes",
    };
    let heading = "";
    const listed: [flag: string, value: string, heading: string][] = [];
    for (const line of text.split("\n")) {
      const [, flag, value = ""] = /^ {2}(?:-\w, )?(--[a-z\d-]+)(?: (\S+))?/.exec(line) ?? [];
      if (flag !== undefined) listed.push([flag, value, heading]);
      else if (/^\S/.test(line)) heading = line;
    }
    const expected = optionKeys.map((key) => {
      const { takes, modes } = entryOf(key);
      return [flagOf(key), takes?.[0] ?? "", headings[modes.join()] ?? ""];
    });
    expect(listed.toSorted()).toEqual(expected.toSorted() as typeof listed);
  });

  test("names no option that there is not", () => {
    expect(text).toContain("\n  -h, --help  ");
    const known = new Set(optionKeys.map(flagOf));
    for (const [flag] of text.matchAll(/--[a-z][a-z\d-]*/g)) expect(known).toContain(flag);
    const variables = new Set([...optionKeys.map((key) => variableOf(flagOf(key))), "FRAMEPIPE_INPUT", "FRAMEPIPE_"]);
    for (const [variable] of text.matchAll(/FRAMEPIPE_[A-Z_]*/g)) expect(variables).toContain(variable);
  });

  test("its examples are accepted", () => {
    const examples = [...text.matchAll(/^ {2}(?:ffmpeg .* \| )?framepipe (--\w+ [a-z\d][^|>\n]*)/gm)];
    expect(examples.length).toBe(8);
    for (const [, line = ""] of examples) expect(() => parseArguments(line.trim().split(" "), {})).not.toThrow();
  });

  test("states the defaults that are used, and all words that may be chosen", () => {
    const flat = text.replace(/\n {6,}/g, " ");
    for (const key of optionKeys) {
      const { default: fallback, defaultText, takes, modes } = entryOf(key);
      const [, parse] = takes ?? [];
      const line = flat.split("\n").find((one) => one.startsWith(`  ${flagOf(key)} `)) ?? "";
      for (const word of parse?.choices ?? []) expect(line).toContain(word);
      const shown = /\(default: (.+?)\)/.exec(line)?.[1];
      expect(shown).toBe(defaultText ?? (fallback === undefined ? undefined : String(fallback)));
      if (fallback === undefined || parse === undefined) continue;
      expect(parse({ text: shown ?? "", label: "" })).toEqual(fallback);
      expect(parseOptions(modeWords[modes[0] ?? "send"], {}).values[key]).toEqual(fallback as never);
    }
  });

  test("lists every exit status", () => {
    for (const status of Object.values(ExitStatus)) expect(text).toContain(`\n  ${status}    `);
  });

  test("fits 100 columns and has no tabs", () => {
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
    expect(text).not.toContain("\t");
  });
});

/** The names that the code of a file takes from the options' values. */
function keysRead(file: string): string[] {
  const code = readFileSync(join(import.meta.dir, "..", "..", "src", "cli", file), "utf8");
  const taken = [
    ...code.matchAll(/const \{([^}]*)\} = values\b|\{ values: \{([^}]*)\} \}|\{([^}]*)\}: OutputOptions/g),
  ];
  const names = taken
    .flatMap(([, ...lists]) => lists.join().split(","))
    .map((name) => name.split(":")[0]?.trim() ?? "")
    .filter((name) => name !== "");
  return [...names, ...[...code.matchAll(/\bvalues\.(?!ts\b)(\w+)/g)].map(([, name = ""]) => name)];
}

test("every option is read by the code of its modes, and by no other", () => {
  for (const mode of everyMode) {
    const own = keysRead(`${mode}.ts`);
    for (const key of own)
      expect([mode, key, optionTable[key as OptionKey]?.modes.includes(mode)]).toEqual([mode, key, true]);
    const read = new Set([...own, ...keysRead("command.ts"), ...keysRead("program.ts")]);
    for (const key of optionKeys) {
      // These two are answered before there are values.
      if (key === "help" || key === "version" || !entryOf(key).modes.includes(mode)) continue;
      expect([mode, key, read.has(key)]).toEqual([mode, key, true]);
    }
  }
});
