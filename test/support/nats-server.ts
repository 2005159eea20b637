/** A real NATS server on loopback with JetStream, of Debian's package: started, killed, started again on its data. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LoopbackServer } from "./loopback-server.ts";
import { freePort } from "./processes.ts";

export const hasNatsServer: boolean = Bun.which("nats-server") !== null;

export class NatsServer {
  readonly port: number = freePort();
  readonly monitorPort: number = freePort();
  readonly #dir = mkdtempSync(join(tmpdir(), "framepipe-nats-"));
  readonly #server = new LoopbackServer(this.port);

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
    await this.#server.start(["nats-server", "-c", file]);
    return this;
  }

  address(stream: string): string {
    return `nats://127.0.0.1:${this.port}/${stream}`;
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.#server.kill();
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
