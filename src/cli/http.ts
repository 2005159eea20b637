/** `--http`: metrics and health of this process, at either end. ../live/HTTP.md is its specification. */
import type { Address } from "../address.ts";
import { serveHttp } from "../live/http-server.ts";
import { findToken } from "../live/http-token.ts";
import { type Metric, metricsText, processMetrics } from "../live/metrics.ts";
import type { Trouble } from "../live/page-api.ts";
import { systemClock } from "../system/system-clock.ts";
import { stateFile } from "./state-folder.ts";
import type { Terminal } from "./terminal.ts";
import { commit, version } from "./version.ts";

export interface HttpOptions {
  readonly address: Address;
  /** The file of this end's key. */
  readonly key: string | undefined;
  readonly terminal: Terminal;
  /** Undefined: all is well. */
  readonly trouble: () => Trouble | undefined;
  /** Of this end, at this moment. */
  readonly metrics: () => Metric[];
}

/**
 * Throws UserError for a port that cannot be had and a token that cannot be used. Call the returned function to say
 * where it answers.
 */
export function startHttp({ address, key, terminal, trouble, metrics }: HttpOptions): () => void {
  const tokenFile = key === undefined ? stateFile("http.token") : `${key}.http-token`;
  const startedSeconds = (Date.now() - process.uptime() * 1000) / 1000;
  const server = serveHttp({
    hostname: address.host ?? "127.0.0.1",
    port: address.port,
    clock: systemClock,
    token: findToken(tokenFile),
    trouble,
    metrics: () => {
      const { user, system } = process.cpuUsage();
      const figures = {
        healthy: trouble() === undefined,
        version,
        commit,
        residentBytes: process.memoryUsage.rss(),
        cpuSeconds: (user + system) / 1e6,
        startedSeconds,
      };
      return metricsText([...metrics(), ...processMetrics(figures)]);
    },
  });
  const text = `metrics and health at http://${server.address}; the token for metrics is in ${tokenFile}`;
  const event = { event: "http", address: server.address, tokenFile };
  return () => terminal.info(text, event);
}
