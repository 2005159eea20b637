/**
 * Every option, once: the command line, the environment and the help are made from this table, and so is whatever else
 * has to know them all. The key is the flag's name: `maxFrame` is `--max-frame` and `FRAMEPIPE_MAX_FRAME`.
 */
import {
  connectionsMaxDefault,
  frameBytesCeiling,
  frameBytesMaxDefault,
  invitationMsDefault,
  keepBytesMin,
  minFreeBytesDefault,
  spoolBytesMaxDefault,
  strangersPerAddressDefault,
} from "../limits.ts";
import type { SendingOrder } from "../protocols/source-ledger.ts";
import type { SyncMode } from "../sinks/store/sync-mode.ts";
import type { Captured } from "../sources/captured.ts";
import type { StreamInputOptions } from "../sources/open-source.ts";
import { frameNameDefault } from "../sources/stream/frame-names.ts";
import { choice, connectionCount, deviceName, duration, framesPerSecond, listenAddress } from "./option-values.ts";
import { type Parser, type Peer, peerAddress, plainText, rate, size, streamFormat } from "./option-values.ts";
import { invitationTime, type Invitee, invitee, publicKey, strangerCount } from "./option-values.ts";
import { asHint, capturedHow, clockHint, compareHint, moment, syncHint, whenBehindHint } from "./option-values.ts";
import { positiveDuration, sizeFrom } from "./option-values.ts";
import type { Address } from "../address.ts";
import type { ReadClock, ReadForm } from "../reading/read.ts";

export const modes = ["receive", "send", "invite", "verify", "read"] as const;
export type Mode = (typeof modes)[number];

type Switch =
  | "watch"
  | "deleteSent"
  | "lockstep"
  | "noCreate"
  | "rebuild"
  | "replace"
  | "once"
  | "insecure"
  | "json"
  | "quiet"
  | "verbose"
  | "help"
  | "version";

/** What each option gives. Undefined: it was not given and has no default of its own. */
export type OptionValues = Readonly<
  Record<Switch, boolean> &
    Record<"include" | "exclude" | "out", readonly string[]> &
    Record<"device" | "spool" | "layout" | "verify" | "sha256" | "read" | "key" | "join" | "peer", string | undefined> &
    Record<"spoolLimit" | "minFree" | "maxFrame" | "maxConnections" | "perAddress" | "for", number> &
    Record<"maxRate" | "fps" | "retryFor" | "unchangedFor" | "pairWithin", number | undefined> &
    Record<"keep" | "keepSize", number | undefined> &
    Record<"from" | "to", bigint | undefined> & {
      send: Peer | undefined;
      receive: Address | undefined;
      http: Address | undefined;
      invite: Invitee | undefined;
      format: StreamInputOptions["formats"];
      captured: Captured;
      name: string;
      order: SendingOrder;
      compare: "auto" | "always";
      whenBehind: StreamInputOptions["whenBehind"] | undefined;
      sync: SyncMode;
      as: ReadForm | undefined;
      clock: ReadClock;
    }
>;
export type OptionKey = keyof OptionValues;

interface Entry<Value> {
  /** Where it means something. Elsewhere it is refused, and its variable is ignored. */
  readonly modes: readonly Mode[];
  readonly help: string;
  /** What stands for its value in the help, and who reads it. Absent: a switch, which is there or not. */
  readonly takes?: readonly [placeholder: string, parse: Parser<Value extends readonly (infer One)[] ? One : Value>];
  /** May be given several times, or as lines of its variable. Of any other the last one counts. */
  readonly repeatable?: true;
  readonly default?: Value;
  /** Shown as the default. */
  readonly defaultText?: string;
  /** Options that contradict it, and why. */
  readonly conflicts?: { readonly [K in OptionKey]?: string };
  readonly short?: string;
  /** It has no variable. */
  readonly typedOnly?: true;
}

/** Options that mean something in these modes, and nowhere else. */
function only<Key extends OptionKey>(
  inModes: readonly Mode[],
  entries: { readonly [K in Key]: Omit<Entry<OptionValues[K]>, "modes"> },
): { readonly [K in Key]: Entry<OptionValues[K]> } {
  const complete = Object.entries<object>(entries).map(([key, entry]) => [key, { ...entry, modes: inModes }]);
  return Object.fromEntries(complete) as { readonly [K in Key]: Entry<OptionValues[K]> };
}

const ownPace = { lockstep: "it has one order and its own pace" };

