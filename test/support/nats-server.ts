/** A real NATS server on loopback with JetStream, of Debian's package: started, killed, started again on its data. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./processes.ts";

export const hasNatsServer: boolean = Bun.which("nats-server") !== null;

export class NatsServer {
  readonly port: number = freePort();
  readonly monitorPort: number = freePort();
  readonly #dir = mkdtempSync(join(tmpdir(), "framepipe-nats-"));
  #process: Bun.Subprocess | undefined;

  /** `configuration`: more of the server's own, such as `max_payload`. */
  async start(configuration = ""): Promise<this> {
    const file = join(this.#dir, "server.conf");
    const store = join(this.#dir, "data");
    const lines = [
      `listen: "127.0.0.1:${this.port}"`,
      `http: "127.0.0.1:${this.monitorPort}"`,
      `jetstream { store_dir: "${store}", max_file: 4G }`,
      configuration,
    ];
    writeFileSync(file, `${lines.join("\n")}\n`);
    this.#process = Bun.spawn(["nats-server", "-c", file], { stdio: ["ignore", "ignore", "ignore"] });
    for (let left = 200; !(await canConnect(this.port)); left -= 1) {
      if (left === 0 || this.#process.exitCode !== null) throw new Error("nats-server did not start");
      await Bun.sleep(50);
    }
    return this;
  }

  address(stream: string): string {
    return `nats://127.0.0.1:${this.port}/${stream}`;
  }

  /** `kill -9`. */
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
