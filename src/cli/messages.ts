/** What events say: the sentence for a person, how important it is, and the object for a machine. */
import { ProtocolCode } from "../errors.ts";
import type { DestinationEvent, ReceiverEvent, SenderEvent } from "../events.ts";
import type { GapReason, RefusalReason, SourceTotals } from "../frame.ts";
import type { SourceProblem } from "../sources/files/frame-files.ts";
import { formatBytes, formatCount, formatDuration, formatFrames } from "./format.ts";
import type { Report } from "./report.ts";

/** Said where the peer or the file system gave no detail. */
const refusals: Readonly<Record<RefusalReason, string>> = {
  name: "not a safe name, or one that the destination cannot hold",
  "too-large": "larger than the receiver's --max-frame",
  checksum: "arrived damaged",
  symlink: "a symbolic link is in its place",
  storage: "could not be written",
  format: "does not fit the stream on the receiver's standard output",
  other: "for a reason that this version does not know",
};

const gaps: Readonly<Record<GapReason, string>> = {
  unreadable: "could not be read",
  vanished: "no longer there",
  changing: "changed while it was read",
  refused: "refused",
  dropped: "the link was slower than the camera",
  damaged: "its bytes are damaged",
  duplicate: "it was there already",
  expired: "it was there, and has been removed to make room",
  other: "for a reason that this version does not know",
};

/** What happens to destinations in the course of things. */
const ordinary: ReadonlySet<DestinationEvent["what"]> = new Set(["begun", "rotated", "log-small", "converting"]);

const conflict = "the name held another frame, so it was stored beside it under a numbered name";

export function describeSenderEvent(event: SenderEvent): Report {
  switch (event.event) {
    case "connecting":
      return { level: "detail", event, text: `connecting to ${event.peer}` };
    case "connected":
      return {
        level: "info",
        event,
        text: `connected to ${event.peer}${event.device === undefined ? "" : ` as ${event.device}`}`,
      };
    case "disconnected": {
      const { peer, reason, hint } = event;
      const trying = hint === undefined ? "trying until it is there" : "trying on";
      const text = `no connection to ${peer}: ${reason}; ${trying}`;
      return { level: "info", event, text, ...(hint === undefined ? {} : { hints: [hint] }) };
    }
    case "held":
      return {
        level: "warning",
        event,
        text: `waiting: the receiver cannot store${ofSource(event)} now: ${event.reason}`,
        ...(event.retryForMs === undefined ? {} : { hints: [heldHint(event.retryForMs)] }),
      };
    case "resumed":
      return { level: "info", event, text: `the receiver stores${ofSource(event)} again` };
    case "waiting":
      return { level: "warning", event, text: `waiting: ${event.detail}` };
    case "notice": {
      const hints = event.notice === "shared-device" ? [sharedDeviceHint(event)] : undefined;
      return { level: "warning", event, text: `the receiver says: ${event.detail}`, hints };
    }
    case "stored":
      return { level: "detail", event, text: `stored ${event.source}/${event.name}` };
    case "skipped":
      return { level: "frame", event, text: `skipped ${whatOf(event)}: ${event.detail || gaps[event.reason]}` };
    case "refused":
      return { level: "frame", event, text: `refused ${whatOf(event)}: ${event.detail || refusals[event.reason]}` };
    case "conflict":
      return { level: "info", event, text: `conflict ${event.source}/${event.name}: ${conflict}` };
    case "source-ended":
      return { level: "detail", event, text: `end of ${event.source}: ${formatTotals(event.totals)}` };
    case "totals-differ": {
      const text = `the receiver does not share the totals of ${event.source}: ${differenceText(event)}`;
      return { level: "warning", event, text, hints: ["--verify at the receiver says more"] };
    }
    case "finished":
      return { level: "detail", event, text: event.interrupted ? "stopped" : "finished" };
  }
}

/** Whether frames are missing for it, or not as they should be: exit status 4. */
export function isLoss({ reason }: SourceProblem): boolean {
  return reason === "unreadable" || reason === "empty" || reason === "unfinished" || reason === "incomplete";
}

export function describeSourceProblem(problem: SourceProblem): Report {
  const lost = isLoss(problem);
  const hints = problem.hint === undefined ? [] : [problem.hint];
  const event = { event: "problem", ...problem };
  return { level: lost ? "error" : "info", event, text: `${problem.path}: ${problem.detail}`, hints };
}

