/**
 * How far things are, several times a second at the bottom of a terminal. Where there is none, nobody may be there to
 * read it, and a log would fill: a line every few seconds is for `--verbose`, with `--json` too. Reads the counters of
 * a pipeline and never disturbs it.
 *
 * The display is our own and not `cli-progress`: tried in a terminal, that one wrote messages over its bars without
 * clearing them, repeated all bars with every redraw once there were more than the screen has lines, and repainted in
 * several writes. What is left to do is small: lines of columns, which `Terminal.draw` replaces as a whole.
 */
import { formatByteRate, formatBytes, formatCount, formatDuration } from "./format.ts";
import { formatFrameRate, formatFrames, printable } from "./format.ts";
import { partsBesideStored } from "./messages.ts";
import { type Pace, PaceMeter, type Standing, sumOfPaces } from "./pace.ts";
import type { Terminal } from "./terminal.ts";

/** Redraws a second are for the eye; more would only cost the camera's processor. */
export const redrawMs = 250;
/** Between plain lines and between JSON lines. */
export const lineMs = 5_000;
/** Above this many sources that moved, a plain line tells their sum. */
const plainSourcesMax = 8;
const nameColumnsMax = 28;
const barColumns = 20;

export interface ProgressOptions {
  readonly terminal: Terminal;
  readonly standings: () => readonly Standing[];
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

export class Progress {
  readonly #options: ProgressOptions;
  readonly #meters = new Map<string, PaceMeter>();
  readonly #told = new Map<string, string>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: ProgressOptions) {
    this.#options = options;
  }

  start(): void {
    const { interactive, verbose } = this.#options.terminal;
    if (!interactive && !verbose) return;
    this.tick();
    this.#timer = setInterval(() => this.tick(), interactive ? redrawMs : lineMs);
  }

