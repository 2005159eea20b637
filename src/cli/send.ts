/** `--send`: opens the inputs, runs the sender, and says how it goes and how it went. */
import { join } from "node:path";
import { ExitStatus, ProtocolError, UserError } from "../errors.ts";
import type { SourceProgress } from "../events.ts";
import { restMsDefault } from "../limits.ts";
import type { SenderTrust, Source } from "../ports.ts";
import type { Trouble } from "../live/page-api.ts";
import { runSender, type SenderResult, type SenderRun } from "../pipeline/send.ts";
import { ChecksumMemory } from "../sources/files/checksum-memory.ts";
import { openSources } from "../sources/open-source.ts";
import { isTerminal } from "../system/standard-streams.ts";
import { systemClock } from "../system/system-clock.ts";
import type { SendCommand } from "./command.ts";
import type { Http } from "./http.ts";
import { deviceNameOf } from "./device-name.ts";
import { describeSenderEvent, describeSourceProblem, isLoss, refusalHints } from "./messages.ts";
import { standingOfSource } from "./pace.ts";
import { Progress } from "./progress.ts";
import { onStopSignals, type Shell } from "./shell.ts";
import { stateFile } from "./state-folder.ts";
import { describeSent } from "./summary.ts";
import { type Address, formatAddress } from "../address.ts";
import type { Terminal } from "./terminal.ts";
import { describeTrustEvent } from "./trust.ts";
import { programName } from "./version.ts";

/** Resolves when the run is over. Rejects with UserError for what cannot even be started. */
export async function send(command: SendCommand, shell: Shell): Promise<ExitStatus> {
  const { values } = command;
  if (values.http === undefined) return sendAll(command, shell);
  let run: SenderRun | undefined;
  // With a key it is the receiver who says what we are called.
  const device = values.device ?? (values.key === undefined ? deviceNameOf(undefined) : "");
  const watch = await watchOverHttp(values.http, values.key, device, () => run, shell.terminal);
  try {
    return await sendAll(command, shell, { ...watch, started: (started) => (run = started) });
  } finally {
    watch.http.stop();
  }
}

/** Whoever looks on over HTTP. */
interface Watch {
  readonly http: Http;
  /** A stream has given a frame. */
  readonly onFrame: NonNullable<Parameters<typeof openSources>[1]["onFrame"]>;
  /** Frames are read from a file or directory. */
  readonly watchReads: (source: Source) => void;
  readonly started: (run: SenderRun) => void;
}

async function sendAll(command: SendCommand, shell: Shell, watch?: Watch): Promise<ExitStatus> {
  const { terminal, nowMs } = shell;
  const { values, host, port } = command;
  const { order, lockstep, key } = values;
  const trust = key === undefined ? undefined : await openTrust(key, command, shell);
  const device = values.device === undefined && trust !== undefined ? "" : deviceNameOf(values.device);
  // Frames that nobody could list do not show in the sender's totals.
  let unlisted = false;
  const memory = new ChecksumMemory({
    path: checksumFile(values.spool),
    clock: systemClock,
    onProblem: (text) => terminal.report({ level: "detail", event: { event: "unremembered", detail: text }, text }),
  });
  const { sources, failures, goOn } = openSources(command.inputs, {
    clock: systemClock,
    oneByOne: lockstep,
    inputIsTerminal: isTerminal(0),
    include: values.include,
    exclude: values.exclude,
    deleteSent: values.deleteSent,
    restMs: values.unchangedFor ?? restMsDefault,
    captured: values.captured,
    compareAlways: values.compare === "always",
    memory,
    watch: values.watch,
    framesPerSecond: values.fps,
    order,
    streams: command.streams,
    frameBytesMax: values.maxFrame,
    onFrame: watch?.onFrame,
    onProblem: (problem) => {
      if (isLoss(problem)) unlisted = true;
      terminal.report(describeSourceProblem(problem));
    },
  });
  for (const failure of failures) terminal.error(failure.message, failure.hints);
  if (sources.length === 0) return ExitStatus.incomplete;

  const startedMs = nowMs();
  if (watch !== undefined) {
    // A stream's have been told of when they came.
    for (const source of sources) if (source.heldFrames === undefined) watch.watchReads(source);
  }
  const run = runSender({
    host,
    port,
    device,
    trust,
    goesOn: goOn,
    agent: programName,
    sources,
    order,
    rateMax: values.maxRate,
    ifNothingIsKept: values.deleteSent ? (goOn ? "wait" : "end") : "send",
    frameBytesMax: values.maxFrame,
    lockstep,
    retryForMs: values.retryFor,
    eachFrame: values.json && values.verbose,
    onEvent: (event) => terminal.report(describeSenderEvent(event)),
  });
  watch?.started(run);
  const progress = new Progress({ terminal, nowMs, standings: () => run.progress.map(standingOfSource) });
  const ignoreSignals = onStopSignals(shell, () => run.stop());
  let result: SenderResult;
  try {
    watch?.http.announce();
    progress.start();
    result = await run.done;
  } finally {
    memory.close();
    progress.stop();
    ignoreSignals();
  }

  terminal.sumUp();
  const unlistedSources = new Set(result.unlisted);
  const streams = result.lost.map(({ source, frames }) => {
    return { source, lostFrames: frames, readToEnd: !unlistedSources.has(source) };
  });
  const repeatable = run.progress.filter(({ source }) => !streams.some((stream) => stream.source === source));
  const summary = {
    // Of a source that was not even begun, zeros would claim to know something.
    totals: result.totals.filter(({ source, totals }) => totals.frames > 0 || !unlistedSources.has(source)),
    sentBytes: run.progress.reduce((bytes, source) => bytes + source.sentBytes, 0),
    elapsedMs: nowMs() - startedMs,
    unsettledFrames: repeatable.reduce((sum, { listedFrames, settledFrames }) => sum + listedFrames - settledFrames, 0),
    listingDone: repeatable.every(({ source }) => !unlistedSources.has(source)),
    streams,
  };
  for (const report of describeSent(summary)) terminal.report(report);
  reportEnd(result, command, shell);
  const incomplete = unlisted || failures.length > 0 || result.unsettledFrames > 0;
  return result.status === ExitStatus.ok && incomplete ? ExitStatus.incomplete : result.status;
}

