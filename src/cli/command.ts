/**
 * From options to one `Command`: plain values that are known to be good together. Throws UserError for everything else,
 * with the option or the variable it is about.
 */
import { assert, UserError } from "../errors.ts";
import type { ReadForm } from "../reading/read.ts";
import type { StreamInputOptions } from "../sources/open-source.ts";
import { isAddress } from "../sinks/open-remote.ts";
import { formatBytes } from "./format.ts";
import { flagOf, type OptionKey, type OptionValues } from "./option-table.ts";
import { type Environment, type ParsedOptions, parseOptions, wordsBeforeEnd } from "./parsed-options.ts";
import { formatAddress, isLoopback, parseAddress } from "../address.ts";

export interface SendCommand {
  readonly mode: "send";
  readonly values: OptionValues;
  readonly host: string;
  readonly port: number;
  /** `[SOURCE=]INPUT`, as written. At least one. */
  readonly inputs: readonly string[];
  readonly streams: StreamInputOptions;
}

export interface ReceiveCommand {
  readonly mode: "receive";
  readonly values: OptionValues;
  /** Undefined: every interface. */
  readonly host: string | undefined;
  /** 0: the system chooses. */
  readonly port: number;
  /** Where it stores. At least one. */
  readonly out: readonly string[];
  /** Of a gateway: whom it hands on to. */
  readonly upstream: Upstream | undefined;
}

export interface Upstream {
  readonly host: string;
  readonly port: number;
}

export interface InviteCommand {
  readonly mode: "invite";
  readonly values: OptionValues;
  readonly device: string;
  /** Where it finds the receiver. */
  readonly address: string;
  readonly key: string;
}

export interface VerifyCommand {
  readonly mode: "verify";
  readonly values: OptionValues;
  readonly directory: string;
}

export interface ReadCommand {
  readonly mode: "read";
  readonly values: OptionValues;
  readonly directory: string;
  /** `DEVICE/SOURCE`, as written; none: all. */
  readonly wanted: readonly string[];
  readonly as: ReadForm;
}

export type Command = SendCommand | ReceiveCommand | InviteCommand | VerifyCommand | ReadCommand;

/** What the command line asks for. `help` and `version` win over everything else, so that they always answer. */
export function parseArguments(words: readonly string[], env: Environment): Command | "help" | "version" {
  const before = wordsBeforeEnd(words);
  if (before.includes("--help") || before.includes("-h")) return "help";
  if (before.includes("--version")) return "version";
  const options = parseOptions(words, env);
  switch (options.mode) {
    case "send":
      return sendCommand(options);
    case "receive":
      return receiveCommand(options);
    case "invite":
      return inviteCommand(options);
    case "verify":
      return verifyCommand(options);
    case "read":
      return readCommand(options);
  }
}

function sendCommand(options: ParsedOptions): SendCommand {
  const { inputs, values, label } = options;
  const { send, insecure, key, join } = values;
  assert(send !== undefined, "the mode is chosen by its option");
  const { host, port } = send;
  requireKeyFor(options, "join", "peer");
  checkHttp(options);
  if (!isLoopback(host) && !insecure && key === undefined) {
    throw new UserError(`the connection to ${host} leaves this machine, and would not be encrypted`, [
      "--key FILE proves and encrypts it; framepipe --invite at the receiver prints what to --join with",
      "--insecure sends over plain TCP all the same: for a network you trust, or inside a tunnel",
    ]);
  }
  if (inputs.length === 0) {
    throw new UserError("nothing to send", [
      `name a directory: framepipe --send ${formatAddress(host, port)} visible=./vis`,
    ]);
  }
  if (join === "-" && inputs.some((input) => input === "-" || input.endsWith("=-"))) {
    throw new UserError(`${label("join")} - reads standard input, and so does an input`, [
      "keep the invitation in a file: --join FILE",
    ]);
  }
  if (label("unchangedFor") !== undefined && !values.deleteSent) {
    throw new UserError(`${label("unchangedFor")} is for --delete-sent`, ["add --delete-sent, or leave it out"]);
  }
  return { mode: "send", values, host, port, inputs, streams: streamOptions(options) };
}

/** Pictures, figures and their token go over it. */
function checkHttp({ values: { http, insecure, key }, label }: ParsedOptions): void {
  if (http?.host === undefined || isLoopback(http.host) || insecure || key !== undefined) return;
  throw new UserError(`${label("http")} ${http.host} can be reached from other machines, and is not encrypted`, [
    "--key FILE encrypts it",
    "--insecure answers there all the same: for a network you trust, or inside a tunnel",
    `on this machine only: --http ${http.port}`,
  ]);
}

