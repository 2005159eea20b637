import { describe, expect, test } from "bun:test";
import {
  type Command,
  parseArguments,
  type ReadCommand,
  type ReceiveCommand,
  type SendCommand,
} from "../../src/cli/command.ts";
import type { OptionValues } from "../../src/cli/option-table.ts";
import type { Environment } from "../../src/cli/parsed-options.ts";
import { ExitStatus, UserError } from "../../src/errors.ts";
import { keyOne } from "../security/vectors.ts";

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

const shared = { json: false, quiet: false, verbose: false, help: false, version: false } as const;

const streams = {
  formats: [],
  nameTemplate: "{date}/{time}-{sequence}-{run}.{extension}",
  nameGiven: false,
  whenBehind: "block",
  spool: undefined,
  spoolBytesMax: 4_294_967_296,
  onlyForStreams: undefined,
  onlyForFiles: undefined,
} as const;

/** What the sender is told by `--send localhost:8000 vis`, but for what is given here. */
function sending(values: Partial<OptionValues> = {}, rest: Partial<SendCommand> = {}): Command {
  const { host = "localhost", port = 8000 } = rest;
  const defaults = {
    ...shared,
    send: { host, port },
    include: [],
    exclude: [],
    watch: false,
    format: [],
    name: streams.nameTemplate,
    order: "oldest",
    spoolLimit: 4_294_967_296,
    compare: "auto",
    deleteSent: false,
    lockstep: false,
    captured: { kind: "auto" },
    maxFrame: 268_435_456,
    insecure: false,
  };
  return {
    mode: "send",
    values: { ...defaults, ...values } as OptionValues,
    host,
    port,
    inputs: ["vis"],
    streams,
    ...rest,
  };
}

/** What the receiver is told by `--receive 8000 --out captures`, but for what is given here. */
function receiving(values: Partial<OptionValues> = {}, rest: Partial<ReceiveCommand> = {}): Command {
  const defaults = {
    ...shared,
    receive: { host: undefined, port: 8000 },
    out: ["captures"],
    sync: "batch",
    maxConnections: 1024,
    minFree: 268_435_456,
    perAddress: 64,
    keep: undefined,
    keepSize: undefined,
    noCreate: false,
    once: false,
    maxFrame: 268_435_456,
    insecure: false,
  };
  const all = { ...defaults, ...values } as OptionValues;
  return { mode: "receive", values: all, host: "127.0.0.1", port: 8000, out: all.out, upstream: undefined, ...rest };
}

function inviting(values: Partial<OptionValues> = {}): Command {
  const invite = { device: "rig-7", host: "recorder", port: 8000 };
  const all = { ...shared, invite, for: 600_000, key: "recorder.key", ...values } as OptionValues;
  return { mode: "invite", values: all, device: "rig-7", address: "recorder:8000", key: "recorder.key" };
}

function verifying(values: Partial<OptionValues> = {}): Command {
  const all = { ...shared, verify: "captures", rebuild: false, replace: false, ...values } as OptionValues;
  return { mode: "verify", values: all, directory: all.verify ?? "" };
}

