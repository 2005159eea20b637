/**
 * `--verify`: compares a directory with its catalogue, or a store with its ledgers. What it finds is data, on standard
 * output.
 */
import { statSync } from "node:fs";
import { ExitStatus, UserError } from "../errors.ts";
import { isArchiveName } from "../sinks/archive/archive-name.ts";
import { verify as verifyDirectory } from "../sinks/directory/verify.ts";
import { isAddress, openRemote } from "../sinks/open-remote.ts";
import type { Finding, SourceReport, VerifyReport } from "../sinks/store/findings.ts";
import type { DamagedFile } from "../sinks/directory/damaged-files.ts";
import type { VerifyCommand } from "./command.ts";
import { formatBytes, printable } from "./format.ts";
import { Manifest } from "./manifest.ts";
import { rebuild, replace } from "./mend.ts";
import { differenceText, gapWords } from "./messages.ts";
import type { Standing } from "./pace.ts";
import { Progress } from "./progress.ts";
import { onStopSignals, type Shell } from "./shell.ts";
import { toJson } from "./terminal.ts";

/**
 * Resolves to `different` if the account does not hold, to `incomplete` if it does and there are gaps. Throws UserError
 * if there is nothing to compare with.
 */
export async function verify(command: VerifyCommand, shell: Shell): Promise<ExitStatus> {
  const { terminal, nowMs } = shell;
  const { directory, values } = command;
  const stop = new AbortController();
  const ignoreSignals = onStopSignals(shell, () =>
    stop.abort(values.rebuild || values.replace ? stoppedMending : stopped),
  );
  let standing: Standing | undefined;
  const progress = new Progress({ terminal, nowMs, standings: () => (standing === undefined ? [] : [standing]) });
  progress.start();
  const damaged: DamagedFile[] = [];
  let report: VerifyReport;
  let manifest: Manifest | undefined;
  try {
    const keeper = keeperOf(directory);
    const { sha256 } = values;
    if (sha256 !== undefined && keeper !== "catalogue") throw notOfStore;
    if (keeper === "archive" && (values.rebuild || values.replace)) throw notOfArchive;
    const check = await checkOf(directory, keeper);
    if (sha256 !== undefined) manifest = new Manifest(sha256, directory);
    const mending = { terminal, signal: stop.signal, standing: (one: Standing) => void (standing = one) };
    if (values.rebuild) await rebuild(command, mending);
    report = await check({
      directory,
      sound: manifest === undefined ? undefined : (path, sum) => manifest?.add(path, sum),
      signal: stop.signal,
      found: (finding) => {
        terminal.data(terminal.json ? findingJson(finding) : printable(findingText(finding, keeper)));
        if (finding.kind === "changed" && values.replace) damaged.push(finding);
      },
      progress: (frames, framesAll, bytes) => {
        // How many bytes there are in all is not known, so the frames tell how long it will take.
        standing = {
          name: directory,
          frames,
          bytes,
          linkBytes: bytes,
          listed: { frames: framesAll, bytes, complete: true },
        };
      },
    });
    manifest?.finish();
    await replace(command, damaged, mending);
  } finally {
    manifest?.discard();
    progress.stop();
    ignoreSignals();
  }
  const { sources, ...sums } = report;
  if (terminal.json) {
    for (const source of sources) terminal.data(toJson({ event: "source", ...source }));
    terminal.data(toJson({ event: "verified", directory, ...sums }));
  } else if (!terminal.quiet) {
    for (const source of sources) terminal.data(printable(sourceText(source)));
    terminal.data(printable(`${directory}: ${sumsText(report)}`));
  }
  if (report.clean) return ExitStatus.ok;
  const { missing, changed, unknown, damaged: broken, unaccounted, unrecorded, differing } = report;
  const differences = missing + changed + unknown + broken + unaccounted + unrecorded + differing;
  return differences > 0 ? ExitStatus.different : ExitStatus.incomplete;
}

/** Who has the account. */
type Keeper = "catalogue" | "store" | "archive";

function keeperOf(place: string): Keeper {
  if (isAddress(place)) return "store";
  return isArchiveName(place) && !statSync(place, { throwIfNoEntry: false })?.isDirectory() ? "archive" : "catalogue";
}

async function checkOf(place: string, keeper: Keeper): Promise<typeof verifyDirectory> {
  if (keeper === "store") return remoteCheck(place);
  if (keeper === "catalogue") return verifyDirectory;
  const { archiveCheck } = await import("../sinks/open-archive-check.ts");
  return archiveCheck(place);
}

async function remoteCheck(address: string): Promise<typeof verifyDirectory> {
  const [remote, { verifyRemote }] = await Promise.all([
    openRemote(address, process.env),
    import("../sinks/remote/verify-remote.ts"),
  ]);
  return (options) => verifyRemote(remote, options);
}

const notOfStore = new UserError("--sha256 is for a directory", ["leave it out, or verify a directory"]);