  /** Removes the display; what is final is for the summary to say. */
  stop(): void {
    clearInterval(this.#timer);
    if (this.#options.terminal.interactive) this.#options.terminal.draw([]);
  }

  /** Shows how things stand now. */
  tick(): void {
    const { terminal, standings, nowMs } = this.#options;
    const now = nowMs();
    const paces = standings().map((standing) => this.#measure(now, standing));
    if (terminal.interactive) terminal.draw(displayLines(paces, terminal.size()));
    else this.#tell(paces);
  }

  #measure(now: number, standing: Standing): Pace {
    let meter = this.#meters.get(standing.name);
    if (meter === undefined) this.#meters.set(standing.name, (meter = new PaceMeter()));
    return meter.measure(now, standing);
  }

  /** One line per source that has changed since it was last told of. */
  #tell(paces: readonly Pace[]): void {
    const { terminal } = this.#options;
    const changed = paces.filter((pace) => {
      const state = [pace.frames, pace.linkBytes, ...beside(pace)].join(" ");
      const before = this.#told.get(pace.name) ?? "0 0";
      this.#told.set(pace.name, state);
      return state !== before;
    });
    const told =
      changed.length > plainSourcesMax && !terminal.json ? [sumOfPaces(`${changed.length} sources`, changed)] : changed;
    for (const pace of told) terminal.report({ level: "detail", event: progressEvent(pace), text: plainLine(pace) });
  }
}

function progressEvent(pace: Pace): { event: "progress" } & Record<string, unknown> {
  const { name, frames, others = {}, bytes, linkBytes, listed, frameRate, linkByteRate, leftMs } = pace;
  return {
    event: "progress",
    source: name,
    frames,
    ...others,
    bytes,
    linkBytes,
    ...(listed === undefined
      ? {}
      : { listedFrames: listed.frames, listedBytes: listed.bytes, listingDone: listed.complete }),
    framesPerSecond: Math.round(frameRate * 10) / 10,
    bytesPerSecond: Math.round(linkByteRate),
    ...(leftMs === undefined ? {} : { secondsLeft: Math.round(leftMs / 100) / 10 }),
  };
}

/** `visible: 1,234 of 2,000 frames, 512 frames/s, 51.2 MB/s, backlog 766 frames (76.6 MB), 2 s left`. */
export function plainLine(pace: Pace): string {
  const { name, frames, listed, frameRate, linkByteRate } = pace;
  const rates = [formatFrameRate(frameRate), formatByteRate(linkByteRate)];
  if (listed === undefined) return `${name}: ${[formatFrames(frames), ...beside(pace), ...rates].join(", ")}`;
  const parts = [
    `${formatCount(frames)} of ${formatCount(listed.frames)}${listed.complete ? "" : "+"} frames`,
    ...rates,
  ];
  if (listed.frames > frames) parts.push(`backlog ${formatFrames(listed.frames - frames)} (${backlogBytes(pace)})`);
  if (pace.leftMs !== undefined && pace.leftMs > 0) parts.push(`${wholeSeconds(pace.leftMs)} left`);
  return `${name}: ${parts.join(", ")}`;
}

function backlogBytes({ bytes, listed }: Pace): string {
  return formatBytes(Math.max(0, (listed?.bytes ?? 0) - bytes));
}

/** Tenths of a second in a guess would be a pretence. */
function wholeSeconds(ms: number): string {
  return formatDuration(Math.max(1, Math.round(ms / 1000)) * 1000).replace(/^(\d)\.0 s$/, "$1 s");
}

/** The columns of the display, left to right. Where there is too little room, the highest `rank` goes first. */
const columns: readonly { readonly rank: number; readonly left?: boolean; readonly cell: (pace: Pace) => string }[] = [
  { rank: 0, left: true, cell: ({ name }) => shortName(printable(name)) },
  { rank: 6, cell: bar },
  { rank: 1, cell: framesCell },
  { rank: 2, cell: ({ frameRate }) => formatFrameRate(frameRate) },
  { rank: 3, cell: ({ linkByteRate }) => formatByteRate(linkByteRate) },
  { rank: 4, cell: backlogCell },
  { rank: 5, cell: bytesCell },
  { rank: 2, cell: timeLeftCell },
  { rank: 5, left: true, cell: (pace) => beside(pace).join(", ") },
];

/** What became of frames that were not stored under their names. */
function beside({ others }: Standing): string[] {
  return others === undefined ? [] : partsBesideStored(others);
}

function framesCell({ frames, listed }: Pace): string {
  if (listed === undefined) return formatFrames(frames);
  return `${formatCount(frames)}/${formatCount(listed.frames)}${listed.complete ? "" : "+"}`;
}

function backlogCell({ frames, listed }: Pace): string {
  return listed === undefined || listed.frames <= frames ? "" : `backlog ${formatCount(listed.frames - frames)}`;
}

/** What is left where that is known, and what has come where not. */
function bytesCell(pace: Pace): string {
  const { linkBytes, listed } = pace;
  if (listed === undefined) return formatBytes(linkBytes);
  return listed.bytes <= pace.bytes ? "" : backlogBytes(pace);
}

function timeLeftCell({ frames, listed, leftMs }: Pace): string {
  if (listed === undefined) return "";
  if (listed.complete && frames >= listed.frames) return "done";
  return leftMs === undefined ? "" : `${wholeSeconds(leftMs)} left`;
}

function bar({ frames, listed }: Pace): string {
  if (listed === undefined) return "";
  const share = listed.frames === 0 ? (listed.complete ? 1 : 0) : frames / listed.frames;
  const full = Math.min(barColumns, Math.floor(share * barColumns));
  return `[${"#".repeat(full)}${".".repeat(barColumns - full)}]`;
}

function shortName(name: string): string {
  return Bun.stringWidth(name) <= nameColumnsMax ? name : `${Bun.sliceAnsi(name, 0, nameColumnsMax - 1)}~`;
}

/** The display: a line a source, in columns, no wider and no higher than the terminal. */
export function displayLines(
  paces: readonly Pace[],
  size: { readonly columns: number; readonly rows: number },
): string[] {
  // One row for the cursor, one for a message, one for the sum.
  const rowsMax = Math.max(1, size.rows - 3);
  const shown = paces.length <= rowsMax ? paces : busiest(paces, rowsMax);
  const rows = shown.map((pace) => columns.map((column) => column.cell(pace)));
  if (shown.length < paces.length) {
    const hidden = paces.filter((pace) => !shown.includes(pace));
    const rest = sumOfPaces(`and ${formatCount(hidden.length)} more`, hidden);
    rows.push(columns.map((column) => column.cell(rest)));
  }
  return alignRows(rows, size.columns - 1);
}

/** Those that move come first; otherwise the order stays, so that lines do not jump about. */
function busiest(paces: readonly Pace[], count: number): Pace[] {
  const moving = paces.filter((pace) => pace.linkByteRate > 0).slice(0, count);
  const idle = paces.filter((pace) => pace.linkByteRate <= 0).slice(0, count - moving.length);
  return paces.filter((pace) => moving.includes(pace) || idle.includes(pace));
}

function alignRows(rows: readonly (readonly string[])[], widthMax: number): string[] {
  const widths = columns.map((_, at) => Math.max(0, ...rows.map((row) => Bun.stringWidth(row[at] ?? ""))));
  const chosen = columns.map((column, at) => ({ ...column, at })).filter(({ at }) => (widths[at] ?? 0) > 0);
  const width = () => chosen.reduce((total, { at }) => total + (widths[at] ?? 0) + gap.length, -gap.length);
  while (width() > widthMax && chosen.length > 1) {
    const rankMax = Math.max(...chosen.map(({ rank }) => rank));
    chosen.splice(
      chosen.findLastIndex(({ rank }) => rank === rankMax),
      1,
    );
  }
  return rows.map((row) => {
    const cells = chosen.map(({ at, left }) => padded(row[at] ?? "", widths[at] ?? 0, left === true));
    return Bun.sliceAnsi(cells.join(gap).trimEnd(), 0, widthMax);
  });
}

const gap = "  ";

function padded(text: string, width: number, left: boolean): string {
  const padding = " ".repeat(Math.max(0, width - Bun.stringWidth(text)));
  return left ? text + padding : padding + text;
}
