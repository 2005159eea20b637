import { describe, expect, test } from "bun:test";
import { type Environment, laterOptions, offeredFlags } from "../../src/cli/given.ts";
import { helpText } from "../../src/cli/help.ts";
import { type Command, parseArguments } from "../../src/cli/options.ts";
import { ExitStatus, UserError } from "../../src/errors.ts";

function parse(line: string, env: Environment = {}): Command | "help" | "version" {
  return parseArguments(
    line.split(" ").filter((word) => word !== ""),
    env,
  );
}

/** The complaint as it is printed. */
function complaint(line: string, env: Environment = {}): string[] {
  try {
    parse(line, env);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    expect(error.status).toBe(ExitStatus.usage);
    return [`error: ${error.message}`, ...error.hints.map((hint) => `hint: ${hint}`)];
  }
  throw new Error(`accepted: framepipe ${line}`);
}

const quietly = { json: false, quiet: false, verbose: false };

const streams = {
  formats: [],
  nameTemplate: "{date}/{time}-{sequence}-{run}.{extension}",
  whenBehind: "block",
  spool: undefined,
  spoolBytesMax: 4_294_967_296,
  onlyForStreams: undefined,
} as const;

const sending = {
  mode: "send",
  manners: quietly,
  host: "localhost",
  port: 8000,
  inputs: ["vis"],
  device: undefined,
  include: [],
  watch: false,
  streams,
  order: "oldest",
  rateMax: undefined,
  framesPerSecond: undefined,
  deleteSent: false,
  retryForMs: undefined,
  lockstep: false,
} as const;

const receiving = {
  mode: "receive",
  manners: quietly,
  host: "127.0.0.1",
  port: 8000,
  out: ["captures"],
  layout: undefined,
  sync: "batch",
  frameBytesMax: 268_435_456,
  connectionsMax: 1024,
  minFreeBytes: 268_435_456,
  once: false,
} as const;

const good: [line: string, expected: Command][] = [
  ["--send localhost:8000 vis", sending],
  ["vis --send=localhost:8000", sending],
  ["--send localhost:8000 visible=./vis ir", { ...sending, inputs: ["visible=./vis", "ir"] }],
  ["--send localhost:8000 -- --odd", { ...sending, inputs: ["--odd"] }],
  ["--send localhost:8000 -", { ...sending, inputs: ["-"] }],
  ["--send 10.0.0.9:80 --insecure vis", { ...sending, host: "10.0.0.9", port: 80 }],
  ["--send [::1]:80 vis", { ...sending, host: "::1", port: 80 }],
  [
    "--send localhost:8000 --device rig/left --include *.jpg --include *.png --delete-sent --retry-for 2m vis",
    { ...sending, device: "rig/left", include: ["*.jpg", "*.png"], deleteSent: true, retryForMs: 120_000 },
  ],
  ["--send localhost:8000 --watch --order newest vis", { ...sending, watch: true, order: "newest" }],
  ["--send localhost:8000 --max-rate 20Mbit --fps 0.5 vis", { ...sending, rateMax: 2_500, framesPerSecond: 0.5 }],
  [
    "--send localhost:8000 --format jpeg --format ir=raw:16Ki --name {sequence}{run} --when-behind drop-oldest - ir",
    {
      ...sending,
      inputs: ["-", "ir"],
      streams: {
        ...streams,
        formats: [
          { source: undefined, format: { kind: "jpeg" } },
          { source: "ir", format: { kind: "raw", bytes: 16_384 } },
        ],
        nameTemplate: "{sequence}{run}",
        whenBehind: "drop-oldest",
        onlyForStreams: "--format",
      },
    },
  ],
  [
    "--send localhost:8000 --when-behind spool --spool /var/spool/rig --spool-limit 2G -",
    {
      ...sending,
      inputs: ["-"],
      streams: {
        ...streams,
        whenBehind: "spool",
        spool: "/var/spool/rig",
        spoolBytesMax: 2e9,
        onlyForStreams: "--when-behind",
      },
    },
  ],
  ["--send localhost:8000 --lockstep --retry-for 0 vis", { ...sending, lockstep: true, retryForMs: 0 }],
  ["--send localhost:8000 --device a --device b vis", { ...sending, device: "b" }],
  ["--receive 8000 --out captures", receiving],
  ["--receive :8000 --out captures", receiving],
  ["--receive 0 --out captures", { ...receiving, port: 0 }],
  ["--receive localhost:8000 --out captures", { ...receiving, host: "localhost" }],
  ["--receive 8000 --out captures --insecure", { ...receiving, host: undefined }],
  ["--receive 0.0.0.0:8000 --out captures --insecure", { ...receiving, host: "0.0.0.0" }],
  ["--receive 8000 --out -", { ...receiving, out: ["-"] }],
  ["--receive 8000 --out - --out d.tar", { ...receiving, out: ["-", "d.tar"] }],
  [
    "--receive 8000 --out d --layout {name} --sync never --max-frame 1G --max-connections 2 --min-free 0 --once",
    {
      ...receiving,
      out: ["d"],
      layout: "{name}",
      sync: "never",
      frameBytesMax: 1e9,
      connectionsMax: 2,
      minFreeBytes: 0,
      once: true,
    },
  ],
  ["--verify captures", { mode: "verify", manners: quietly, directory: "captures" }],
  [
    "--verify captures --json --verbose",
    { mode: "verify", manners: { json: true, quiet: false, verbose: true }, directory: "captures" },
  ],
];

