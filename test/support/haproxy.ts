/** A real TCP balancer on loopback, of Debian's package: killed, and started again on its port. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./processes.ts";

export const hasHaproxy: boolean = Bun.which("haproxy") !== null;

export class Haproxy {
  readonly port: number = freePort();
  readonly #dir = mkdtempSync(join(tmpdir(), "framepipe-haproxy-"));
  readonly #file: string;
  #process: Bun.Subprocess | undefined;

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
    this.#process = Bun.spawn(["haproxy", "-db", "-f", this.#file], { stdio: ["ignore", "ignore", "ignore"] });
    for (let left = 200; !(await canConnect(this.port)); left -= 1) {
      if (left === 0 || this.#process.exitCode !== null) throw new Error("haproxy did not start");
      await Bun.sleep(50);
    }
    return this;
  }

  get running(): boolean {
    return this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** `kill -9`: every connection through it is cut. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
