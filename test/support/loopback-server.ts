/** A real server of another project, on a port of loopback: started, killed, started again on the same port. */
import { connect } from "node:net";

/** How long one may take to listen, in steps of 50 ms. */
const stepsMax = 200;

export class LoopbackServer {
  readonly #port: number;
  #process: Bun.Subprocess | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  /** Comes back when it can be connected to. Throws if it ends before, or never listens. */
  async start(command: readonly [string, ...string[]]): Promise<void> {
    this.#process = Bun.spawn([...command], { stdio: ["ignore", "ignore", "ignore"] });
    for (let left = stepsMax; !(await canConnect(this.#port)); left -= 1) {
      if (left === 0 || this.#process.exitCode !== null) throw new Error(`${command[0]} did not start`);
      await Bun.sleep(50);
    }
  }

  get running(): boolean {
    return this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
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