const seeHelp = "hint: framepipe --help lists the options and shows examples";
const usage = [
  "hint: framepipe --send HOST:PORT [SOURCE=]INPUT ...",
  "hint: framepipe --receive [HOST:]PORT --out DEST",
  "hint: framepipe --verify DIR",
];
const peers = "for example 192.168.1.20:8000, camera-store:8000 or [fd00::20]:8000";

const formatHint = "hint: auto, jpeg, png, y4m or raw:BYTES; for one stream of several: infrared=raw:163840";

const bad: [line: string, ...said: string[]][] = [
  ["--send localhost:1 --format gif -", "error: --format: not a format: gif", formatHint],
  ["--send localhost:1 --format ../x=jpeg -", 'error: --format: no source is named "../x"', formatHint],
  [
    "--send localhost:1 --format raw -",
    "error: --format: not a format: raw",
    "hint: raw needs the size of a frame: raw:614400 for 640 x 480 with 16 bits",
  ],
  [
    "--send localhost:1 --format raw:0 -",
    "error: --format: not a size: 0",
    "hint: a number, then K M G (of 1000) or Ki Mi Gi (of 1024): 4G",
  ],
  ["--send localhost:1 --format raw:1Gi -", "error: --format: a frame of 1.07 GB is too much", "hint: at most 268 MB"],
  [
    "--send localhost:1 --when-behind wait -",
    "error: --when-behind: found wait, expected block, spool or drop-oldest",
    "hint: block stops reading the stream, spool keeps frames on disk, drop-oldest forgets those that waited longest",
  ],
  [
    "--send localhost:1 --when-behind spool -",
    "error: --when-behind spool needs a directory to keep frames in",
    "hint: for example --spool /var/spool/framepipe",
  ],
  ["--send localhost:1 --spool d -", "error: --spool is for --when-behind spool", "hint: add --when-behind spool"],
  [
    "--send localhost:1 --order fastest d",
    "error: --order: found fastest, expected oldest or newest",
    "hint: newest sends what is live first and the backlog behind it",
  ],
  [
    "--send localhost:1 --max-rate 20M d",
    "error: --max-rate: not a rate: 20M",
    "hint: a number with kbit, Mbit or Gbit: 20Mbit",
  ],
  [
    "--send localhost:1 --max-rate 7bit d",
    "error: --max-rate: not a rate: 7bit",
    "hint: a number with kbit, Mbit or Gbit: 20Mbit",
  ],
  ["--send localhost:1 --fps 0 d", "error: --fps: not a number of frames per second: 0", "hint: for example 30 or 0.5"],
  [
    "--send localhost:1 --watch --fps 5 d",
    "error: --fps replays a directory, and --watch waits for what a camera adds to it",
    "hint: leave out one of them",
  ],
  [
    "--send localhost:1 --lockstep --order newest d",
    "error: --order cannot be used with --lockstep: it has one order and its own pace",
    "hint: leave it out, or use framepipe at both ends without --lockstep",
  ],
  ["", "error: nothing to do: none of --send, --receive and --verify", ...usage],
  ["vis", "error: nothing to do: none of --send, --receive and --verify", ...usage],
  ["--receive 1 --send localhost:2", "error: --receive and --send exclude each other", ...usage],
  ["--verify d --verify e", "error: --verify is given twice", "hint: start framepipe once for each"],
  ["--send", "error: --send needs a value", seeHelp],
  ["--receive 1 --out", "error: --out needs a value", seeHelp],
  ["--receive 1 --out --once", "error: --out needs a value, found --once", seeHelp],
  ["--receive 1 --out=", "error: --out needs a value, found an empty one", seeHelp],
  ["--verify d --out e", "error: --out is an option of the receiver, and this is --verify", seeHelp],
  ["--receive 1 --out d --device e", "error: --device is an option of the sender, and this is the receiver", seeHelp],
  ["--send localhost:1 d --once", "error: --once is an option of the receiver, and this is the sender", seeHelp],
  [
    "--verify d --insecure",
    "error: --insecure is an option of the sender and the receiver, and this is --verify",
    seeHelp,
  ],
  ["--verify d e", "error: unexpected argument: e", "hint: one directory at a time: framepipe --verify DIR"],
  ["--receive 1 d", "error: unexpected argument: d", "hint: the destination is an option: --out d"],
  ["--receive 1 --out d e", "error: unexpected argument: e", "hint: inputs are for --send"],
  ["--outt d", "error: unknown option: --outt", "hint: did you mean --out?"],
  ["--max-framse=3", "error: unknown option: --max-framse=3", "hint: did you mean --max-frame?"],
  ["--zzzzzz", "error: unknown option: --zzzzzz", seeHelp],
  ["-x", "error: unknown option: -x", seeHelp],
  ["--json=1", "error: --json takes no value", "hint: write --json alone"],
  ["--send 8000 d", "error: --send: no host in 8000", "hint: on this machine: --send localhost:8000", `hint: ${peers}`],
  ["--send localhost d", "error: --send: not an address: localhost", `hint: ${peers}; a port is at most 65535`],
  [
    "--send ::1:80 d",
    "error: --send: not an address: ::1:80",
    "hint: an IPv6 address stands in brackets: [fd00::20]:8000",
  ],
  ["--send localhost:0 d", "error: --send: no port in localhost:0", "hint: the receiver says on which port it listens"],
  [
    "--send localhost:80",
    "error: nothing to send",
    "hint: name a directory: framepipe --send localhost:80 visible=./vis",
  ],
  [
    "--send store:80 d",
    "error: the connection to store leaves this machine, and would not be encrypted",
    "hint: --insecure sends over plain TCP all the same: for a network you trust, or inside a tunnel",
    "hint: encrypted: ssh -N -L 80:localhost:80 store, and then --send localhost:80",
  ],
  [
    "--send localhost:80 d --delete-sent --lockstep",
    "error: --delete-sent cannot be used with --lockstep: its replies do not prove that a frame is stored",
    "hint: leave out --delete-sent, or use framepipe at both ends without --lockstep",
  ],
  [
    "--send localhost:80 d --device ../x",
    'error: --device: `..` segment in "../x"',
    "hint: it names a directory at the receiver: letters, digits, - and _ are safe, / makes sub-directories",
  ],
  [
    "--send localhost:80 d --retry-for soon",
    "error: --retry-for: not a duration: soon",
    "hint: a number, then ms s m h or d: 90s",
  ],
  [
    "--receive 65536 --out d",
    "error: --receive: not an address: 65536",
    "hint: for example 8000, 192.168.1.20:8000 or [fd00::20]:8000; a port is at most 65535",
  ],
  [
    "--receive 0.0.0.0:80 --out d",
    "error: 0.0.0.0 can be reached from other machines, and connections would not be encrypted",
    "hint: --insecure accepts plain TCP all the same: for a network you trust, or inside a tunnel",
    "hint: on this machine only: --receive 80",
  ],
  [
    "--receive 1",
    "error: --out is missing: where to store",
    "hint: a directory: --out captures",
    "hint: or one file, or standard output: --out day.tar, --out -",
    "hint: or to count and discard: --out /dev/null",
  ],
  [
    "--receive 1 --out d --sync always",
    "error: --sync: found always, expected batch, each or never",
    "hint: batch flushes frames in groups, each one by one, never leaves it to the system",
  ],
  [
    "--receive 1 --out d --max-frame 12x",
    "error: --max-frame: not a size: 12x",
    "hint: a number, then K M G (of 1000) or Ki Mi Gi (of 1024): 256Mi",
  ],
  ["--receive 1 --out d --max-frame 0", "error: --max-frame: 0 B is too little", "hint: at least 1 B"],
  ["--receive 1 --out d --max-frame 100000G", "error: --max-frame: 100 TB is too much", "hint: at most 70.4 TB"],
  [
    "--receive 1 --out d --max-connections 0",
    "error: --max-connections: not a number of connections: 0",
    "hint: a whole number from 1",
  ],
  ["--verify d --quiet --verbose", "error: --quiet and --verbose contradict each other", "hint: choose one of them"],
];

