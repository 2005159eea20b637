/** `--receive`: opens the destination, runs the receiver, and says how it goes and how it went. */
import { type Address, formatAddress, isLoopback } from "../address.ts";
import { type ExitStatus, UserError } from "../errors.ts";
import type { OriginProgress, ReceiverEvent } from "../events.ts";
import { type ReceiverResult, type ReceiverRun, runReceiver } from "../pipeline/receive.ts";
import type { Backlog, ReceiverTrust } from "../ports.ts";
import { dialer } from "../transport/connect.ts";
import type { HandingOn } from "../pipeline/receive.ts";
import { directoryAmong, directoryBacklog, openSinks } from "../sinks/open-sink.ts";
import { ownAddresses } from "../system/own-addresses.ts";
import { isTerminal } from "../system/standard-streams.ts";
import { systemClock } from "../system/system-clock.ts";
import { everyInterface } from "../transport/listen.ts";
import type { ReceiveCommand, Upstream } from "./command.ts";
import type { Http } from "./http.ts";
import { describeReceiverEvent } from "./messages.ts";
import { standingOfOrigin } from "./pace.ts";
import { Progress } from "./progress.ts";
import { onStopSignals, type Shell } from "./shell.ts";
import { describeReceived } from "./summary.ts";
import type { Terminal } from "./terminal.ts";
import { describeTrustEvent } from "./trust.ts";
import { programName } from "./version.ts";

/** Resolves when the receiver has stopped. Throws UserError for what cannot even be started. */
export async function receive(command: ReceiveCommand, shell: Shell): Promise<ExitStatus> {
  const { terminal, nowMs } = shell;
  const { values, port, out, upstream } = command;
  const { layout, sync, key, maxFrame: frameBytesMax, minFree: minFreeBytes } = values;
  const { keep: keepMs, keepSize: keepBytes } = values;
  // A receiver runs for months: what is hot is worth compiling, which the executable puts off (scripts/build.ts).
  Bun.unsafe.setJITPolicy(1);
  const startedMs = nowMs();
  let started: ReceiverRun | undefined;
  const gapFrames = new Map<string, number>();
  let http: Http | undefined;
  let trust: ReceiverTrust | undefined;
  let handingOn: HandingOn | undefined;
  const quotaOf = (device: string): number | undefined => trust?.quotaOf(device);
  const tell = (event: ReceiverEvent): void => terminal.report(describeReceiverEvent(event));
  const early: ReceiverEvent[] = [];
  const backlog = upstream && directoryBacklog(out, systemClock.after);
  const sink = await openSinks(out, {
    env: process.env,
    layout,
    sync,
    frameBytesMax,
    minFreeBytes,
    mustExist: values.noCreate,
    backlog,
    keep: keepMs === undefined && keepBytes === undefined ? undefined : { keepMs, keepBytes, quotaOf },
    outputIsTerminal: isTerminal(1),
    // What the reader was given is acknowledged, and nobody is left to complain to.
    onClosed: () => started?.stop(),
    onEvent: (event) => {
      // Where it listens is the first thing that it says, unless it takes its time.
      const waits = started === undefined && event.event === "destination" && event.what !== "converting";
      if (waits) early.push(event);
      else tell(event);
    },
  });
  // Before anybody is told that it listens: whoever waits for that may stop it at once.
  const ignoreSignals = onStopSignals(shell, () => started?.stop());
  try {
    if (key !== undefined) trust = await openTrust(key, port, terminal);
    if (upstream !== undefined && backlog !== undefined) {
      handingOn = await openUpstream(upstream, backlog, command, terminal);
    }
    if (values.http !== undefined) {
      http = await watchOverHttp(values.http, command, () => started, gapFrames, terminal);
    }
    const newest = http?.newest;
    started = runReceiver({
      hostname: command.host ?? everyInterface(),
      port,
      sink,
      out,
      agent: programName,
      frameBytesMax,
      connectionsMax: values.maxConnections,
      trust,
      perAddressMax: values.perAddress,
      once: values.once,
      handingOn,
      eachFrame: values.json && values.verbose,
      watchFrame: newest?.watchFrame,
      onEvent: (event) => {
        if (event.event === "gap") {
          gapFrames.set(event.reason, (gapFrames.get(event.reason) ?? 0) + event.count);
          newest?.lost(event, event.reason, event.count);
        }
        const hints = event.event === "listening" ? reachHints(command, event.address) : undefined;
        const report = describeReceiverEvent(event);
        terminal.report(hints === undefined ? report : { ...report, hints });
      },
    });
  } catch (error) {
    // From here on the run disposes of it.
    sink.dispose();
    trust?.dispose();
    http?.stop();
    ignoreSignals();
    throw error;
  }
  const run = started;
  http?.announce();
  for (const event of early) tell(event);
  const progress = new Progress({ terminal, nowMs, standings: () => [...run.progress.values()].map(standingOfOrigin) });
  let result: ReceiverResult;
  try {
    progress.start();
    result = await run.done;
  } finally {
    progress.stop();
    http?.stop();
    ignoreSignals();
  }
  terminal.sumUp();
  terminal.report(describeReceived(run.progress.values(), nowMs() - startedMs));
  if (result.error instanceof UserError) terminal.error(result.error.message, result.error.hints);
  else if (result.error !== undefined) terminal.error(result.error.message);
  return result.status;
}