const good: [line: string, expected: Command][] = [
  ["--send localhost:8000 vis", sending()],
  ["vis --send=localhost:8000", sending()],
  ["--send localhost:8000 visible=./vis ir", sending({}, { inputs: ["visible=./vis", "ir"] })],
  ["--send localhost:8000 -- --odd", sending({}, { inputs: ["--odd"] })],
  ["--send localhost:8000 -- --receive --verify=", sending({}, { inputs: ["--receive", "--verify="] })],
  ["--send localhost:8000 -", sending({}, { inputs: ["-"] })],
  ["--send 10.0.0.9:80 --insecure vis", sending({ insecure: true }, { host: "10.0.0.9", port: 80 })],
  ["--send [::1]:80 vis", sending({}, { host: "::1", port: 80 })],
  [
    "--send localhost:8000 --device rig/left --include *.jpg --include *.png --delete-sent --retry-for 2m vis",
    sending({ device: "rig/left", include: ["*.jpg", "*.png"], deleteSent: true, retryFor: 120_000 }),
  ],
  ["--send localhost:8000 --watch --order newest vis", sending({ watch: true, order: "newest" })],
  ["--send localhost:8000 --max-rate 20Mbit --fps 0.5 vis", sending({ maxRate: 2_500, fps: 0.5 })],
  ["--send localhost:8000 --max-rate 1Gbit --max-frame 2M vis", sending({ maxRate: 125_000, maxFrame: 2e6 })],
  [
    "--send localhost:8000 --format jpeg --format ir=raw:16Ki --name {sequence}{run} --when-behind drop-oldest - ir",
    sending(
      {
        format: [
          { source: undefined, format: { kind: "jpeg" } },
          { source: "ir", format: { kind: "raw", bytes: 16_384 } },
        ],
        name: "{sequence}{run}",
        whenBehind: "drop-oldest",
      },
      {
        inputs: ["-", "ir"],
        streams: {
          ...streams,
          formats: [
            { source: undefined, format: { kind: "jpeg" } },
            { source: "ir", format: { kind: "raw", bytes: 16_384 } },
          ],
          nameTemplate: "{sequence}{run}",
          nameGiven: true,
          whenBehind: "drop-oldest",
          onlyForStreams: "--format",
        },
      },
    ),
  ],
  [
    "--send localhost:8000 --when-behind spool --spool /var/spool/rig --spool-limit 2G -",
    sending(
      { whenBehind: "spool", spool: "/var/spool/rig", spoolLimit: 2e9 },
      {
        inputs: ["-"],
        streams: {
          ...streams,
          whenBehind: "spool",
          spool: "/var/spool/rig",
          spoolBytesMax: 2e9,
          onlyForStreams: "--when-behind",
        },
      },
    ),
  ],
  [
    "--send localhost:8000 --spool d -",
    sending(
      { spool: "d" },
      { inputs: ["-"], streams: { ...streams, whenBehind: "spool", spool: "d", onlyForStreams: "--spool" } },
    ),
  ],
  ["--send localhost:8000 --lockstep --retry-for 0 vis", sending({ lockstep: true, retryFor: 0 })],
  ["--send localhost:8000 --device a --device b vis", sending({ device: "b" })],
  ["--receive 8000 --out captures", receiving()],
  ["--receive :8000 --out captures", receiving()],
  ["--receive 0 --out captures", receiving({ receive: { host: undefined, port: 0 } }, { port: 0 })],
  [
    "--receive localhost:8000 --out captures",
    receiving({ receive: { host: "localhost", port: 8000 } }, { host: "localhost" }),
  ],
  ["--receive 8000 --out captures --insecure", receiving({ insecure: true }, { host: undefined })],
  [
    "--receive 0.0.0.0:8000 --out captures --insecure",
    receiving({ receive: { host: "0.0.0.0", port: 8000 }, insecure: true }, { host: "0.0.0.0" }),
  ],
  ["--receive 8000 --out -", receiving({ out: ["-"] })],
  ["--receive 8000 --out - --out d.tar", receiving({ out: ["-", "d.tar"] })],
  [
    "--receive 8000 --out d --layout {name} --sync never --max-frame 1G --max-connections 2 --min-free 0 --once",
    receiving({
      out: ["d"],
      layout: "{name}",
      sync: "never",
      maxFrame: 1e9,
      maxConnections: 2,
      minFree: 0,
      once: true,
    }),
  ],
  ["--send store:8000 --key k vis", sending({ key: "k" }, { host: "store" })],
  [
    `--send store:8000 --key k --join - --peer ${keyOne.fingerprint} vis`,
    sending({ key: "k", join: "-", peer: keyOne.fingerprint }, { host: "store" }),
  ],
  ["--receive 8000 --out captures --key k", receiving({ key: "k" }, { host: undefined })],
  [
    "--receive 0.0.0.0:8000 --out captures --key k --per-address 0 --layout {device}/{date}/{name}",
    receiving(
      { key: "k", receive: { host: "0.0.0.0", port: 8000 }, perAddress: 0, layout: "{device}/{date}/{name}" },
      { host: "0.0.0.0" },
    ),
  ],
  ["--invite rig-7@recorder:8000 --key recorder.key", inviting()],
  ["--invite rig-7@recorder:8000 --key recorder.key --for 1h --quiet", inviting({ for: 3_600_000, quiet: true })],
  ["--verify captures", verifying()],
  ["--verify captures --rebuild", verifying({ rebuild: true })],
  ["--verify captures --rebuild --layout {name}", verifying({ rebuild: true, layout: "{name}" })],
  ["--verify captures --replace", verifying({ replace: true })],
  ["--verify captures --json --verbose", verifying({ json: true, verbose: true })],
];

