/** The last words of a sender and of a receiver: what became of every frame, how much, how fast, and what is left. */
import type { OriginProgress } from "../events.ts";
import type { SourceTotals } from "../frame.ts";
import { type AccountOutcome, noOutcomes, totalsOf } from "../outcomes.ts";
import { formatByteRate, formatBytes, formatDuration, formatFrames } from "./format.ts";
import { formatTotals, partsBesideStored } from "./messages.ts";
import type { Report } from "./report.ts";

export interface SendSummary {
  readonly totals: readonly { readonly source: string; readonly totals: SourceTotals }[];
  /** Payload bytes handed to the link. */
  readonly sentBytes: number;
  readonly elapsedMs: number;
  /** Frames that are known and not settled, because the run was stopped or gave up. */
  readonly unsettledFrames: number;
  /** Whether everything there is was listed; otherwise more than the unsettled frames may be left. */
  readonly listingDone: boolean;
  /** Streams, which cannot be read again. */
  readonly streams: readonly {
    readonly source: string;
    /** Kept in memory only, and not stored. */
    readonly lostFrames: number;
    readonly readToEnd: boolean;
  }[];
}

export function describeSent(summary: SendSummary): Report[] {
  const { totals, sentBytes, elapsedMs, unsettledFrames, listingDone, streams } = summary;
  const reports: Report[] = totals.map(({ source, totals: counts }) => ({
    level: "info",
    event: { event: "summary", source, ...counts },
    text: `${source}: ${formatTotals(counts)}`,
  }));
  const seconds = Math.round(elapsedMs) / 1000;
  reports.push({
    level: totals.length > 0 ? "info" : "detail",
    event: { event: "sent", bytes: sentBytes, seconds, unsettledFrames, listingDone },
    text: `sent ${flow(sentBytes, elapsedMs)}`,
  });
  for (const { source, lostFrames, readToEnd } of streams) {
    const event = { event: "lost", source, frames: lostFrames, readToEnd };
    const end = readToEnd ? [] : ["it was not read to its end"];
    const are = lostFrames === 1 ? "is" : "are";
    const lost = lostFrames === 0 ? [] : [`${formatFrames(lostFrames)} ${are} lost, which only memory had`];
    const hints = lostFrames === 0 ? [] : ["--when-behind spool keeps them on disk"];
    if (end.length + lost.length === 0) continue;
    reports.push({ level: "warning", event, text: `${source}: ${[...end, ...lost].join("; ")}`, hints });
  }
  if (unsettledFrames > 0 || !listingDone) {
    const text = leftText(unsettledFrames, listingDone);
    reports.push({ level: "warning", event: { event: "left", frames: unsettledFrames, exact: listingDone }, text });
  }
  return reports;
}

function leftText(frames: number, exact: boolean): string {
  if (frames === 0) return "not everything was listed; the same command goes on from here";
  const are = frames === 1 ? "is" : "are";
  return `${exact ? "" : "at least "}${formatFrames(frames)} ${are} left; the same command sends what is missing`;
}

/** `230 MB in 2.3 s, 100 MB/s`. */
function flow(bytes: number, elapsedMs: number): string {
  const rate = bytes > 0 && elapsedMs > 0 ? `, ${formatByteRate((bytes * 1000) / elapsedMs)}` : "";
  return `${formatBytes(bytes)} in ${formatDuration(elapsedMs)}${rate}`;
}

export function describeReceived(origins: Iterable<OriginProgress>, elapsedMs: number): Report {
  const sum = noOutcomes();
  let bytes = 0;
  for (const { frames, storedBytes } of origins) {
    for (const outcome of outcomes) sum[outcome] += frames[outcome];
    bytes += storedBytes;
  }
  const { frames: _, stored, ...rest } = totalsOf(sum);
  const frames = stored + rest.conflicts;
  const parts = [`${formatFrames(frames)} (${formatBytes(bytes)})`, ...partsBesideStored(rest)];
  return {
    level: "info",
    event: { event: "received", frames, bytes, ...rest, seconds: Math.round(elapsedMs) / 1000 },
    text: `stored in ${formatDuration(elapsedMs)}: ${parts.join(", ")}`,
  };
}

const outcomes = Object.keys(noOutcomes()) as AccountOutcome[];