export function describeReceiverEvent(event: ReceiverEvent): Report {
  switch (event.event) {
    case "listening": {
      const out = event.out.join(", ");
      const storing = event.keepsNothing ? `keeping nothing: frames go to ${out}` : `storing in ${out}`;
      const meaning = event.ackMeans === undefined ? "" : ` (stored means there: ${event.ackMeans})`;
      return { level: "info", event, text: `listening on ${event.address}, ${storing}${meaning}` };
    }
    case "session-started": {
      const protocol = event.protocol === "lockstep" ? " (lockstep)" : "";
      const text = event.again
        ? `${event.device} is back, from ${event.peer}`
        : `${event.device} sends from ${event.peer}${protocol}`;
      return { level: "info", event, text };
    }
    case "session-ended": {
      const { device, interrupted, storedFrames, storedBytes, totals } = event;
      const stored = `${formatFrames(storedFrames)} stored (${formatBytes(storedBytes)})`;
      const ending = interrupted ? "stopped before its end" : "finished";
      return {
        level: "info",
        event,
        text: `${device} ${ending}: ${[stored, ...partsBesideStored(totals)].join(", ")}`,
      };
    }
    case "shared-device": {
      const [older = "", newer = ""] = event.peers;
      const what = `what one sends under a name of the other is stored beside it`;
      const text = `two senders are called ${event.device}, ${older} and ${newer}: ${what}`;
      return { level: "warning", event, text, hints: [sharedDeviceHint(event)] };
    }
    case "connection-lost": {
      const text = `lost the connection to ${event.device} at ${event.peer}: ${event.reason}; it may come back`;
      return { level: "info", event, text };
    }
    case "connection-refused":
      return { level: "info", event, text: `closed a connection from ${event.peer}: ${event.reason}` };
    case "connections-refused": {
      const text = `closed ${formatCount(event.count)} more connections in the last minute that were not let in`;
      return { level: "info", event, text };
    }
    case "key-shared": {
      const text = `the key of ${event.device} is used from ${event.peers.join(" and ")} at once`;
      const hint = "if that is not one machine that has just changed its address, the key was copied: revoke it";
      return { level: "warning", event, text, hints: [hint] };
    }
    case "stored":
      return { level: "detail", event, text: `stored ${origin(event)}/${event.name}` };
    case "rejected": {
      const text = `refused ${origin(event)}/${event.name}: ${event.detail || refusals[event.reason]}`;
      // A sender of our own either sends the frame again or reports it as a gap, and that is what counts.
      return { level: event.device === lockstepDevice ? "frame" : "detail", event, text };
    }
    case "conflict":
      return { level: "info", event, text: `conflict ${origin(event)}/${event.name}: ${conflict}` };
    case "noted":
      return { level: "frame", event, text: `noted ${origin(event)}/${event.name}: ${event.detail}` };
    case "gap": {
      const what =
        event.count === 1 && event.name !== ""
          ? `${origin(event)}/${event.name}`
          : `${formatFrames(event.count)} of ${origin(event)}`;
      return {
        level: "frame",
        event,
        text: `${event.reason === "refused" ? "refused" : "missing"} ${what}: ${gapWords(event)}`,
      };
    }
    case "stretch": {
      const text = `${formatBytes(event.bytes)} of ${origin(event)} are in no frame: ${event.detail}`;
      return { level: event.class === "loss" ? "frame" : "detail", event, text };
    }
    case "source-ended":
      return { level: "detail", event, text: `end of ${origin(event)}: ${formatTotals(event.totals)}` };
    case "totals-differ": {
      const text = `the totals of ${origin(event)} are not what is stored: ${differenceText(event)}`;
      return { level: "warning", event, text };
    }
    case "held":
      return {
        level: "warning",
        event,
        text: `waiting: cannot store ${whoseOf(event)}now: ${event.reason}`,
        ...(event.hints === undefined ? {} : { hints: event.hints }),
      };
    case "resumed": {
      const { device, source } = event;
      const what = device === undefined || source === undefined ? device : origin({ device, source });
      return { level: "info", event, text: what === undefined ? "storing again" : `storing ${what} again` };
    }
    case "stood-still": {
      const text = `nothing was done for ${formatDuration(event.seconds * 1000)}: the system did not answer so long`;
      const hints = ["a disk that is frozen, or a network file system whose server is away, keeps whoever uses it"];
      return { level: "warning", event, text, hints };
    }
    case "destination": {
      const { place, what, detail, hints } = event;
      const level = ordinary.has(what) ? "info" : "warning";
      return { level, event, text: `${place}: ${detail}`, hints };
    }
    case "upstream-connected":
      return { level: "info", event, text: `handing on to ${event.peer}` };
    case "upstream-lost": {
      const text = `no connection to the upstream ${event.peer}: ${event.reason}; frames stay here until it is there`;
      return { level: "info", event, text };
    }
    case "upstream-held": {
      const text = `the upstream ${event.peer} cannot store now: ${event.reason}; frames stay here meanwhile`;
      return { level: "warning", event, text };
    }
    case "upstream-resumed":
      return { level: "info", event, text: `the upstream ${event.peer} stores again` };
    case "upstream-refused": {
      const text = `the upstream ${event.peer} refuses what ${event.device} sends: ${event.reason}`;
      return { level: "warning", event, text, hints: event.hints };
    }
    case "upstream-backlog": {
      const { frames, peer } = event;
      const text =
        frames === 0 ? `all is handed on to ${peer}` : `${formatFrames(frames)} wait to be handed on to ${peer}`;
      return { level: "info", event, text };
    }
    case "not-handed-on": {
      const { reason, detail, peer } = event;
      const why = detail || { ...refusals, ...gaps }[reason];
      return { level: "frame", event, text: `not handed on to ${peer}: ${event.device}/${whatOf(event)}: ${why}` };
    }
    case "upstream-differs": {
      const text = `the upstream ${event.peer} does not share the totals of ${origin(event)}: ${differenceText(event)}`;
      return { level: "warning", event, text, hints: ["--verify there says more"] };
    }
    case "view-behind":
      return {
        level: "info",
        event,
        text: `${event.place} takes only some of the frames: it is slow, or they do not fit its stream`,
      };
    case "view-resumed": {
      const text = `${event.place} is shown every frame again: ${formatFrames(event.skippedFrames)} left out`;
      return { level: "info", event, text };
    }
    case "view-ended":
      return { level: "info", event, text: `${event.place} is shown nothing any more: ${event.reason}` };
  }
}