const notOfArchive = new UserError("--rebuild and --replace are for a directory", [
  "leave it out: an archive carries what is known of its frames",
]);

const stopped = new UserError(
  "stopped before everything was compared",
  ["nothing was changed; run it again"],
  ExitStatus.failure,
);

const stoppedMending = new UserError(
  "stopped before everything was done",
  ["run it again; what a receiver was asked for, it may still do"],
  ExitStatus.failure,
);

function findingJson({ kind, ...finding }: Finding): string {
  return toJson({ event: kind, ...finding });
}

/** Paths are those below the destination, so that they can be looked at. `keeper`: who has the account. */
export function findingText(finding: Finding, keeper: Keeper = "catalogue"): string {
  switch (finding.kind) {
    case "missing":
      return `missing ${finding.path}`;
    case "changed":
      return `changed ${finding.path}: ${finding.detail}`;
    case "unknown":
      return `unknown ${finding.path}`;
    case "damaged":
      return `damaged ${finding.path}: ${finding.detail}`;
    case "unconfirmed":
      return `unconfirmed ${finding.path}: the receiver ended before its sender was told that it is stored`;
    case "gap": {
      const { device, source, name } = finding;
      const origin = `${device}/${source}`;
      return `gap ${name === "" ? origin : `${origin}/${name}`} (${numbersText(finding)}): ${gapWords(finding)}`;
    }
    case "unaccounted": {
      const { device, source, session } = finding;
      const what = `session ${session} has ended, and the ${keeper} does not say what became of them`;
      return `unaccounted ${device}/${source} (${numbersText(finding)}): ${what}`;
    }
    case "unrecorded": {
      const { device, source, session } = finding;
      const what = `session ${session} stored them, and the ${keeper} does not have them any more`;
      return `unrecorded ${device}/${source} (${numbersText(finding)}): ${what}`;
    }
    case "no-account": {
      const { device, source, session, frames } = finding;
      const what = `${countText(frames, "frame")} of session ${session}, and no account of it`;
      return `unaccounted ${device}/${source}: the ${keeper} has ${what}`;
    }
    case "totals-differ": {
      const { device, source, session } = finding;
      return `totals ${device}/${source}: ${differenceText(finding)} (session ${session})`;
    }
    case "account-lost": {
      const { device, source, session, frames } = finding;
      const why = "the catalogue was made anew from the files, so what did not arrive before is not known";
      return `account lost ${device}/${source}: ${countText(frames, "frame")} of session ${session}: ${why}`;
    }
    case "unended":
      return `unended ${finding.device}/${finding.source}: its last session was not finished, more frames may be left`;
  }
}

function numbersText({ firstSequence, count }: { firstSequence: number; count: number }): string {
  return count === 1 ? `frame ${firstSequence}` : `frames ${firstSequence} to ${firstSequence + count - 1}`;
}

/** Plain digits: this is read by programs too. */
function sourceText(source: SourceReport): string {
  const conflicts = source.conflicts === 0 ? "" : `, ${countText(source.conflicts, "conflict")}`;
  const incomplete = source.incomplete === 0 ? "" : `, ${source.incomplete} incomplete`;
  const frames = `${countText(source.frames, "frame")} (${formatBytes(source.bytes)})${conflicts}${incomplete}`;
  const differences = `${source.missing} missing, ${source.changed} changed, ${countText(source.gapFrames, "gap")}`;
  return `${source.device}/${source.source}: ${frames}, ${differences}${unaccountedText(source)}`;
}

function sumsText(report: VerifyReport): string {
  const { frames, missing, changed, unknown, unconfirmed, damaged, gapFrames } = report;
  const differences = `${missing} missing, ${changed} changed, ${unknown} unknown, ${countText(gapFrames, "gap")}`;
  const unsettled = unconfirmed === 0 ? "" : `, ${unconfirmed} unconfirmed`;
  const broken = damaged === 0 ? "" : `, ${countText(damaged, "archive")} damaged`;
  return `${countText(frames, "frame")}, ${differences}${unsettled}${broken}${unaccountedText(report)}`;
}

/** Nothing if there are none, as it should be always. */
function unaccountedText(
  report: Omit<VerifyReport, "sources" | "unknown" | "unconfirmed" | "damaged" | "clean"> | SourceReport,
): string {
  const { unaccounted, unrecorded, differing, lostAccounts } = report;
  const texts = unaccounted === 0 ? [] : [`, ${unaccounted} unaccounted`];
  if (unrecorded > 0) texts.push(`, ${unrecorded} unrecorded`);
  if (differing > 0) texts.push(`, totals of ${countText(differing, "session")} not shared`);
  if (lostAccounts > 0) texts.push(`, ${countText(lostAccounts, "account")} lost`);
  return texts.join("");
}

function countText(count: number, noun: string): string {
  return `${count} ${count === 1 ? noun : `${noun}s`}`;
}
