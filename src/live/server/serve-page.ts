/**
 * The page's process: answers over HTTP what HTTP.md says, from what the process that started it tells. It has no key,
 * keeps nothing, and ends when the other does.
 */
import type { ServerWebSocket } from "bun";
import { formatAddress } from "../../address.ts";
import { UserError } from "../../errors.ts";
import { connectParent } from "../../transport/child.ts";
import { listenError } from "../../transport/listen.ts";
import { takeSecondPlace } from "../../system/own-limits.ts";
import { systemClock } from "../../system/system-clock.ts";
import { liveProtocol, type SourceKey } from "../page-api.ts";
import { MessageLink } from "../message-link.ts";
import { type HostMessage, hostJsonBytesMax, type PageMessage, type PageStart } from "../page-messages.ts";
import { pictureBytesMax } from "../picture-bytes.ts";
import { line, refused } from "./answer.ts";
import { Downloads } from "./download.ts";
import { type Gate, noToken, offersToken, refusalOf } from "./gate.ts";
import { Questions } from "./questions.ts";
import { ownHosts } from "../hosts.ts";
import { type HeldFrame, Pictures } from "./pictures.ts";
import { opensPage, Routes } from "./routes.ts";
import { StoredFrames } from "./stored-frames.ts";
import { Thumbnails } from "./thumbnails.ts";
import { Tickets } from "./tickets.ts";
import type { ViewerSocket } from "./viewer.ts";
import { Viewers, viewersMax } from "./viewers.ts";

/** Viewers, downloads, requests, and files of the catalogue. */
const openFilesMax = 2 * viewersMax + 256;
const idleSeconds = 10;
const downloadIdleSeconds = 30;
/** Of a viewer; pings are sent within it. */
const viewerIdleSeconds = 60;
const requestBytesMax = 4096;
const viewerMessageBytesMax = 65_536;
/** More than any viewer can have waiting. */
const waitingBytesMax = 2 * pictureBytesMax;

/** Resolves when the process that started it is gone. Rejects where there is none. */
export async function servePage(): Promise<void> {
  const { promise: done, resolve: onDone } = Promise.withResolvers<void>();
  let page: PageProcess | undefined;
  const link = new MessageLink({
    jsonBytesMax: hostJsonBytesMax,
    payloadBytesMax: pictureBytesMax,
    onMessage: (value, payload) => {
      // The process that started it is believed.
      const message = value as HostMessage;
      if ("start" in message) page = startPage(message.start, (said) => link.send(said));
      else page?.hear(message, payload);
    },
    onClosed: onDone,
  });
  await connectParent(link);
  takeSecondPlace(openFilesMax);
  // It runs for as long as the other: what is hot is worth compiling.
  Bun.unsafe.setJITPolicy(1);
  // The terminal's signals are for the other, which still has frames to store.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
  await done;
}

function startPage(start: PageStart, say: (message: PageMessage) => void): PageProcess | undefined {
  try {
    const page = new PageProcess(start, say);
    say({ listening: page.address });
    return page;
  } catch (error) {
    const { message, hints } = error instanceof UserError ? error : { message: String(error), hints: [] };
    say({ failed: { message, hints } });
    return undefined;
  }
}

class PageProcess {
  readonly address: string;
  readonly #token: string;
  readonly #gate: Gate;
  readonly #pictures: Pictures;
  readonly #viewers: Viewers;
  readonly #routes: Routes;
  readonly #stored: StoredFrames | undefined;
  readonly #questions: Questions;
  readonly #waiting = new Map<SourceKey, Set<() => void>>();

