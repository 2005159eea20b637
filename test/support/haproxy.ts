/** A real TCP balancer on loopback, of Debian's package: killed, and started again on its port. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LoopbackServer } from "./loopback-server.ts";
import { freePort } from "./processes.ts";

export const hasHaproxy: boolean = Bun.which("haproxy") !== null;

export class Haproxy {
  readonly port: number = freePort();
  readonly #dir = mkdtempSync(join(tmpdir(), "framepipe-haproxy-"));
  readonly #file: string;
  readonly #server = new LoopbackServer(this.port);

  /** Connections go to the one of `ports` that has the fewest; one that does not answer is left out. */
  constructor(ports: readonly number[]) {
    this.#file = join(this.#dir, "haproxy.cfg");
    const servers = ports.map(
      (port, index) => `  server receiver-${index} 127.0.0.1:${port} check inter 200 fall 1 rise 1`,
    );
    const lines = [
      "global",
      "  maxconn 1000",
      "defaults",
      "  mode tcp",
      "  timeout connect 2s",
      "  timeout client 1h",
      "  timeout server 1h",
      "  retries 2",
      "  option redispatch",
      "listen framepipe",
      `  bind 127.0.0.1:${this.port}`,
      "  balance leastconn",
      ...servers,
    ];
    writeFileSync(this.#file, `${lines.join("\n")}\n`);
  }

  async start(): Promise<this> {
    await this.#server.start(["haproxy", "-db", "-f", this.#file]);
    return this;
  }

  get running(): boolean {
    return this.#server.running;
  }

  /** `kill -9`: every connection through it is cut. */
  async kill(): Promise<void> {
    await this.#server.kill();
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