/** In the order of the help. */
export const optionTable: { readonly [K in OptionKey]: Entry<OptionValues[K]> } = {
  ...only(["send"], {
    send: { takes: ["HOST:PORT", peerAddress], help: "where the receiver listens; [IPV6]:PORT" },
    device: {
      takes: ["NAME", deviceName],
      defaultText: "the host name; with --key what the receiver calls it",
      help: "who is sending; {host} is the host name, {id} tells machines of one name apart: --device {host}-{id}",
    },
    include: {
      takes: ["GLOB", plainText],
      repeatable: true,
      help: "send only matching files of a directory: --include '*.jpg'",
    },
    exclude: {
      takes: ["GLOB", plainText],
      repeatable: true,
      help: "leave out matching files of a directory: --exclude 'thumbs/*'",
    },
    watch: {
      help:
        "go on: send frames as they are finished in directories, also in one that is not there yet, and what the " +
        "next writer of a named pipe sends",
    },
    format: {
      takes: ["[SOURCE=]FORMAT", streamFormat],
      repeatable: true,
      defaultText: "auto",
      help: "how a stream is split: auto, jpeg, png, y4m, pnm, bmp or raw:BYTES; of one stream: infrared=raw:163840",
    },
    captured: {
      takes: ["HOW", capturedHow],
      default: { kind: "auto" },
      defaultText: "auto",
      help:
        "where capture times come from: of files mtime (auto), exif, or name:PATTERN as in name:IMG_%Y%m%d_%H%M%S; " +
        "of streams arrival (auto), exif, or header, the X-Timestamp of a multipart stream",
    },
    name: {
      takes: ["TEMPLATE", plainText],
      default: frameNameDefault,
      help:
        "names of a stream's frames, and of later pictures of a watched file that is written again and again, from " +
        "{date} {time} {sequence} {run} {source} {extension}",
    },
    order: {
      takes: ["ORDER", choice(["oldest", "newest"], "newest sends what is live first and the backlog behind it")],
      default: "oldest",
      conflicts: ownPace,
      help: "which unsent frame goes first: oldest or newest",
    },
    whenBehind: {
      takes: ["POLICY", choice(["block", "spool", "drop-oldest"], whenBehindHint)],
      defaultText: "block; spool with --spool",
      help: "what happens when the link is slower than a stream: block, spool or drop-oldest",
    },
    spool: { takes: ["DIR", plainText], help: "keep the frames of streams in this directory until they are stored" },
    spoolLimit: {
      ...size(1, Number.MAX_SAFE_INTEGER, spoolBytesMaxDefault),
      help: "how much --spool may keep; then the oldest frames are dropped",
    },
    maxRate: { takes: ["RATE", rate], defaultText: "none", conflicts: ownPace, help: "cap on the link: 20Mbit" },
    fps: {
      takes: ["N", framesPerSecond],
      conflicts: { watch: "it replays a directory, and --watch waits for what a camera adds to it" },
      help: "send so many frames a second of each directory: to replay it",
    },
    deleteSent: {
      conflicts: { lockstep: "an old receiver cannot prove that a frame is stored" },
      help: "remove each file once the receiver has stored it, never before",
    },
    unchangedFor: {
      takes: ["DURATION", duration],
      defaultText: "60s",
      help: "with --delete-sent: how long a file must have been stored and unchanged before it is removed",
    },
    compare: {
      takes: ["HOW", choice(["auto", "always"], compareHint)],
      default: "auto",
      conflicts: { lockstep: "an old receiver does not say what it has" },
      help: "how to believe that a file is there: auto (name, size and time, where these prove it), always (bytes)",
    },
    retryFor: {
      takes: ["DURATION", duration],
      defaultText: "for ever",
      help: "how long to try when the receiver is not there, or is there and cannot store",
    },
    lockstep: { help: "speak the stop-and-wait text protocol of an old receiver" },
  }),
  ...only(["receive"], {
    receive: {
      takes: ["[HOST:]PORT", listenAddress],
      help: "where to listen; port 0: any free one. Without HOST: 127.0.0.1, with --key or --insecure every interface",
    },
    out: {
      takes: ["DEST", plainText],
      repeatable: true,
      help:
        "required: a directory, a .tar or .mcap file, s3://BUCKET/PREFIX, nats://HOST/STREAM, - for standard " +
        "output, or /dev/null to count and discard; beside a directory framepipe://HOST:PORT, to hand on to another " +
        "receiver. " +
        "With several, a frame is acknowledged when every one has stored it; only - beside another is not waited for",
    },
    sync: {
      takes: ["MODE", choice(["batch", "each", "never"], syncHint)],
      default: "batch",
      help: "when stored means safe from power loss: batch (frames are flushed in groups), each, or never",
    },
    maxConnections: {
      takes: ["N", connectionCount],
      default: connectionsMaxDefault,
      help: "connections at a time",
    },
    minFree: {
      ...size(0, Number.MAX_SAFE_INTEGER, minFreeBytesDefault),
      help: "with less free disk than this, wait for space",
    },
    keep: {
      takes: ["DURATION", positiveDuration],
      defaultText: "for ever",
      help: "remove frames that arrived longer ago, file and row: --keep 30d",
    },
    keepSize: {
      takes: ["SIZE", sizeFrom(keepBytesMin)],
      defaultText: "any",
      help: "remove the oldest frames beyond this size: --keep-size 500G",
    },
    noCreate: { help: "begin no archive: the destination must have one, so that an empty mount point is refused" },
    perAddress: {
      takes: ["N", strangerCount],
      default: strangersPerAddressDefault,
      help: "with --key: connections of one address that were not let in yet; 0: any number, behind a balancer",
    },
    once: { help: "exit when the first session has ended" },
  }),
  ...only(["receive", "verify"], {
    layout: {
      takes: ["TEMPLATE", plainText],
      defaultText: "{device}/{source}/{name}",
      help: "path of a frame below the directory; with --rebuild as the receiver had it",
    },
  }),
  ...only(["send", "receive"], {
    join: {
      takes: ["FILE", plainText],
      help:
        "with --key: an invitation, for the first start; - is standard input. Passed over once the key knows its " +
        "receiver; of a gateway, its upstream",
    },
    peer: {
      takes: ["fp1…", publicKey],
      defaultText: "known from the invitation",
      help: "with --key: the public key of the receiver, or of the upstream, for scripts",
    },
    maxFrame: {
      ...size(1, frameBytesCeiling, frameBytesMaxDefault),
      help: "largest frame that is sent or accepted; a larger one is named and left out",
    },
    http: {
      takes: ["[HOST:]PORT", listenAddress],
      help:
        "pictures, figures, metrics for Prometheus and health checks over HTTP, for who shows the token that is said " +
        "at the start. Without HOST: 127.0.0.1; elsewhere encrypted with --key, or with --insecure",
    },
    insecure: { help: "allow plain TCP to or from other machines" },
  }),
  ...only(["send", "receive", "invite"], {
    key: {
      takes: ["FILE", plainText],
      conflicts: {
        insecure: "with a key, every connection is proven and encrypted",
        lockstep: "an old receiver has no key",
      },
      help: "this end's key, made if it is not there: TLS 1.3, and both ends prove who they are",
    },
  }),
  ...only(["invite"], {
    invite: {
      takes: ["DEVICE@HOST:PORT", invitee],
      help: "print an invitation, which lets one new device send to the receiver with this --key, once",
    },
    for: {
      takes: ["DURATION", invitationTime],
      default: invitationMsDefault,
      defaultText: "10m",
      help: "how long the invitation may be used",
    },
  }),
  ...only(["verify"], {
    verify: {
      takes: ["DEST", plainText],
      help: "of a directory, archive, s3://… or nats://…: name the frames that are missing, changed or unknown",
    },
    sha256: {
      takes: ["FILE", plainText],
      help: "of a directory: write the SHA-256 of each file that is as it was stored there, for sha256sum -c",
    },
    rebuild: {
      conflicts: { replace: "one thing at a time" },
      help:
        "of a directory: first enter the files that its catalogue does not know, or make it anew from them if it is " +
        "gone or damaged; what did not arrive is not known then",
    },
    replace: {
      help: "of a directory: set changed files aside, so that their frames are stored when they are sent again",
    },
  }),
  ...only(["read"], {
    read: {
      takes: ["DIR", plainText],
      help: "give stored frames out again, of all sources or of each DEVICE/SOURCE that is named: in the order of time",
    },
    from: { takes: ["TIME", moment], help: "only what was captured then or later" },
    to: { takes: ["TIME", moment], help: "only what was captured before that" },
    as: {
      takes: ["FORM", choice(["stream", "tar", "list", "json"], asHint)],
      defaultText: "list; json with --json",
      help: "stream (frames back to back), tar, list (a line each: time, source, bytes, path) or json",
    },
    pairWithin: {
      takes: ["DURATION", duration],
      help: "of two sources: the frames that are each other's nearest in time, and so near: 20ms",
    },
    clock: {
      takes: ["WHOSE", choice(["sender", "receiver"], clockHint)],
      default: "sender",
      help: "whose clock times are by: sender, or receiver, which corrects those of a device whose clock was wrong",
    },
  }),
  ...only(modes, {
    json: {
      help: "messages as JSON lines on standard error; what --verify and --read find as JSON lines on standard output",
    },
    quiet: { conflicts: { verbose: "" }, help: "only errors, and frames that are not stored" },
    verbose: {
      help:
        "more about connections, and progress where there is no terminal to draw it on; with --json an event for " +
        "each frame that is stored",
    },
    help: { short: "-h", typedOnly: true, help: "this text" },
    version: { typedOnly: true, help: "version and commit" },
  }),
};

export const optionKeys: readonly OptionKey[] = Object.keys(optionTable) as OptionKey[];

/** For whoever does not care what the option gives. */
export function entryOf(key: OptionKey): Entry<unknown> {
  return optionTable[key];
}

export function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

export function variableOf(flag: string): string {
  return `FRAMEPIPE_${flag.slice(2).toUpperCase().replaceAll("-", "_")}`;
}
