/** What a benchmark found: as an object for machines, and as text for people. */
import type { Contender, SyncMode } from "./contender.ts";
import { alignTable, type Column, shownNumber } from "./figures.ts";
import type { FrameSetSpec } from "./frame-sets.ts";
import type { Latency } from "./latency.ts";
import type { LiveReport } from "./live.ts";
import type { SideUsage } from "./stage.ts";

/** One contender on one set; figures are medians of the counted rounds. */
export interface Row {
  readonly program: string;
  readonly role: Contender["role"];
  readonly rounds: number;
  /** Frames of one run. */
  readonly frames: number;
  readonly framesPerSecond: { readonly median: number; readonly min: number; readonly max: number };
  /** 10^6 bytes of frames. */
  readonly megabytesPerSecond: number;
  readonly sender: SideUsage | undefined;
  readonly receiver: SideUsage | undefined;
  readonly safe: boolean;
  /** Median over that of the best peer that is safe, and of the best one that is not. Undefined if none ran. */
  readonly ratioToSafe: number | undefined;
  readonly ratioToUnsafe: number | undefined;
  /** `equal`: every frame of every run compared; `counted`: by a receiver that discards; `none`: no frames. */
  readonly content: "equal" | "counted" | "none";
}

export interface Failure {
  readonly program: string;
  readonly reason: string;
}

export interface SetReport {
  readonly set: FrameSetSpec;
  readonly rows: readonly Row[];
  readonly failures: readonly Failure[];
}

export interface BenchReport {
  readonly machine: { readonly cpus: number; readonly model: string; readonly system: string };
  readonly framepipe: string;
  readonly dest: string;
  readonly sync: SyncMode;
  readonly quick: boolean;
  readonly sets: readonly SetReport[];
  readonly latencies: readonly Latency[];
  readonly lives: readonly LiveReport[];
  /** Failures that belong to no set. */
  readonly failures: readonly Failure[];
  readonly missing: readonly { readonly program: string; readonly install: string }[];
  readonly guarantees: readonly { readonly program: string; readonly text: string; readonly safe: boolean }[];
}

const columns: readonly Column[] = [
  { title: "program", align: "left" },
  { title: "safe", align: "left" },
  { title: "frames/s", align: "right" },
  { title: "min-max", align: "right" },
  { title: "MB/s", align: "right" },
  { title: "of safe", align: "right" },
  { title: "of unsafe", align: "right" },
  { title: "CPU s send", align: "right" },
  { title: "recv", align: "right" },
  { title: "peak MiB send", align: "right" },
  { title: "recv", align: "right" },
  { title: "content", align: "left" },
];

export function describeReport(report: BenchReport): string {
  const { machine, missing } = report;
  const parts = [
    `framepipe ${report.framepipe}, --sync ${report.sync}, into ${report.dest}\n` +
      `${machine.cpus} x ${machine.model}, ${machine.system}` +
      (report.quick ? "\n--quick: sets far too small for figures worth quoting" : ""),
    ...report.sets.map(describeSet),
  ];
  if (report.latencies.length > 0) parts.push(describeLatencies(report.latencies));
  parts.push(...report.lives.map(describeLive));
  parts.push(...report.failures.map(describeFailure));
  if (report.guarantees.length > 0) {
    parts.push(report.guarantees.map(({ program, text }) => `${program}: ${text}`).join("\n"));
    parts.push(usageNote);
  }
  const names = missing.map(({ program, install }) => `${program} did not run: install ${install}`);
  if (names.length > 0) parts.push(names.join("\n"));
  return parts.join("\n\n");
}

const usageNote =
  "Figures are medians of the rounds that count. Safe: each frame is checked and acknowledged when all of it is\n" +
  "stored, and never half of it under its final name. Of safe, of unsafe: frames/s over those of the best peer of\n" +
  "that kind. CPU is user and system, of what was in the run; peak memory is the sum of the highest resident sizes\n" +
  "of the side's processes, looked at every 20 ms.";

