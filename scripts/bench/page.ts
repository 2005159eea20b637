/** What a benchmark found, as one page that needs nothing else: a plot for each set, and the text below them. */
import { shownNumber } from "./figures.ts";
import type { LiveReport } from "./live.ts";
import { type BenchReport, describeReport, type SetReport } from "./report.ts";

/** One line of a plot. `low` and `high` are drawn as a whisker. */
interface Bar {
  readonly label: string;
  readonly value: number;
  readonly low?: number;
  readonly high?: number;
  readonly kind: "ours" | "safe" | "unsafe";
}

interface Plot {
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly Bar[];
}

const style = `
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: CanvasText; background: Canvas; color-scheme: light dark; }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: CanvasText; }
.ours { fill: #1f77b4; } .safe { fill: #2ca02c; } .unsafe { fill: #b0b0b0; }
.whisker { stroke: CanvasText; stroke-width: 1.5; }
pre { overflow-x: auto; font-size: 12px; }`;

export function describePage(report: BenchReport): string {
  const plots = [...report.sets.map(setPlot), ...report.lives.flatMap(livePlots)];
  const { machine } = report;
  const computer = `${machine.cpus} x ${machine.model}, ${machine.system}`;
  const about = `framepipe ${report.framepipe}, --sync ${report.sync}; ${computer}`;
  return [
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
    `<title>framepipe benchmark</title><style>${style}</style>`,
    `<h1>framepipe benchmark</h1><p>${escaped(about)}</p>`,
    "<p>Blue: framepipe. Green: programs that check each frame, and acknowledge it when all of it is stored. Grey: " +
      "programs that do not. Bars are medians, lines go from the slowest round to the fastest.</p>",
    ...plots.filter(({ bars }) => bars.length > 0).map(drawPlot),
    `<h2>All figures</h2><pre>${escaped(describeReport(report))}</pre></html>\n`,
  ].join("\n");
}

function setPlot({ set, rows }: SetReport): Plot {
  const bars = rows
    .toSorted((a, b) => b.framesPerSecond.median - a.framesPerSecond.median)
    .map(({ program, role, safe, framesPerSecond: { median, min, max } }) => {
      const kind = role === "ours" ? "ours" : safe ? "safe" : "unsafe";
      return { label: program, value: median, low: min, high: max, kind } as const;
    });
  const count = (set.distinct * set.copies).toLocaleString("en-US");
  const title = `${set.name}: ${count} frames of ${set.frameBytes.toLocaleString("en-US")} bytes`;
  return { title, unit: "frames a second", bars };
}

function livePlots({ shape, rows }: LiveReport): Plot[] {
  return (["sender", "receiver"] as const).map((side) => ({
    title: `${shape.name}, ${side}`,
    unit: "% of a core",
    bars: rows
      .map((row) => {
        const kind = row.program === "framepipe" ? ("ours" as const) : ("unsafe" as const);
        return { label: row.program, value: row[side].cpuPercent, kind };
      })
      .toSorted((a, b) => a.value - b.value),
  }));
}

const width = 900;
const labelWidth = 150;
const numberWidth = 90;
const lineHeight = 26;

function drawPlot({ title, unit, bars }: Plot): string {
  const most = Math.max(...bars.map(({ value, high = value }) => high));
  const at = (value: number): string => (labelWidth + (value / most) * (width - labelWidth - numberWidth)).toFixed(1);
  const lines = bars.map(({ label, value, low, high, kind }, index) => {
    const top = index * lineHeight;
    const middle = top + lineHeight / 2;
    const whisker =
      low === undefined || high === undefined
        ? ""
        : `<line class="whisker" x1="${at(low)}" x2="${at(high)}" y1="${middle}" y2="${middle}"/>`;
    const end = Number(at(high ?? value)) + 6;
    return (
      `<text x="${labelWidth - 8}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>` +
      `<rect class="${kind}" x="${labelWidth}" y="${top + 4}" width="${(Number(at(value)) - labelWidth).toFixed(1)}" ` +
      `height="${lineHeight - 8}"/>${whisker}<text x="${end}" y="${middle + 4}">${shownNumber(value)}</text>`
    );
  });
  const height = bars.length * lineHeight;
  return (
    `<h2>${escaped(title)}</h2><p>${escaped(unit)}</p>` +
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">${lines.join("")}</svg>`
  );
}

function escaped(text: string): string {
  return Bun.escapeHTML(text);
}