describe("command line", () => {
  test.each(good)("framepipe %s", (line, expected) => expect(parse(line)).toEqual(expected));

  test.each(bad)("refused: framepipe %s", (line, ...said) => expect(complaint(line)).toEqual(said));

  test.each(laterOptions.map((flag) => [flag]))("%s is not in this version yet", (flag) => {
    expect(complaint(`--send localhost:1 d ${flag}`)[0]).toBe(`error: ${flag} is not in this version yet`);
    expect(complaint(`--send localhost:1 d ${flag}=5`)[0]).toBe(`error: ${flag} is not in this version yet`);
    const variable = `FRAMEPIPE_${flag.slice(2).toUpperCase().replaceAll("-", "_")}`;
    expect(complaint("--send localhost:1 d", { [variable]: "5" })).toEqual([
      `error: ${variable} is not in this version yet`,
      `hint: unset it; ${seeHelp.slice("hint: ".length)}`,
    ]);
  });

  test("--help and --version answer whatever else is asked", () => {
    for (const line of ["--help", "-h", "--send --help", "--nonsense --help", "--receive 1 --out d --help"]) {
      expect(parse(line)).toBe("help");
    }
    expect(parse("--send --version")).toBe("version");
    expect(parse("--send localhost:8000 -- --help")).toEqual({ ...sending, inputs: ["--help"] });
  });
});