/** Frames of a stream may have no name yet; nor has a file whose name cannot be sent: the detail says which it is. */
function whatOf({
  source,
  name,
  count,
}: {
  readonly source: string;
  readonly name: string;
  readonly count: number;
}): string {
  const frames = count === 1 ? "a frame" : `${formatCount(count)} frames`;
  return name === "" ? `${frames} of ${source}` : `${source}/${name}`;
}

/** Old senders cannot report gaps; lockstep/PROTOCOL.md section 3 gives them all this name. */
export const lockstepDevice = "lockstep";

/** Why a gap is one. The detail of a refused frame may be no more than the name of the reason. */
export function gapWords({ reason, detail }: { readonly reason: GapReason; readonly detail: string }): string {
  if (reason === "refused" && Object.hasOwn(refusals, detail)) return refusals[detail as RefusalReason];
  return detail || gaps[reason];
}

function ofSource({ source }: { readonly source?: string }): string {
  return source === undefined ? "" : ` ${source}`;
}

/** What waits: all, what a device sends, or one source of it. */
function whoseOf({ device, source }: { readonly device?: string; readonly source?: string }): string {
  if (device === undefined) return "";
  return source === undefined ? `what ${device} sends ` : `${origin({ device, source })} `;
}

function origin({ device, source }: { readonly device: string; readonly source: string }): string {
  return `${device}/${source}`;
}

interface Difference {
  readonly claimed: SourceTotals;
  readonly found: SourceTotals;
}

/** What the sender counted, and what the receiver has. */
export function differenceText({ claimed, found }: Difference): string {
  return `sent were ${formatTotals(claimed)}; there are ${formatTotals(found)}`;
}

/** `2,000 frames, 1,990 stored, 5 already there, 5 refused`. What did not occur is not named, except storing. */
export function formatTotals(totals: SourceTotals): string {
  const parts = [`${formatCount(totals.stored)} stored`];
  if (totals.duplicates > 0) parts.push(`${formatCount(totals.duplicates)} already there`);
  if (totals.conflicts > 0)
    parts.push(`${formatCount(totals.conflicts)} ${totals.conflicts === 1 ? "conflict" : "conflicts"}`);
  if (totals.expired !== undefined) parts.push(`${formatCount(totals.expired)} expired`);
  if (totals.refused > 0) parts.push(`${formatCount(totals.refused)} refused`);
  if (totals.skipped > 0) parts.push(`${formatCount(totals.skipped)} skipped`);
  return `${formatFrames(totals.frames)}, ${parts.join(", ")}`;
}

/** Behind how many were stored under whatever name: `5 already there, 2 conflicts, 3 refused or missing`. */
export function partsBesideStored(totals: Omit<SourceTotals, "frames" | "stored">): string[] {
  const { duplicates, conflicts, refused, skipped, expired = 0 } = totals;
  const parts: string[] = [];
  if (duplicates > 0) parts.push(`${formatCount(duplicates)} already there`);
  if (conflicts > 0) parts.push(`${formatCount(conflicts)} ${conflicts === 1 ? "conflict" : "conflicts"}`);
  if (expired > 0) parts.push(`${formatCount(expired)} expired`);
  if (refused + skipped > 0) parts.push(`${formatCount(refused + skipped)} refused or missing`);
  return parts;
}

function heldHint(retryForMs: number): string {
  return `giving up after ${formatDuration(retryForMs)}: --retry-for counts while the receiver holds us, too`;
}

function sharedDeviceHint({ keyed }: { readonly keyed: boolean }): string {
  if (keyed) return "two machines use one key: invite one of them anew, with a key of its own";
  return "give each a name of its own: --device {host}-{id}, or by hand where their machine ids are one as well";
}

/** What the user can do if the receiver refuses the whole session. */
export function refusalHints(code: number): readonly string[] {
  switch (code) {
    case ProtocolCode.version:
      return ["use the same version of framepipe on both machines: framepipe --version"];
    case ProtocolCode.unauthorized:
      return [
        "who may send, as which device, and what, stands in the receiver's devices folder",
        "a new key needs an invitation (--invite there, --join here), or a device file there by hand",
      ];
    default:
      return [];
  }
}
