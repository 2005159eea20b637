/** Standard output, which carries data: whoever reads it is waited for. Standard error, whose reader never is. */
import { writeSync } from "node:fs";
import { ExitStatus, UserError } from "../errors.ts";
import { errorCode } from "../system/errno.ts";
import { LogStream } from "../system/log-stream.ts";
import { writePatiently } from "../system/patient-write.ts";
import { isTerminal, type ScreenSize, screenSize } from "../system/standard-streams.ts";
import { systemClock } from "../system/system-clock.ts";
import type { DataStream, MessageStream } from "./terminal.ts";

export class StandardOutput implements DataStream {
  readonly isTerminal: boolean = isTerminal(1);
  #closed = false;

  write(text: string): boolean {
    const bytes = Buffer.from(text);
    let written = 0;
    while (written < bytes.length && !this.#closed) {
      try {
        written += writeSync(1, bytes, written, bytes.length - written);
      } catch (error) {
        // Whoever shares the pipe has made it non-blocking and the reader is slow: wait, as a blocking write would.
        const code = errorCode(error);
        if (code === "EAGAIN") Bun.sleepSync(1);
        else this.#failed(code);
      }
    }
    return !this.#closed;
  }

  async send(view: Uint8Array): Promise<boolean> {
    try {
      if (!this.#closed) await writePatiently(1, view, { position: null });
    } catch (error) {
      this.#failed(errorCode(error));
    }
    return !this.#closed;
  }

  #failed(code: string): void {
    if (code !== "EPIPE") {
      throw new UserError(`cannot write to standard output (${code})`, [outputHint], ExitStatus.failure);
    }
    this.#closed = true;
  }
}

const outputHint = "if it goes to a file: is the disk full?";

export class StandardError extends LogStream implements MessageStream {
  readonly isTerminal: boolean = isTerminal(2);

  constructor() {
    super({ descriptor: 2, clock: systemClock });
  }

  size(): ScreenSize {
    return this.isTerminal ? screenSize(2) : { columns: 80, rows: 24 };
  }
}