describe("environment", () => {
  const receiver: Environment = {
    FRAMEPIPE_RECEIVE: "8000",
    FRAMEPIPE_OUT: "d",
    FRAMEPIPE_LAYOUT: "{name}",
    FRAMEPIPE_SYNC: "each",
    FRAMEPIPE_MAX_FRAME: "1Ki",
    FRAMEPIPE_MAX_CONNECTIONS: "3",
    FRAMEPIPE_MIN_FREE: "4K",
    FRAMEPIPE_ONCE: "1",
    FRAMEPIPE_INSECURE: "yes",
    FRAMEPIPE_JSON: "true",
    FRAMEPIPE_QUIET: "on",
    FRAMEPIPE_VERBOSE: "0",
  };
  const sender: Environment = {
    FRAMEPIPE_SEND: "store:80",
    FRAMEPIPE_DEVICE: "rig",
    FRAMEPIPE_INCLUDE: "*.{jpg,png}",
    FRAMEPIPE_RETRY_FOR: "5s",
    FRAMEPIPE_INSECURE: "1",
    FRAMEPIPE_LOCKSTEP: "1",
    FRAMEPIPE_DELETE_SENT: "",
    FRAMEPIPE_WATCH: "1",
    FRAMEPIPE_FORMAT: "png",
    FRAMEPIPE_NAME: "{run}-{sequence}",
    FRAMEPIPE_WHEN_BEHIND: "spool",
    FRAMEPIPE_SPOOL: "d",
    FRAMEPIPE_SPOOL_LIMIT: "5M",
  };

  test("every option of the receiver", () => {
    expect(parse("", receiver)).toEqual({
      mode: "receive",
      manners: { json: true, quiet: true, verbose: false },
      host: undefined,
      port: 8000,
      out: ["d"],
      layout: "{name}",
      sync: "each",
      frameBytesMax: 1024,
      connectionsMax: 3,
      minFreeBytes: 4000,
      once: true,
    });
  });

  test("every option of the sender", () => {
    const expected = {
      ...sending,
      host: "store",
      port: 80,
      device: "rig",
      include: ["*.{jpg,png}"],
      watch: true,
      streams: {
        formats: [{ source: undefined, format: { kind: "png" as const } }],
        nameTemplate: "{run}-{sequence}",
        whenBehind: "spool" as const,
        spool: "d",
        spoolBytesMax: 5e6,
        onlyForStreams: "FRAMEPIPE_FORMAT",
      },
      retryForMs: 5000,
    };
    expect(parse("vis", sender)).toEqual({ ...expected, lockstep: true });
    const deleting = { ...sender, FRAMEPIPE_DELETE_SENT: "1", FRAMEPIPE_LOCKSTEP: "off" };
    expect(parse("vis", deleting)).toEqual({ ...expected, deleteSent: true });
    const paced = {
      FRAMEPIPE_SEND: "[::1]:1",
      FRAMEPIPE_ORDER: "newest",
      FRAMEPIPE_MAX_RATE: "8kbit",
      FRAMEPIPE_FPS: "2",
    };
    expect(parse("vis", paced)).toMatchObject({ order: "newest", rateMax: 1, framesPerSecond: 2 });
  });

  test("--verify too", () => {
    expect(parse("", { FRAMEPIPE_VERIFY: "d" })).toEqual({ mode: "verify", manners: quietly, directory: "d" });
  });

  test("the command line wins", () => {
    expect(parse("--receive 1 --out e --max-frame 2K --sync never", receiver)).toMatchObject({
      port: 1,
      out: ["e"],
      frameBytesMax: 2000,
      sync: "never",
    });
    expect(parse("--include a vis", sender)).toMatchObject({ include: ["a"] });
    expect(parse("--verify d", { ...sender, ...receiver, FRAMEPIPE_QUIET: "" })).toMatchObject({ mode: "verify" });
  });

  test("what is for another mode is ignored, even if it is wrong", () => {
    const both = {
      FRAMEPIPE_MAX_FRAME: "nonsense",
      FRAMEPIPE_DEVICE: "..",
      FRAMEPIPE_ONCE: "maybe",
      FRAMEPIPE_OUT: "d",
    };
    expect(() => parse("--verify d", both)).not.toThrow();
    expect(parse("--send localhost:8000 --device d vis", both)).toMatchObject({ device: "d" });
  });

  test.each<[Environment, string, string]>([
    [{ FRAMEPIPE_MAX_FRAME: "12x" }, "--receive 1 --out d", "error: FRAMEPIPE_MAX_FRAME: not a size: 12x"],
    [{ FRAMEPIPE_SYNC: "x" }, "--receive 1 --out d", "error: FRAMEPIPE_SYNC: found x, expected batch, each or never"],
    [{ FRAMEPIPE_ONCE: "x" }, "--receive 1 --out d", "error: FRAMEPIPE_ONCE: neither on nor off: x"],
    [{ FRAMEPIPE_RECEIVE: "x" }, "--out d", "error: FRAMEPIPE_RECEIVE: not an address: x"],
    [{ FRAMEPIPE_SEND: "80" }, "d", "error: FRAMEPIPE_SEND: no host in 80"],
    [{ FRAMEPIPE_DEVICE: "a//b" }, "--send localhost:1 d", 'error: FRAMEPIPE_DEVICE: empty segment in "a//b"'],
    [{ FRAMEPIPE_RETRY_FOR: "x" }, "--send localhost:1 d", "error: FRAMEPIPE_RETRY_FOR: not a duration: x"],
    [
      { FRAMEPIPE_SEND: "a:1", FRAMEPIPE_RECEIVE: "1" },
      "",
      "error: FRAMEPIPE_RECEIVE and FRAMEPIPE_SEND exclude each other",
    ],
  ])("the variable is named: %p", (env, line, error) => expect(complaint(line, env)[0]).toBe(error));
});