function requireKeyFor({ values, label }: ParsedOptions, ...keys: readonly OptionKey[]): void {
  const given = keys.map(label).find((one) => one !== undefined);
  if (given === undefined || values.key !== undefined) return;
  throw new UserError(`${given} is for --key`, ["add --key FILE, this end's key: it is made if it is not there"]);
}

const streamKeys = ["format", "name", "whenBehind", "spool", "spoolLimit"] as const;

function streamOptions({ values, label }: ParsedOptions): StreamInputOptions {
  const { spool, format: formats, maxFrame, captured } = values;
  const capturedSaid = `${label("captured")} ${captured.kind === "name" ? "name:" : captured.kind}`;
  const ofStreams = captured.kind === "header" || captured.kind === "arrival" ? capturedSaid : undefined;
  const whenBehind = values.whenBehind ?? (spool === undefined ? "block" : "spool");
  if (whenBehind === "spool" && spool === undefined) {
    throw new UserError(`${label("whenBehind")} spool needs a directory to keep frames in`, [
      "for example --spool /var/spool/framepipe",
    ]);
  }
  if (whenBehind !== "spool" && spool !== undefined) {
    throw new UserError(`${label("spool")} cannot be used with ${label("whenBehind")} ${whenBehind}`, [
      "leave out one of them",
    ]);
  }
  if (spool === undefined && label("spoolLimit") !== undefined)
    throw new UserError(`${label("spoolLimit")} is for --spool`, ["add --spool DIR, the directory that it limits"]);
  for (const { format } of formats) {
    if (format.kind !== "raw" || format.bytes <= maxFrame) continue;
    const hint = `at most ${formatBytes(maxFrame)} (--max-frame)`;
    throw new UserError(`${label("format")}: a frame of ${formatBytes(format.bytes)} is too much`, [hint]);
  }
  return {
    formats,
    nameTemplate: values.name,
    nameGiven: label("name") !== undefined,
    whenBehind,
    spool,
    spoolBytesMax: values.spoolLimit,
    onlyForStreams:
      ofStreams ??
      streamKeys
        .filter((key) => key !== "name" || !values.watch)
        .map(label)
        .find((one) => one !== undefined),
    onlyForFiles: captured.kind === "mtime" || captured.kind === "name" ? capturedSaid : undefined,
  };
}

function receiveCommand(options: ParsedOptions): ReceiveCommand {
  const { inputs, values, label } = options;
  const { out, key, layout } = values;
  requireKeyFor(options, "perAddress");
  checkHttp(options);
  const { host, port } = listenAddress(options);
  if (inputs.length > 0) {
    const hint = out.length === 0 ? `the destination is an option: --out ${inputs[0]}` : "inputs are for --send";
    throw new UserError(`unexpected argument: ${inputs[0]}`, [hint]);
  }
  if (out.length === 0) {
    throw new UserError("--out is missing: where to store", [
      "a directory: --out captures",
      "or one file, or standard output: --out day.tar, --out -",
      "or to count and discard: --out /dev/null",
    ]);
  }
  const keep = label("keep") ?? label("keepSize");
  if (keep !== undefined && out.every((destination) => isFileOrDevice(destination))) {
    throw new UserError(`${keep} is for a directory, and no --out is one`, ["--out captures, or leave it out"]);
  }
  if (key !== undefined && layout !== undefined && !layout.startsWith("{device}/")) {
    throw new UserError(`${label("layout")}: with a key it begins with {device}/, found ${layout}`, [
      "each device writes into a directory of its own: --layout '{device}/{date}/{name}'",
    ]);
  }
  return { mode: "receive", values, host, port, ...handingOn(options) };
}

function isFileOrDevice(destination: string): boolean {
  return /^(?:-|\/dev\/(?:null|stdout|fd\/1)|.*\.(?:tar|mcap))$/i.test(destination);
}

const upstreamScheme = /^framepipe:\/\//i;