function reading(values: Partial<OptionValues> = {}, rest: Partial<ReadCommand> = {}): Command {
  const all = { ...shared, read: "captures", clock: "sender", ...values } as OptionValues;
  return { mode: "read", values: all, directory: all.read ?? "", wanted: [], as: "list", ...rest };
}

good.push(
  ["--read captures", reading()],
  ["--read captures --json", reading({ json: true }, { as: "json" })],
  ["--read captures --json --as list", reading({ json: true, as: "list" })],
  ["--read captures rig/a rig/b --as tar", reading({ as: "tar" }, { as: "tar", wanted: ["rig/a", "rig/b"] })],
  [
    "--read captures --from 1970-01-01T00:00:01Z --to 1970-01-01T00:00:02Z --clock receiver --pair-within 20ms",
    reading({ from: 10n ** 9n, to: 2n * 10n ** 9n, clock: "receiver", pairWithin: 20 }),
  ],
);

const seeHelp = "hint: framepipe --help lists the options and shows examples";
const usage = [
  "hint: framepipe --send HOST:PORT [SOURCE=]INPUT ...",
  "hint: framepipe --receive [HOST:]PORT --out DEST",
  "hint: framepipe --verify DIR",
  "hint: framepipe --read DIR [DEVICE/SOURCE ...]",
  "hint: framepipe --invite DEVICE@HOST:PORT --key FILE",
];
const peers = "for example 192.168.1.20:8000, camera-store:8000 or [fd00::20]:8000";

const formatHint = "hint: auto, jpeg, png, y4m, pnm, bmp or raw:BYTES; for one stream of several: infrared=raw:163840";

