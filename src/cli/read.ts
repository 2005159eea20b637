/** `--read`: stored frames, given out again on standard output. What is said about them goes to standard error. */
import { ExitStatus, UserError } from "../errors.ts";
import { type ReadReport, read as readDirectory } from "../reading/read.ts";
import type { ReadCommand } from "./command.ts";
import { formatBytes, formatCount, formatFrames } from "./format.ts";
import { onStopSignals, type Shell } from "./shell.ts";

const msNs = 1_000_000n;

/** Resolves to `incomplete` if frames were left out. Throws UserError for what cannot be read. */
export async function read(command: ReadCommand, shell: Shell): Promise<ExitStatus> {
  const { terminal } = shell;
  const { directory, wanted, as, values } = command;
  const { from: fromNs, to: toNs, clock, pairWithin } = values;
  if (terminal.dataIsShown && (as === "stream" || as === "tar")) {
    throw new UserError(`--as ${as}: standard output is a terminal, and frames would garble it`, [
      as === "tar" ? "send it to a file: > day.tar" : "send it to a program: | ffplay -f mjpeg -",
      "or look at a list: --as list",
    ]);
  }
  const stop = new AbortController();
  const ignoreSignals = onStopSignals(shell, () => stop.abort());
  let report: ReadReport;
  try {
    report = await readDirectory({
      directory,
      wanted,
      fromNs,
      toNs,
      clock,
      pairWithinNs: pairWithin === undefined ? undefined : BigInt(pairWithin) * msNs,
      as,
      output: (view) => terminal.send(view),
      leftOut: ({ device, source, name, path }, problem) =>
        terminal.report({
          level: "frame",
          event: { event: "left-out", device, source, name, path, problem },
          text: `left out ${path}: ${problem}`,
        }),
      signal: stop.signal,
    });
  } finally {
    ignoreSignals();
  }
  terminal.sumUp();
  const { complete, ...sums } = report;
  const event = { event: "read", directory, ...sums };
  terminal.info(summaryText(report), event);
  if (!complete) {
    const hint = as === "tar" ? "the archive has its end, and is whole" : "run it again, or from there with --from";
    throw new UserError("stopped before everything was given out", [hint], ExitStatus.failure);
  }
  return report.leftOut > 0 ? ExitStatus.incomplete : ExitStatus.ok;
}

function summaryText({ frames, bytes, leftOut, pairs, unpaired }: ReadReport): string {
  const size = ` (${formatBytes(bytes)})`;
  const given = pairs === undefined ? formatFrames(frames) + size : `${counted(pairs, "pair")}${size}`;
  const left = leftOut === 0 ? [] : [`${formatFrames(leftOut)} left out`];
  const alone = unpaired.map(({ source, frames: count }) => `${formatFrames(count)} of ${source} without a partner`);
  return [given, ...left, ...alone].join(", ");
}

function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${count === 1 ? noun : `${noun}s`}`;
}