  /** Throws UserError when the port cannot be had. */
  constructor({ hostname, port, token, tls, directory }: PageStart, say: (message: PageMessage) => void) {
    const { nowMs, wallNs } = systemClock;
    this.#token = token;
    this.#stored = directory === undefined ? undefined : new StoredFrames(directory, pictureBytesMax);
    this.#questions = new Questions((ask) => say({ ask }));
    const thumbnails = new Thumbnails({ nowMs, sleep: (ms) => Bun.sleep(ms) });
    const thumbnailOf = (bytes: Uint8Array): Promise<Uint8Array | undefined> => thumbnails.of(bytes);
    this.#pictures = new Pictures({
      nowMs,
      wallNs,
      after: (ms, run) => void systemClock.after(ms, run),
      ask: (want, frames) => say({ want, frames }),
      stored: (key) => this.#newestStored(key),
      thumbnailOf,
      onReady: (key, size) => {
        if (size === "full") for (const wake of this.#waiting.get(key) ?? []) wake();
        this.#viewers.ready(key, size);
      },
    });
    this.#viewers = new Viewers({
      pictures: this.#pictures,
      nowMs,
      wallNs,
      every: (ms, run) => void setInterval(run, ms),
      askFigures: () => this.#questions.figures(),
    });
    this.#routes = new Routes({
      token,
      tickets: new Tickets(nowMs),
      pictures: this.#pictures,
      stored: this.#stored,
      downloads: this.#stored && new Downloads(this.#stored),
      page: undefined,
      health: () => this.#questions.health(),
      metrics: () => this.#questions.metrics(),
      figures: () => this.#questions.figures(),
      thumbnailOf,
      nextFrame: (key, ms) => this.#nextFrame(key, ms),
    });
    const server = this.#listen(hostname, port, tls);
    const taken = server.port ?? port;
    this.address = formatAddress(hostname, taken);
    const scheme = tls === undefined ? "http" : "https";
    this.#gate = { scheme, hosts: ownHosts(taken, tls === undefined ? 80 : 443) };
  }

  hear(message: HostMessage, payload: Uint8Array): void {
    if ("frame" in message) {
      const { frame: facts, serial, follows } = message;
      this.#pictures.enter({ facts, serial, bytes: follows ? payload : undefined });
    } else this.#questions.answered(message);
  }

  #listen(hostname: string, port: number, tls: PageStart["tls"]): Bun.Server<ViewerSocket> {
    try {
      return Bun.serve<ViewerSocket>({
        hostname,
        port,
        ...(tls === undefined ? {} : { tls: { cert: tls.certificate, key: tls.privateKey } }),
        idleTimeout: idleSeconds,
        maxRequestBodySize: requestBytesMax,
        fetch: (request, server) => this.#answer(request, server),
        error: () => line("something went wrong", 500),
        websocket: {
          maxPayloadLength: viewerMessageBytesMax,
          backpressureLimit: waitingBytesMax,
          idleTimeout: viewerIdleSeconds,
          sendPings: true,
          perMessageDeflate: false,
          open: (socket) => {
            socket.data = viewerSocket(socket);
            this.#viewers.join(socket.data);
          },
          message: (socket, text) => {
            if (typeof text === "string") this.#viewers.hear(socket.data, text);
            else socket.terminate();
          },
          drain: (socket) => this.#viewers.drained(socket.data),
          close: (socket) => this.#viewers.leave(socket.data),
        },
      });
    } catch (error) {
      throw listenError(error, formatAddress(hostname, port), "--http");
    }
  }

  async #answer(request: Request, server: Bun.Server<ViewerSocket>): Promise<Response | undefined> {
    const { headers, method, url } = request;
    const fields = {
      method,
      host: headers.get("Host"),
      origin: headers.get("Origin"),
      site: headers.get("Sec-Fetch-Site"),
    };
    const refusal = refusalOf(this.#gate, fields, opensPage(/^[^/]*\/\/[^/?]*(\/[^?]*)/.exec(url)?.[1] ?? ""));
    if (refusal !== undefined) return refused(refusal);
    const { pathname } = new URL(url);
    if (pathname === "/api/live") return this.#view(request, server);
    if (pathname === "/api/range") server.timeout(request, downloadIdleSeconds);
    return this.#routes.answerTo(request);
  }

  #view(request: Request, server: Bun.Server<ViewerSocket>): Response | undefined {
    const { headers } = request;
    if (headers.get("Upgrade")?.toLowerCase() !== "websocket")
      return line("a WebSocket", 426, { Upgrade: "websocket" });
    if (!offersToken(headers.get("Sec-WebSocket-Protocol"), this.#token)) return refused(noToken);
    if (this.#viewers.full) return line(`${viewersMax} viewers are there already`, 503);
    const isOpen = server.upgrade(request, {
      headers: { "Sec-WebSocket-Protocol": liveProtocol },
      // It is made when the connection is there.
      data: undefined as unknown as ViewerSocket,
    });
    return isOpen ? undefined : line("no WebSocket", 400);
  }

  async #newestStored(key: SourceKey): Promise<HeldFrame | undefined> {
    const newest = await this.#stored?.newest(key).catch(() => undefined);
    return newest && { facts: newest.facts, serial: 0, bytes: newest.bytes };
  }

  /** What the catalogue has is the newest; without one, it is the next that comes in time, or the last that came. */
  async #nextFrame(key: SourceKey, ms: number): Promise<HeldFrame | undefined> {
    if (this.#stored !== undefined) return this.#newestStored(key);
    const { promise: come, resolve: wake } = Promise.withResolvers<void>();
    const wakes = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, wakes.add(wake));
    const stopClock = systemClock.after(ms, wake);
    this.#pictures.want(key, "full");
    await come;
    stopClock();
    wakes.delete(wake);
    if (wakes.size === 0) this.#waiting.delete(key);
    return this.#pictures.frameOf(key);
  }
}

function viewerSocket(socket: ServerWebSocket<ViewerSocket>): ViewerSocket {
  return {
    send: (message) => void socket.send(message),
    waitingBytes: () => socket.getBufferedAmount(),
    close: () => socket.terminate(),
  };
}