const bad: [line: string, ...said: string[]][] = [
  ["--send localhost:1 --format gif -", "error: --format: not a format: gif", formatHint],
  ["--send localhost:1 --format ../x=jpeg -", 'error: --format: no source is named "../x"', formatHint],
  [
    "--send localhost:1 --format raw -",
    "error: --format: not a format: raw",
    "hint: raw needs the size of a frame: raw:614400 for 640 x 480 with 16 bits",
  ],
  ["--send localhost:1 --format raw:0 -", "error: --format: 0 B is too little", "hint: at least 1 B"],
  [
    "--send localhost:1 --format raw:1Gi -",
    "error: --format: a frame of 1.07 GB is too much",
    "hint: at most 268 MB (--max-frame)",
  ],
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
  [
    "--send localhost:1 --spool d --when-behind block -",
    "error: --spool cannot be used with --when-behind block",
    "hint: leave out one of them",
  ],
  [
    "--send localhost:1 --spool-limit 1G -",
    "error: --spool-limit is for --spool",
    "hint: add --spool DIR, the directory that it limits",
  ],
  [
    "--send localhost:1 --max-frame 100K --format raw:200K -",
    "error: --format: a frame of 200 kB is too much",
    "hint: at most 100 kB (--max-frame)",
  ],
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
    "error: --fps cannot be used with --watch: it replays a directory, and --watch waits for what a camera adds to it",
    "hint: leave out one of them",
  ],
  [
    "--send localhost:1 --lockstep --order newest d",
    "error: --order cannot be used with --lockstep: it has one order and its own pace",
    "hint: leave out one of them",
  ],
  ["", "error: nothing to do: none of --send, --receive, --verify, --read and --invite", ...usage],
  ["vis", "error: nothing to do: none of --send, --receive, --verify, --read and --invite", ...usage],
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
  ["--send localhost:1 d --recieve 1", "error: unknown option: --recieve", "hint: did you mean --receive?"],
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
    "hint: --key FILE proves and encrypts it; framepipe --invite at the receiver prints what to --join with",
    "hint: --insecure sends over plain TCP all the same: for a network you trust, or inside a tunnel",
  ],
  [
    "--send localhost:80 d --delete-sent --lockstep",
    "error: --delete-sent cannot be used with --lockstep: an old receiver cannot prove that a frame is stored",
    "hint: leave out one of them",
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
    "--invite rig-7@store:80 --key k --for 0",
    "error: --for: nobody could use the invitation",
    "hint: 10m is usual, and 3650d the most",
  ],
  [
    "--invite rig-7@store:80 --key k --for 99999999d",
    "error: --for: 99999999d is too long",
    "hint: 10m is usual, and 3650d the most",
  ],
  [
    "--receive 65536 --out d",
    "error: --receive: not an address: 65536",
    "hint: for example 8000, 192.168.1.20:8000 or [fd00::20]:8000; a port is at most 65535",
  ],
  [
    "--receive 0.0.0.0:80 --out d",
    "error: 0.0.0.0 can be reached from other machines, and connections would not be encrypted",
    "hint: --key FILE lets in only who proves a key, and encrypts",
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
  [
    "--send store:80 d --key k --insecure",
    "error: --key cannot be used with --insecure: with a key, every connection is proven and encrypted",
    "hint: leave out one of them",
  ],
  [
    "--send store:80 d --key k --lockstep",
    "error: --key cannot be used with --lockstep: an old receiver has no key",
    "hint: leave out one of them",
  ],
  [
    "--send localhost:80 d --join invitation",
    "error: --join is for --key",
    "hint: add --key FILE, this end's key: it is made if it is not there",
  ],
  [
    `--send localhost:80 d --peer ${keyOne.fingerprint}`,
    "error: --peer is for --key",
    "hint: add --key FILE, this end's key: it is made if it is not there",
  ],
  [
    "--send localhost:80 d --key k --peer fp1x",
    "error: --peer: not a public key, or mistyped: fp1x",
    "hint: fp1 and 58 letters and digits, as the receiver says when it makes its key",
  ],
  [
    "--send localhost:80 vis=- --key k --join -",
    "error: --join - reads standard input, and so does an input",
    "hint: keep the invitation in a file: --join FILE",
  ],
  [
    "--receive 1 --out d --per-address 5",
    "error: --per-address is for --key",
    "hint: add --key FILE, this end's key: it is made if it is not there",
  ],
  [
    "--receive 1 --out d --key k --layout {source}/{name}",
    "error: --layout: with a key it begins with {device}/, found {source}/{name}",
    "hint: each device writes into a directory of its own: --layout '{device}/{date}/{name}'",
  ],
  [
    "--invite rig-7@recorder:8000",
    "error: --invite needs the receiver's --key FILE",
    "hint: the one that the receiver is started with, on the same machine",
  ],
  [
    "--invite rig-7@recorder:8000 --key k cam-2@recorder:8000",
    "error: unexpected argument: cam-2@recorder:8000",
    "hint: one device at a time: framepipe --invite once for each",
  ],
  [
    "--invite @recorder:8000 --key k",
    "error: --invite: no device in @recorder:8000",
    "hint: the device, and where it finds this receiver: rig-7@recorder:8000",
  ],
  [
    "--invite ../x@recorder:8000 --key k",
    'error: --invite: `..` segment in "../x"',
    "hint: the device, and where it finds this receiver: rig-7@recorder:8000",
  ],
  [
    "--invite rig@8000 --key k",
    "error: --invite: no host in 8000",
    "hint: on this machine: rig@localhost:8000",
    `hint: ${peers}`,
  ],
  [
    "--verify d --key k",
    "error: --key is an option of the sender, the receiver and --invite, and this is --verify",
    seeHelp,
  ],
  [
    "--read d --from 2026-11-25 --to 2026-11-25",
    "error: --to is not after --from",
    "hint: --from is the first moment that counts, --to the first that does not any more",
  ],
  [
    "--read d a/b a/c --as stream --pair-within 1s",
    "error: --pair-within cannot be used with --as stream: no player shows two sources",
    "hint: --as tar gives the frames of each pair one after the other",
  ],
  [
    "--send localhost:1 d --http 0.0.0.0:9100",
    "error: --http 0.0.0.0 can be reached from other machines, and is not encrypted",
    "hint: --key FILE encrypts it",
    "hint: --insecure answers there all the same: for a network you trust, or inside a tunnel",
    "hint: on this machine only: --http 9100",
  ],
  [
    "--receive 0 --out d --http [::]:9100",
    "error: --http :: can be reached from other machines, and is not encrypted",
    "hint: --key FILE encrypts it",
    "hint: --insecure answers there all the same: for a network you trust, or inside a tunnel",
    "hint: on this machine only: --http 9100",
  ],
  ["--read d --out e", "error: --out is an option of the receiver, and this is --read", seeHelp],
  ["--read d --from", "error: --from needs a value", seeHelp],
  [
    "--verify d --layout {name}",
    "error: --layout is for --rebuild",
    "hint: without it the catalogue says where everything is",
  ],
  [
    "--verify d --rebuild --replace",
    "error: --rebuild cannot be used with --replace: one thing at a time",
    "hint: leave out one of them",
  ],
  [
    "--verify s3://bucket/all --replace",
    "error: --replace is for directories",
    "hint: leave it out: what a store keeps, only its receivers change",
  ],
  ["--verify d --quiet --verbose", "error: --quiet cannot be used with --verbose", "hint: leave out one of them"],
];

