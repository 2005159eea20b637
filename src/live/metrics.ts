/** Figures as Prometheus reads them: its text format, version 0.0.4. HTTP.md lists them. */
import type { OriginProgress, SourceProgress } from "../events.ts";

export interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric without samples is left out. */
export function metricsText(metrics: readonly Metric[]): string {
  return metrics
    .filter(({ samples }) => samples.length > 0)
    .map(({ name, type, help, samples }) => {
      const lines = samples.map(({ labels = {}, value }) => `${name}${labelsText(labels)} ${value}\n`);
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
    })
    .join("");
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** Names are anybody's. */
function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

const framesHelp = "Frames by what became of them; the last word on each counts.";

export function receiverMetrics(
  origins: Iterable<OriginProgress>,
  gapFrames: ReadonlyMap<string, number>,
  connections: number,
  upstream?: { readonly backlogFrames: number; readonly connected: boolean } | undefined,
): Metric[] {
  const all = [...origins].map(({ device, source, ...progress }) => ({ labels: { device, source }, ...progress }));
  return [
    {
      name: "framepipe_frames",
      type: "gauge",
      help: framesHelp,
      samples: all.flatMap(({ labels, frames }) =>
        Object.entries(frames).map(([outcome, value]) => ({ labels: { ...labels, outcome }, value })),
      ),
    },
    {
      name: "framepipe_stored_bytes_total",
      type: "counter",
      help: "Bytes of frames that were stored.",
      samples: all.map(({ labels, storedBytes: value }) => ({ labels, value })),
    },
    {
      name: "framepipe_received_bytes_total",
      type: "counter",
      help: "Bytes of frames that arrived, stored or not.",
      samples: all.map(({ labels, receivedBytes: value }) => ({ labels, value })),
    },
    {
      name: "framepipe_gap_frames_total",
      type: "counter",
      help: "Frames that senders said will not arrive.",
      samples: [...gapFrames].map(([reason, value]) => ({ labels: { reason }, value })),
    },
    {
      name: "framepipe_connections",
      type: "gauge",
      help: "Connections of senders that were let in.",
      samples: [{ value: connections }],
    },
    {
      name: "framepipe_upstream_backlog_frames",
      type: "gauge",
      help: "Of a gateway: numbers that its upstream does not have.",
      samples: upstream === undefined ? [] : [{ value: upstream.backlogFrames }],
    },
    {
      name: "framepipe_upstream_connected",
      type: "gauge",
      help: "Of a gateway: 1 while there is a connection to its upstream.",
      samples: upstream === undefined ? [] : [{ value: upstream.connected ? 1 : 0 }],
    },
  ];
}

export function senderMetrics(sources: readonly SourceProgress[]): Metric[] {
  const each = (valueOf: (source: SourceProgress) => number): Sample[] =>
    sources.map((source) => ({ labels: { source: source.source }, value: valueOf(source) }));
  return [
    {
      name: "framepipe_frames",
      type: "gauge",
      help: framesHelp,
      samples: sources.flatMap((of) =>
        Object.entries({
          stored: of.storedFrames,
          conflict: of.conflictFrames,
          duplicate: of.duplicateFrames,
          refused: of.refusedFrames,
          gap: of.skippedFrames,
        }).map(([outcome, value]) => ({ labels: { source: of.source, outcome }, value })),
      ),
    },
    {
      name: "framepipe_backlog_frames",
      type: "gauge",
      help: "Frames that were listed and are not settled.",
      samples: each(({ listedFrames, settledFrames }) => listedFrames - settledFrames),
    },
    {
      name: "framepipe_backlog_bytes",
      type: "gauge",
      help: "Bytes of frames that were listed and are not settled.",
      samples: each(({ listedBytes, settledBytes }) => listedBytes - settledBytes),
    },
    {
      name: "framepipe_sent_bytes_total",
      type: "counter",
      help: "Bytes of frames handed to the link, resent frames included.",
      samples: each(({ sentBytes }) => sentBytes),
    },
  ];
}

export interface ProcessFigures {
  readonly healthy: boolean;
  readonly version: string;
  readonly commit: string;
  readonly residentBytes: number;
  readonly cpuSeconds: number;
  readonly startedSeconds: number;
}

export function processMetrics(figures: ProcessFigures): Metric[] {
  const { healthy, version, commit, residentBytes, cpuSeconds, startedSeconds } = figures;
  const one = (name: string, type: Metric["type"], help: string, sample: Sample): Metric => {
    return { name, type, help, samples: [sample] };
  };
  return [
    one("framepipe_healthy", "gauge", "1, or 0 where /healthz answers with 503.", { value: healthy ? 1 : 0 }),
    one("framepipe_info", "gauge", "Which framepipe this is.", { labels: { version, commit }, value: 1 }),
    one("process_resident_memory_bytes", "gauge", "Memory that is in use.", { value: residentBytes }),
    one("process_cpu_seconds_total", "counter", "Time on processors.", { value: cpuSeconds }),
    one("process_start_time_seconds", "gauge", "When it was started, since 1970.", { value: startedSeconds }),
  ];
}
