/** `--http`: the page, metrics and health, at either end. ../live/HTTP.md is its specification. */
import { hostname as machineName } from "node:os";
import { resolve } from "node:path";
import { type Address, isLoopback } from "../address.ts";
import { ownNames } from "../live/hosts.ts";
import { findToken } from "../live/http-token.ts";
import type { NewestFrames } from "../live/host/newest-frames.ts";
import { PageHost } from "../live/host/page-host.ts";
import { type Metric, metricsText, processMetrics } from "../live/metrics.ts";
import type { Figures, Trouble } from "../live/page-api.ts";
import { systemClock } from "../system/system-clock.ts";
import { formatTime } from "../times.ts";
import { readOrMakePageKey } from "../trust/page-key.ts";
import { stateFile } from "./state-folder.ts";
import type { Terminal } from "./terminal.ts";
import { commit, programName, version } from "./version.ts";

export interface HttpOptions {
  readonly address: Address;
  /** The file of this end's key. */
  readonly key: string | undefined;
  readonly terminal: Terminal;
  /** Where frames are stored that can be shown again. */
  readonly directory?: string | undefined;
  /** Undefined: all is well. */
  readonly trouble: () => Trouble | undefined;
  /** Of this end, at this moment. */
  readonly metrics: () => Metric[];
  readonly figures: (newest: NewestFrames) => Pick<Figures, "role" | "connections" | "sources" | "space">;
}

export interface Http {
  /** To be told of the frames that pass. */
  readonly newest: NewestFrames;
  /** Says where it answers. */
  announce(): void;
  stop(): void;
}

/** Rejects with UserError for a port that cannot be had, and a token or key that cannot be used. */
export async function startHttp(options: HttpOptions): Promise<Http> {
  const { address, key, terminal, directory, trouble, metrics, figures } = options;
  const { host: hostname = "127.0.0.1", port } = address;
  const tokenFile = key === undefined ? stateFile("http.token") : `${key}.http-token`;
  const tls = key === undefined || isLoopback(hostname) ? undefined : readOrMakePageKey(`${key}.page`, ownNames());
  const startedSeconds = (Date.now() - process.uptime() * 1000) / 1000;
  const since = formatTime(systemClock.wallNs());
  const host: PageHost = new PageHost({
    clock: systemClock,
    start: {
      hostname,
      port,
      token: findToken(tokenFile),
      tls: tls && { certificate: tls.certificate, privateKey: tls.privateKey },
      directory: directory === undefined ? undefined : resolve(directory),
    },
    trouble,
    metrics: () => metricsText([...metrics(), ...processMetrics(processFigures(trouble(), startedSeconds))]),
    figures: () => {
      const word = trouble();
      return {
        now: formatTime(systemClock.wallNs()),
        program: programName,
        since,
        ...(word === undefined ? {} : { trouble: word }),
        catalogue: directory !== undefined,
        ...figures(host.newest),
      };
    },
    onEnded: (againMs) =>
      terminal.report({
        level: "warning",
        event: { event: "http-ended", againMs },
        text: `the page's process has ended: started again in ${againMs / 1000} s`,
      }),
  });
  let taken: string;
  try {
    taken = await host.open();
  } catch (error) {
    host.stop();
    throw error;
  }
  // Nobody can open 0.0.0.0; by the machine's name it may be reached.
  const reached = taken.replace(/^(?:0\.0\.0\.0|\[::\])(?=:)/, machineName().toLowerCase());
  const url = `${tls === undefined ? "http" : "https"}://${reached}`;
  const text = `metrics, health and pictures at ${url}; the token for them is in ${tokenFile}`;
  const shown = tls === undefined ? text : `${text}; its certificate has SHA-256 ${tls.fingerprint}`;
  const proof = tls === undefined ? {} : { certificate: tls.fingerprint };
  return {
    newest: host.newest,
    announce: () =>
      terminal.report({
        level: "info",
        event: { event: "http", address: taken, url, tokenFile, ...proof },
        text: shown,
      }),
    stop: () => host.stop(),
  };
}

function processFigures(trouble: Trouble | undefined, startedSeconds: number): Parameters<typeof processMetrics>[0] {
  const { user, system } = process.cpuUsage();
  return {
    healthy: trouble === undefined,
    version,
    commit,
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
    startedSeconds,
  };
}
