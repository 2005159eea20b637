/**
 * From options to one `Command`: plain values that are known to be good together. Throws UserError for everything else,
 * with the option or the variable it is about.
 */
import { assert, UserError } from "../errors.ts";
import type { StreamInputOptions } from "../sources/open-source.ts";
import { formatBytes } from "./format.ts";
import type { OptionValues } from "./option-table.ts";
import { type Environment, type ParsedOptions, parseOptions, wordsBeforeEnd } from "./parsed-options.ts";
import { formatAddress, isLoopback } from "../address.ts";

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
}

export interface VerifyCommand {
  readonly mode: "verify";
  readonly values: OptionValues;
  readonly directory: string;
}

export type Command = SendCommand | ReceiveCommand | VerifyCommand;

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
    case "verify":
      return verifyCommand(options);
  }
}

function sendCommand(options: ParsedOptions): SendCommand {
  const { inputs, values, label } = options;
  const { send, insecure } = values;
  assert(send !== undefined, "the mode is chosen by its option");
  const { host, port } = send;
  if (!isLoopback(host) && !insecure) {
    throw new UserError(`the connection to ${host} leaves this machine, and would not be encrypted`, [
      "--insecure sends over plain TCP all the same: for a network you trust, or inside a tunnel",
      `encrypted: ssh -N -L ${port}:localhost:${port} ${host}, and then --send localhost:${port}`,
    ]);
  }
  if (inputs.length === 0) {
    throw new UserError("nothing to send", [
      `name a directory: framepipe --send ${formatAddress(host, port)} visible=./vis`,
    ]);
  }
  if (label("unchangedFor") !== undefined && !values.deleteSent) {
    throw new UserError(`${label("unchangedFor")} is for --delete-sent`, ["add --delete-sent, or leave it out"]);
  }
  return { mode: "send", values, host, port, inputs, streams: streamOptions(options) };
}

const streamKeys = ["format", "captured", "name", "whenBehind", "spool", "spoolLimit"] as const;

function streamOptions({ values, label }: ParsedOptions): StreamInputOptions {
  const { spool, format: formats, maxFrame } = values;
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
    captured: values.captured === "header" ? "header" : "arrival",
    whenBehind,
    spool,
    spoolBytesMax: values.spoolLimit,
    onlyForStreams: streamKeys
      .filter((key) => key !== "name" || !values.watch)
      .map(label)
      .find((one) => one !== undefined),
  };
}

function receiveCommand(options: ParsedOptions): ReceiveCommand {
  const { inputs, values } = options;
  const { out } = values;
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
  return { mode: "receive", values, host, port };
}

function listenAddress({ values: { receive, insecure } }: ParsedOptions): Pick<ReceiveCommand, "host" | "port"> {
  assert(receive !== undefined, "the mode is chosen by its option");
  const { host, port } = receive;
  if (host === undefined) return { host: insecure ? undefined : "127.0.0.1", port };
  if (isLoopback(host) || insecure) return { host, port };
  throw new UserError(`${host} can be reached from other machines, and connections would not be encrypted`, [
    "--insecure accepts plain TCP all the same: for a network you trust, or inside a tunnel",
    `on this machine only: --receive ${port}`,
  ]);
}

function verifyCommand({ inputs, values }: ParsedOptions): VerifyCommand {
  if (inputs.length > 0)
    throw new UserError(`unexpected argument: ${inputs[0]}`, ["one directory at a time: framepipe --verify DIR"]);
  return { mode: "verify", values, directory: values.verify ?? "" };
}