function describeSet({ set, rows, failures }: SetReport): string {
  const lines = [describeFrames(set)];
  if (rows.length > 0) {
    const cells = rows
      .toSorted((a, b) => b.framesPerSecond.median - a.framesPerSecond.median)
      .map((row) => [
        row.program,
        row.safe ? "yes" : "no",
        shownNumber(row.framesPerSecond.median),
        `${shownNumber(row.framesPerSecond.min)}-${shownNumber(row.framesPerSecond.max)}`,
        shownNumber(row.megabytesPerSecond),
        ...[row.ratioToSafe, row.ratioToUnsafe].map((ratio) => (ratio === undefined ? "-" : shownNumber(ratio))),
        ...[row.sender, row.receiver].map((side) => (side === undefined ? "-" : shownNumber(side.cpuSeconds))),
        ...[row.sender, row.receiver].map(shownPeak),
        row.content,
      ]);
    lines.push(alignTable(columns, cells));
  }
  const [ours, loop] = ["framepipe", "article"].map((name) => rows.find(({ program }) => program === name));
  if (ours !== undefined && loop !== undefined) {
    const times = shownNumber(ours.framesPerSecond.median / loop.framesPerSecond.median);
    lines.push(`framepipe moves ${times} times as many frames a second as the article's loop (${loop.frames} frames)`);
  }
  lines.push(...failures.map(describeFailure));
  return lines.join("\n");
}

/** A program that ends within milliseconds is not seen. */
function shownPeak(side: SideUsage | undefined): string {
  return side === undefined || side.peakBytes === 0 ? "-" : shownNumber(side.peakBytes / 2 ** 20);
}

function describeFrames({ name, kind, distinct, copies, frameBytes, link }: FrameSetSpec): string {
  const count = (distinct * copies).toLocaleString("en-US");
  const what = `${name}: ${count} frames of ${frameBytes.toLocaleString("en-US")} bytes`;
  if (kind === "discard") return `${what}, to a receiver that discards`;
  if (link === undefined) return `${what}, directory to directory`;
  const over = `${what}, over ${2 * link.oneWayMs} ms round trip`;
  if (link.bitsPerSecond === undefined) return over;
  const most = shownNumber(link.bitsPerSecond / 8 / frameBytes);
  return `${over} at ${link.bitsPerSecond / 1e6} Mbit/s, which carry at most ${most} frames/s`;
}

function describeLatencies(latencies: readonly Latency[]): string {
  const titles = ["cameras", "--sync", "frames", "frames/s", "bytes", "p50 ms", "p90", "p99", "max", "late p99"];
  titles.push("CPU s send", "recv", "peak MiB recv");
  const rows = latencies.map(({ sync, shape, receiver, senderCpuSeconds, ...figures }) => {
    const { cameras, frames, framesPerSecond, frameBytes } = shape;
    const { p50Ms, p90Ms, p99Ms, maxMs, lateP99Ms } = figures;
    const counts = [frames, framesPerSecond].map((each) => each * cameras);
    return [
      `${cameras}`,
      sync,
      ...[...counts, frameBytes].map((count) => count.toLocaleString("en-US")),
      ...[p50Ms, p90Ms, p99Ms, maxMs, lateP99Ms, senderCpuSeconds].map(shownNumber),
      receiver === undefined ? "-" : shownNumber(receiver.cpuSeconds),
      shownPeak(receiver),
    ];
  });
  return [
    "latency: live frames over loopback, from capture to stored and acknowledged, by the sender's clock",
    alignTable(
      titles.map((title) => ({ title, align: title === "--sync" ? "left" : "right" })),
      rows,
    ),
    "Each camera has a sender and a connection of its own. All are in the benchmark's process: the senders' CPU",
    "is its own, and late is how far behind its time it emitted a frame; where that is much, it is itself the limit.",
  ].join("\n");
}

function describeLive({ shape, rows }: LiveReport): string {
  const what =
    shape.name === "live"
      ? `live: ${shape.framesPerSecond} frames/s of ${shape.frameBytes.toLocaleString("en-US")} bytes ` +
        `through a pipe, all programs at the same time, ${shape.seconds} s`
      : `idle: connected and watching, ${shape.restSeconds} s after ${shape.frames.toLocaleString("en-US")} frames, ` +
        `${shape.seconds} s`;
  const titles = ["program", "CPU % send", "recv", "wake-ups/s send", "recv", "MiB send", "recv"];
  const cells = rows.map(({ program, sender, receiver }) => [
    program,
    ...[sender, receiver].map(({ cpuPercent }) => shownNumber(cpuPercent)),
    ...[sender, receiver].map(({ wakeUpsPerSecond }) => shownNumber(wakeUpsPerSecond)),
    ...[sender, receiver].map(({ bytes }) => shownNumber(bytes / 2 ** 20)),
  ]);
  return [
    what,
    alignTable(
      titles.map((title) => ({ title, align: title === "program" ? "left" : "right" })),
      cells,
    ),
    ...rows.map(({ program, guarantees }) => `${program}: ${guarantees}`),
  ].join("\n");
}

function describeFailure({ program, reason }: Failure): string {
  return `${program} FAILED: ${reason}`;
}
