/** A viewer by protocol (src/live/HTTP.md, The live channel). */
import { readFileSync } from "node:fs";
import type { Figures, Picture, ServerMessage, ViewerMessage } from "../../src/live/page-api.ts";
import { patienceMs, type Running } from "./processes.ts";

export interface Page {
  /** `http://127.0.0.1:9100`. */
  readonly url: string;
  readonly tokenFile: string;
  readonly token: string;
}

/** Where a framepipe with `--http` answers. */
export async function pageOf(running: Running): Promise<Page> {
  const { url, tokenFile } = await running.waitFor("http");
  const path = String(tokenFile);
  return { url: String(url), tokenFile: path, token: readFileSync(path, "utf8").trim() };
}

/** Asks with the token. */
export function askPage({ url, token }: Page, path: string, options: RequestInit = {}): Promise<Response> {
  return fetch(`${url}${path}`, { ...options, headers: { Authorization: `Bearer ${token}`, ...options.headers } });
}

/** Looks again and again until it holds. */
export async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadlineMs = performance.now() + patienceMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`did not come: ${what}`);
    await Bun.sleep(20);
  }
}

export interface Shown {
  readonly head: Picture;
  readonly bytes: Uint8Array;
}

export class LiveViewer {
  readonly pictures: Shown[] = [];
  readonly figures: Figures[] = [];
  readonly pongs: number[] = [];
  /** Undefined: it is open. */
  closed: number | undefined;
  readonly #socket: WebSocket;
  readonly #opened = Promise.withResolvers<boolean>();
  /** Credit is given back for each picture. */
  drawsAtOnce = true;

  constructor({ url, token }: Page, protocols: string[] = ["framepipe.live.1", `framepipe.token.${token}`]) {
    this.#socket = new WebSocket(`${url.replace(/^http/, "ws")}/api/live`, protocols);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.addEventListener("open", () => this.#opened.resolve(true));
    this.#socket.addEventListener("close", ({ code }) => {
      this.closed = code;
      this.#opened.resolve(false);
    });
    this.#socket.addEventListener("message", ({ data }) => this.#hear(data as string | ArrayBuffer));
  }

  /** Whether it was let in. */
  opened(): Promise<boolean> {
    return this.#opened.promise;
  }

  get protocol(): string {
    return this.#socket.protocol;
  }

  say(message: ViewerMessage | string): void {
    this.#socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  close(): void {
    this.#socket.close();
  }

  #hear(data: string | ArrayBuffer): void {
    if (typeof data === "string") {
      const message = JSON.parse(data) as ServerMessage;
      if ("figures" in message) this.figures.push(message.figures);
      else this.pongs.push(message.pong);
      return;
    }
    const length = new DataView(data).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length))) as Picture;
    this.pictures.push({ head, bytes: new Uint8Array(data, 4 + length) });
    if (this.drawsAtOnce) this.say({ credit: 1 });
  }
}