describe("command line", () => {
  test.each(good)("framepipe %s", (line, expected) => expect(parse(line)).toEqual(expected));

  test.each(bad)("refused: framepipe %s", (line, ...said) => expect(complaint(line)).toEqual(said));

  test("--help and --version answer whatever else is asked", () => {
    for (const line of ["--help", "-h", "--send --help", "--nonsense --help", "--receive 1 --out d --help"]) {
      expect(parse(line)).toBe("help");
    }
    expect(parse("--send --version")).toBe("version");
    expect(parse("--send localhost:8000 -- --help")).toEqual(sending({}, { inputs: ["--help"] }));
  });
});

describe("environment", () => {
  const receiver: Environment = {
    FRAMEPIPE_RECEIVE: "8000",
    FRAMEPIPE_OUT: "d",
    FRAMEPIPE_ONCE: "1",
    FRAMEPIPE_INSECURE: "yes",
    FRAMEPIPE_VERBOSE: "0",
    FRAMEPIPE_MAX_FRAME: "1Ki",
  };
  const sender: Environment = { FRAMEPIPE_SEND: "localhost:80", FRAMEPIPE_INPUT: "vis", FRAMEPIPE_DELETE_SENT: "" };

  test("is enough to start a service", () => {
    expect(parse("", receiver)).toEqual(
      receiving({ out: ["d"], once: true, insecure: true, maxFrame: 1024 }, { host: undefined }),
    );
    expect(parse("", sender)).toEqual(sending({}, { port: 80 }));
    expect(parse("", { FRAMEPIPE_VERIFY: "d" })).toEqual(verifying({ verify: "d" }));
    // A receiver's own: not what was meant here.
    const layout = "{device}/{name}";
    expect(parse("", { FRAMEPIPE_VERIFY: "d", FRAMEPIPE_LAYOUT: layout })).toEqual(verifying({ verify: "d", layout }));
  });

  test("a variable that is empty is none", () => {
    for (const text of ["", " ", "\n"]) {
      expect(complaint("vis", { FRAMEPIPE_SEND: text, FRAMEPIPE_JSON: text })[0]).toStartWith("error: nothing to do");
      const line = "--send localhost:80 vis";
      expect(parse(line, { FRAMEPIPE_KEY: text, FRAMEPIPE_ONCE: text, FRAMEPIPE_MAX_FRAME: text })).toEqual(
        sending({}, { port: 80 }),
      );
    }
  });

  test("has lists with a value a line", () => {
    const inputs = { ...sender, FRAMEPIPE_INPUT: "\n  visible=./my frames\r\n\nir=./ir\n" };
    expect(parse("", inputs)).toMatchObject({ inputs: ["visible=./my frames", "ir=./ir"] });
    expect(parse("other", inputs)).toMatchObject({ inputs: ["other"] });
    expect(complaint("", { ...sender, FRAMEPIPE_INPUT: " \n" })[0]).toBe("error: nothing to send");
    expect(parse("", { ...receiver, FRAMEPIPE_OUT: "d\nday.tar" })).toMatchObject({
      values: { out: ["d", "day.tar"] },
    });
    expect(parse("", { ...receiver, FRAMEPIPE_INPUT: "vis" })).toMatchObject({ mode: "receive" });
    const formats = { ...sender, FRAMEPIPE_FORMAT: "jpeg\nir=gif" };
    expect(complaint("", formats)[0]).toBe("error: FRAMEPIPE_FORMAT: not a format: gif");
  });

  test("the command line wins", () => {
    expect(parse("--receive 1 --out e --max-frame 2K", receiver)).toMatchObject({
      port: 1,
      values: { out: ["e"], maxFrame: 2000 },
    });
    expect(parse("--include a", { ...sender, FRAMEPIPE_INCLUDE: "b\nc" })).toMatchObject({
      values: { include: ["a"] },
    });
    expect(parse("--verify d", { ...sender, ...receiver })).toMatchObject({ mode: "verify" });
  });

  test("what is for another mode is ignored, even if it is wrong", () => {
    const both = {
      FRAMEPIPE_SYNC: "nonsense",
      FRAMEPIPE_DEVICE: "..",
      FRAMEPIPE_ONCE: "maybe",
      FRAMEPIPE_OUT: "d",
    };
    expect(() => parse("--verify d", both)).not.toThrow();
    expect(parse("--send localhost:8000 --device d vis", both)).toMatchObject({ values: { device: "d" } });
  });

  test("a switch that is off contradicts nothing", () => {
    expect(parse("--delete-sent", { ...sender, FRAMEPIPE_LOCKSTEP: "off" })).toMatchObject({
      values: { deleteSent: true, lockstep: false },
    });
  });

  test.each<[Environment, string, string]>([
    [{ FRAMEPIPE_SEND: "80" }, "d", "error: FRAMEPIPE_SEND: no host in 80"],
    [
      { FRAMEPIPE_WHEN_BEHIND: "spool" },
      "--send a:1 --insecure d",
      "error: FRAMEPIPE_WHEN_BEHIND spool needs a directory to keep frames in",
    ],
    [
      { FRAMEPIPE_SPOOL: "d" },
      "--send localhost:1 --when-behind block d",
      "error: FRAMEPIPE_SPOOL cannot be used with --when-behind block",
    ],
    [{ FRAMEPIPE_VERBOSE: "1" }, "--verify d --quiet", "error: --quiet cannot be used with FRAMEPIPE_VERBOSE"],
    [
      { FRAMEPIPE_SEND: "a:1", FRAMEPIPE_RECEIVE: "1" },
      "",
      "error: FRAMEPIPE_RECEIVE and FRAMEPIPE_SEND exclude each other",
    ],
  ])("the variable is named: %p", (env, line, error) => expect(complaint(line, env)[0]).toBe(error));
});