describe("help", () => {
  test("names exactly the options that are offered", () => {
    const listed = [...helpText.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, flag]) => flag ?? "");
    expect(listed.toSorted()).toEqual(offeredFlags().toSorted());
    for (const flag of helpText.match(/--[a-z][a-z-]*/g) ?? []) expect(offeredFlags()).toContain(flag);
  });

  test("its examples are accepted", () => {
    const examples = [...helpText.matchAll(/^ {2}(?:ffmpeg .* \| )?framepipe (--\w+ [a-z\d][^|\n]*)/gm)].map(
      ([, line]) => line?.trim() ?? "",
    );
    expect(examples.length).toBe(4);
    for (const example of examples) expect(() => parse(example)).not.toThrow();
  });

  test("states the defaults that are used", () => {
    const defaults = Object.fromEntries(
      [...helpText.matchAll(/^ {2}(--[\w-]+) [A-Z][^]*?\(default: (\S+?)\)/gm)].map(([, flag, text]) => [flag, text]),
    );
    const {
      "--sync": sync,
      "--max-frame": maxFrame,
      "--max-connections": connections,
      "--min-free": minFree,
    } = defaults;
    const explicit = `--sync ${sync} --max-frame ${maxFrame} --max-connections ${connections} --min-free ${minFree}`;
    expect(parse(`--receive 8000 --out captures ${explicit}`)).toEqual(receiving);
  });

  test("lists every exit status", () => {
    for (const status of Object.values(ExitStatus)) expect(helpText).toContain(`\n  ${status}  `);
  });

  test("fits 100 columns and has no tabs", () => {
    for (const line of helpText.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
    expect(helpText).not.toContain("\t");
  });
});
