/**
 * From what was typed and set to one `Command`: plain values that are known to be good. Throws UserError for everything
 * else, with the option or the variable it is about.
 */
import { UserError } from "../errors.ts";
import { connectionsMaxDefault, frameBytesCeiling, frameBytesMaxDefault, minFreeBytesDefault } from "../limits.ts";
import { nameProblem } from "../names.ts";
import type { SendingOrder } from "../protocols/source-ledger.ts";
import type { StreamInputOptions } from "../sources/open-source.ts";
import { formatBytes } from "./format.ts";
import { type Environment, type Given, readGiven, type Text, type ValueKey } from "./given.ts";
import { framesPerSecond, maxRate, sendingOrder, streamOptions } from "./stream-options.ts";
import {
  type Address,
  formatAddress,
  isLoopback,
  parseAddress,
  parseCount,
  parseDuration,
  parseSize,
} from "./values.ts";

/** How to talk to the user. */
export interface Manners {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

export interface SendCommand {
  readonly mode: "send";
  readonly manners: Manners;
  readonly host: string;
  readonly port: number;
  /** `[SOURCE=]INPUT`, as written. */
  readonly inputs: readonly string[];
  /** Undefined: the host name. */
  readonly device: string | undefined;
  readonly include: readonly string[];
  /** Keep sending what appears in the directories. */
  readonly watch: boolean;
  readonly streams: StreamInputOptions;
  readonly order: SendingOrder;
  /** Cap on the link, in bytes per millisecond. */
  readonly rateMax: number | undefined;
  /** Of each directory. */
  readonly framesPerSecond: number | undefined;
  readonly deleteSent: boolean;
  /** Undefined: for ever. */
  readonly retryForMs: number | undefined;
  readonly lockstep: boolean;
}

/** When stored means that it survives a power loss. */
export const syncModes = ["batch", "each", "never"] as const;
export type SyncMode = (typeof syncModes)[number];

export interface ReceiveCommand {
  readonly mode: "receive";
  readonly manners: Manners;
  /** Undefined: every interface. */
  readonly host: string | undefined;
  /** 0: the system chooses. */
  readonly port: number;
  /** At least one. */
  readonly out: readonly string[];
  /** Undefined: the sink's own. */
  readonly layout: string | undefined;
  readonly sync: SyncMode;
  readonly frameBytesMax: number;
  readonly connectionsMax: number;
  readonly minFreeBytes: number;
  readonly once: boolean;
}

export interface VerifyCommand {
  readonly mode: "verify";
  readonly manners: Manners;
  readonly directory: string;
}

export type Command = SendCommand | ReceiveCommand | VerifyCommand;

/** What the command line asks for. `help` and `version` win over everything else, so that they always answer. */
export function parseArguments(words: readonly string[], env: Environment): Command | "help" | "version" {
  const end = words.indexOf("--");
  const before = end === -1 ? words : words.slice(0, end);
  if (before.includes("--help") || before.includes("-h")) return "help";
  if (before.includes("--version")) return "version";
  const given = readGiven(words, env);
  switch (given.mode) {
    case "send":
      return sendCommand(given);
    case "receive":
      return receiveCommand(given);
    case "verify":
      return verifyCommand(given);
  }
}

function mannersOf(given: Given): Manners {
  const manners = { json: given.switch("json"), quiet: given.switch("quiet"), verbose: given.switch("verbose") };
  if (manners.quiet && manners.verbose)
    throw new UserError("--quiet and --verbose contradict each other", ["choose one of them"]);
  return manners;
}

/** Bytes. */
function size(given: Given, key: ValueKey, fallback: number, least: number, most: number): number {
  const text = given.last(key);
  if (text === undefined) return fallback;
  const bytes = parseSize(text.text);
  if (bytes === undefined) {
    throw new UserError(`${text.label}: not a size: ${text.text}`, [
      "a number, then K M G (of 1000) or Ki Mi Gi (of 1024): 256Mi",
    ]);
  }
  if (bytes < least)
    throw new UserError(`${text.label}: ${formatBytes(bytes)} is too little`, [`at least ${formatBytes(least)}`]);
  if (bytes > most)
    throw new UserError(`${text.label}: ${formatBytes(bytes)} is too much`, [`at most ${formatBytes(most)}`]);
  return bytes;
}

function sendCommand(given: Given): SendCommand {
  const { inputs } = given;
  const manners = mannersOf(given);
  const { host, port } = peerAddress(given);
  const deleteSent = given.switch("deleteSent");
  const lockstep = given.switch("lockstep");
  if (deleteSent && lockstep) {
    throw new UserError(
      "--delete-sent cannot be used with --lockstep: its replies do not prove that a frame is stored",
      ["leave out --delete-sent, or use framepipe at both ends without --lockstep"],
    );
  }
  const watch = given.switch("watch");
  const fps = framesPerSecond(given);
  if (watch && fps !== undefined) {
    throw new UserError("--fps replays a directory, and --watch waits for what a camera adds to it", [
      "leave out one of them",
    ]);
  }
  const lockstepHas = lockstep
    ? (["order", "maxRate"] as const).find((key) => given.last(key) !== undefined)
    : undefined;
  if (lockstepHas !== undefined) {
    throw new UserError(
      `${given.last(lockstepHas)?.label} cannot be used with --lockstep: it has one order and its own pace`,
      ["leave it out, or use framepipe at both ends without --lockstep"],
    );
  }
  if (inputs.length === 0) {
    throw new UserError("nothing to send", [
      `name a directory: framepipe --send ${formatAddress(host, port)} visible=./vis`,
    ]);
  }
  return {
    mode: "send",
    manners,
    host,
    port,
    inputs,
    device: deviceName(given),
    include: given.all("include").map(({ text }) => text),
    watch,
    streams: streamOptions(given),
    order: sendingOrder(given),
    rateMax: maxRate(given),
    framesPerSecond: fps,
    deleteSent,
    retryForMs: retryFor(given),
    lockstep,
  };
}

const peerExamples = "for example 192.168.1.20:8000, camera-store:8000 or [fd00::20]:8000";
const listenExamples = "for example 8000, 192.168.1.20:8000 or [fd00::20]:8000";

function address(given: Text, examples: string): Address {
  const parsed = parseAddress(given.text);
  if (parsed !== undefined) return parsed;
  const bare = !given.text.includes("[") && given.text.split(":").length > 2;
  const hint = bare ? "an IPv6 address stands in brackets: [fd00::20]:8000" : `${examples}; a port is at most 65535`;
  throw new UserError(`${given.label}: not an address: ${given.text}`, [hint]);
}

function peerAddress(given: Given): { host: string; port: number } {
  const text = given.last("send") ?? { text: "", label: "--send" };
  const { host, port } = address(text, peerExamples);
  if (host === undefined) {
    throw new UserError(`${text.label}: no host in ${text.text}`, [
      `on this machine: --send localhost:${port}`,
      peerExamples,
    ]);
  }
  if (port === 0)
    throw new UserError(`${text.label}: no port in ${text.text}`, ["the receiver says on which port it listens"]);
  if (!isLoopback(host) && !given.switch("insecure")) {
    throw new UserError(`the connection to ${host} leaves this machine, and would not be encrypted`, [
      "--insecure sends over plain TCP all the same: for a network you trust, or inside a tunnel",
      `encrypted: ssh -N -L ${port}:localhost:${port} ${host}, and then --send localhost:${port}`,
    ]);
  }
  return { host, port };
}

function deviceName(given: Given): string | undefined {
  const device = given.last("device");
  if (device === undefined) return undefined;
  const problem = nameProblem(device.text);
  if (problem === undefined) return device.text;
  throw new UserError(`${device.label}: ${problem} in ${JSON.stringify(device.text)}`, [
    "it names a directory at the receiver: letters, digits, - and _ are safe, / makes sub-directories",
  ]);
}

function retryFor(given: Given): number | undefined {
  const text = given.last("retryFor");
  if (text === undefined) return undefined;
  const ms = parseDuration(text.text);
  if (ms !== undefined) return ms;
  throw new UserError(`${text.label}: not a duration: ${text.text}`, ["a number, then ms s m h or d: 90s"]);
}

function receiveCommand(given: Given): ReceiveCommand {
  const { inputs } = given;
  const manners = mannersOf(given);
  const { host, port } = listenAddress(given);
  const out = given.all("out");
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
  const sync = given.last("sync");
  return {
    mode: "receive",
    manners,
    host,
    port,
    out: out.map(({ text }) => text),
    layout: given.last("layout")?.text,
    sync: sync === undefined ? "batch" : syncMode(sync),
    frameBytesMax: size(given, "maxFrame", frameBytesMaxDefault, 1, frameBytesCeiling),
    connectionsMax: connectionsMax(given),
    minFreeBytes: size(given, "minFree", minFreeBytesDefault, 0, Number.MAX_SAFE_INTEGER),
    once: given.switch("once"),
  };
}

function listenAddress(given: Given): Address {
  const text = given.last("receive") ?? { text: "", label: "--receive" };
  const { host, port } = address(text, listenExamples);
  const insecure = given.switch("insecure");
  if (host === undefined) return { host: insecure ? undefined : "127.0.0.1", port };
  if (!isLoopback(host) && !insecure) {
    throw new UserError(`${host} can be reached from other machines, and connections would not be encrypted`, [
      "--insecure accepts plain TCP all the same: for a network you trust, or inside a tunnel",
      `on this machine only: --receive ${port}`,
    ]);
  }
  return { host, port };
}

function syncMode({ text, label }: Text): SyncMode {
  const mode = syncModes.find((known) => known === text);
  if (mode !== undefined) return mode;
  throw new UserError(`${label}: found ${text}, expected ${syncModes.join(", ").replace(/, (\w+)$/, " or $1")}`, [
    "batch flushes frames in groups, each one by one, never leaves it to the system",
  ]);
}

function connectionsMax(given: Given): number {
  const text = given.last("maxConnections");
  if (text === undefined) return connectionsMaxDefault;
  const count = parseCount(text.text);
  if (count !== undefined && count > 0) return count;
  throw new UserError(`${text.label}: not a number of connections: ${text.text}`, ["a whole number from 1"]);
}

function verifyCommand(given: Given): VerifyCommand {
  const { inputs } = given;
  const directory = given.last("verify");
  if (inputs.length > 0)
    throw new UserError(`unexpected argument: ${inputs[0]}`, ["one directory at a time: framepipe --verify DIR"]);
  return { mode: "verify", manners: mannersOf(given), directory: directory?.text ?? "" };
}