/** Loaded only where it is asked for. Rejects with UserError. */
async function watchOverHttp(
  address: Address,
  { values }: ReceiveCommand,
  run: () => ReceiverRun | undefined,
  gapFrames: ReadonlyMap<string, number>,
  terminal: Terminal,
): Promise<Http> {
  const [{ startHttp }, { receiverMetrics }, { receiverSources, SpaceWatch }] = await Promise.all([
    import("./http.ts"),
    import("../live/metrics.ts"),
    import("../live/host/figures.ts"),
  ]);
  const { key, out, keep, keepSize, minFree: minFreeBytes } = values;
  const directory = directoryAmong(out);
  const keeps = keep !== undefined || keepSize !== undefined;
  const space = directory === undefined ? undefined : new SpaceWatch({ directory, minFreeBytes, keeps });
  const progress = (): Iterable<OriginProgress> => run()?.progress.values() ?? [];
  return startHttp({
    address,
    key,
    terminal,
    directory,
    trouble: () => (run() === undefined ? "starting" : run()?.trouble()),
    metrics: () => receiverMetrics(progress(), gapFrames, run()?.connections() ?? 0, run()?.upstream()),
    figures: (newest) => {
      const nowMs = systemClock.nowMs();
      const now = space?.at(nowMs, newest.storedBytes);
      return {
        role: "receiver",
        connections: run()?.connections() ?? 0,
        sources: receiverSources(progress(), newest, nowMs),
        ...(now === undefined ? {} : { space: now }),
      };
    },
  });
}

/** Whom it hands on to, with its key if it has one. Throws UserError. */
async function openUpstream(
  { host, port }: Upstream,
  backlog: Backlog,
  { values: { key, join, peer } }: ReceiveCommand,
  terminal: Terminal,
): Promise<HandingOn> {
  const address = formatAddress(host, port);
  if (key === undefined) return { peer: address, dial: dialer(host, port), backlog };
  const { openSenderTrust } = await import("../trust/sender-trust.ts");
  const trust = openSenderTrust({
    keyPath: key,
    address,
    role: "upstream",
    join,
    peer,
    onEvent: (event) => terminal.report(describeTrustEvent(event, { key })),
  });
  return { peer: address, dial: dialer(host, port, trust), trust, backlog };
}

/** Loaded only where there is a key. Throws UserError. */
async function openTrust(keyPath: string, port: number, terminal: Terminal): Promise<ReceiverTrust> {
  const [{ openReceiverTrust }, { watchFolder }, { hideMemory }] = await Promise.all([
    import("../trust/receiver-trust.ts"),
    import("../system/watch-folder.ts"),
    import("../system/hidden-memory.ts"),
  ]);
  hideMemory();
  return openReceiverTrust({
    keyPath,
    clock: systemClock,
    watch: watchFolder,
    onEvent: (event) => terminal.report(describeTrustEvent(event, { key: keyPath, port })),
  });
}

/** Who can connect, where the address does not say it. */
function reachHints({ host, values }: ReceiveCommand, address: string): string[] | undefined {
  if (host === undefined) {
    const port = Number(address.slice(address.lastIndexOf(":") + 1));
    const addresses = usableAddresses(address.startsWith("["))?.map((own) => formatAddress(own, port));
    if (addresses === undefined) return [`from other machines: --send HOST:${port}`];
    return addresses.length === 0
      ? ["this machine has no network address now: it is reached when it has one"]
      : [`from other machines: --send ${addresses.join(" or ")}`];
  }
  if (!isLoopback(host) || values.receive?.host !== undefined) return undefined;
  return ["only this machine can connect: other machines need --key, or --insecure on a network that you trust"];
}

/** Of this machine in its networks; link-local ones work only with the name of an interface. Undefined: not known. */
function usableAddresses(withIpv6: boolean): string[] | undefined {
  return ownAddresses()
    ?.filter(({ family }) => withIpv6 || family === "IPv4")
    .filter(({ internal, address }) => !internal && !/^(?:fe[89ab]|169\.254\.)/i.test(address))
    .slice(0, addressesMax)
    .map(({ address }) => address);
}

const addressesMax = 4;