/** Loaded only where it is asked for. Rejects with UserError. */
async function watchOverHttp(
  address: Address,
  key: string | undefined,
  device: string,
  run: () => SenderRun | undefined,
  terminal: Terminal,
): Promise<Omit<Watch, "started">> {
  const [{ startHttp }, { senderMetrics }, { senderSources }, { tellTaken, watchReads }] = await Promise.all([
    import("./http.ts"),
    import("../live/metrics.ts"),
    import("../live/host/figures.ts"),
    import("../live/host/watch-source.ts"),
  ]);
  const progress = (): readonly SourceProgress[] => run()?.progress ?? [];
  const trouble = (): Trouble | undefined => (run() === undefined ? "starting" : run()?.trouble());
  const http = await startHttp({
    address,
    key,
    terminal,
    trouble,
    metrics: () => senderMetrics(progress()),
    figures: (newest) => ({
      role: "sender",
      connections: trouble() === undefined || trouble() === "held" ? 1 : 0,
      sources: senderSources(device, progress(), newest, systemClock.nowMs()),
    }),
  });
  return {
    http,
    onFrame: (source, entry, pieces) => tellTaken(http.newest, device, source, entry, pieces),
    watchReads: (source) => watchReads(http.newest, device, source),
  };
}

/** Loaded only where there is a key. Throws UserError. */
async function openTrust(keyPath: string, { values, host, port }: SendCommand, shell: Shell): Promise<SenderTrust> {
  const [{ openSenderTrust }, { hideMemory }] = await Promise.all([
    import("../trust/sender-trust.ts"),
    import("../system/hidden-memory.ts"),
  ]);
  hideMemory();
  const { join: invitation, peer } = values;
  return openSenderTrust({
    keyPath,
    address: formatAddress(host, port),
    role: "receiver",
    join: invitation,
    peer,
    onEvent: (event) => shell.terminal.report(describeTrustEvent(event, { key: keyPath })),
  });
}

function reportEnd({ error }: SenderResult, { host, port }: SendCommand, { terminal }: Shell): void {
  if (error instanceof UserError) terminal.error(error.message, error.hints);
  else if (error instanceof ProtocolError) {
    terminal.error(`refused by ${formatAddress(host, port)}: ${error.message}`, refusalHints(error.code));
  }
}

/** Beside the spool, which is this sender's own place, or with what else programs keep of their state for the user. */
function checksumFile(spool: string | undefined): string {
  return spool === undefined ? stateFile("checksums.db") : join(spool, ".checksums.db");
}