/** A gateway keeps what it is sent in a directory, and hands on from there: nobody waits for its upstream. */
function handingOn(options: ParsedOptions): Pick<ReceiveCommand, "out" | "upstream"> {
  const { values, label } = options;
  const { out: all, key, insecure } = values;
  const out = all.filter((destination) => !upstreamScheme.test(destination));
  const [address, another] = all.filter((destination) => upstreamScheme.test(destination));
  const idle = label("join") ?? label("peer");
  if (address === undefined) {
    if (idle === undefined) return { out, upstream: undefined };
    throw new UserError(`${idle} is for a receiver that hands on, and no --out is framepipe://HOST:PORT`, [
      "who sends to this receiver needs it: framepipe --send … --join FILE",
    ]);
  }
  if (another !== undefined) {
    throw new UserError("two upstreams: a gateway hands on to one", ["hand on from there to the other"]);
  }
  if (out.filter((destination) => !isFileOrDevice(destination) && !isAddress(destination)).length !== 1) {
    throw new UserError(`--out ${address} needs one directory beside it, from which it hands on`, [
      `--out captures --out ${address}: while the upstream is away, frames wait in captures`,
    ]);
  }
  const parsed = parseAddress(address.replace(upstreamScheme, "").replace(/\/+$/, ""));
  if (parsed?.host === undefined || parsed.port === 0) {
    throw new UserError(`--out ${address}: no HOST:PORT`, [
      "where the upstream receiver listens: framepipe://recorder:8000",
    ]);
  }
  const { host, port } = parsed;
  requireKeyFor(options, "join", "peer");
  if (!isLoopback(host) && !insecure && key === undefined) {
    throw new UserError(`the connection to ${host} leaves this machine, and would not be encrypted`, [
      "--key FILE proves and encrypts it; framepipe --invite at the upstream prints what to --join with",
      "--insecure hands on over plain TCP all the same: for a network you trust, or inside a tunnel",
    ]);
  }
  return { out, upstream: { host, port } };
}

function listenAddress({ values: { receive, insecure, key } }: ParsedOptions): Pick<ReceiveCommand, "host" | "port"> {
  assert(receive !== undefined, "the mode is chosen by its option");
  const { host, port } = receive;
  const isOpen = insecure || key !== undefined;
  if (host === undefined) return { host: isOpen ? undefined : "127.0.0.1", port };
  if (isLoopback(host) || isOpen) return { host, port };
  throw new UserError(`${host} can be reached from other machines, and connections would not be encrypted`, [
    "--key FILE lets in only who proves a key, and encrypts",
    "--insecure accepts plain TCP all the same: for a network you trust, or inside a tunnel",
    `on this machine only: --receive ${port}`,
  ]);
}

function inviteCommand({ inputs, values, label }: ParsedOptions): InviteCommand {
  const { invite, key } = values;
  assert(invite !== undefined, "the mode is chosen by its option");
  if (inputs.length > 0) {
    throw new UserError(`unexpected argument: ${inputs[0]}`, [
      "one device at a time: framepipe --invite once for each",
    ]);
  }
  if (key === undefined) {
    throw new UserError(`${label("invite")} needs the receiver's --key FILE`, [
      "the one that the receiver is started with, on the same machine",
    ]);
  }
  const { device, host, port } = invite;
  return { mode: "invite", values, device, address: formatAddress(host, port), key };
}

function verifyCommand({ inputs, values, label }: ParsedOptions): VerifyCommand {
  if (inputs.length > 0)
    throw new UserError(`unexpected argument: ${inputs[0]}`, ["one directory at a time: framepipe --verify DIR"]);
  const { verify, rebuild } = values;
  const change = label("rebuild") ?? label("replace");
  if (change !== undefined && isAddress(verify ?? ""))
    throw new UserError(`${change} is for directories`, [
      "leave it out: what a store keeps, only its receivers change",
    ]);
  // A receiver's variable may be there all the same.
  if (label("layout") === flagOf("layout") && !rebuild)
    throw new UserError("--layout is for --rebuild", ["without it the catalogue says where everything is"]);
  return { mode: "verify", values, directory: verify ?? "" };
}

function readCommand({ inputs, values, label }: ParsedOptions): ReadCommand {
  const { from, to, pairWithin, json } = values;
  const as = values.as ?? (json ? "json" : "list");
  if (from !== undefined && to !== undefined && from >= to) {
    throw new UserError(`${label("to")} is not after ${label("from")}`, [
      "--from is the first moment that counts, --to the first that does not any more",
    ]);
  }
  if (as === "stream" && pairWithin !== undefined) {
    throw new UserError(
      `${label("pairWithin")} cannot be used with ${label("as")} stream: no player shows two sources`,
      ["--as tar gives the frames of each pair one after the other"],
    );
  }
  return { mode: "read", values, directory: values.read ?? "", wanted: inputs, as };
}
