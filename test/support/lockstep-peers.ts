/**
 * An article-style client and server, written from section 2 of the lockstep PROTOCOL.md alone: nothing of src/ is
 * used, and nothing is done to help the other side. Each read is taken for one message, the last
 * `ok` is said before the file is written, and a message that is none of the expected ones is lost.
 *
 *     bun test/support/lockstep-peers.ts server PORT DIR [--read-bytes N] [--busy-ms N] [--slow-read-ms N]
 *         [--wait-first-byte] [--once]
 *     bun test/support/lockstep-peers.ts client HOST PORT FORMAT DIR [--directory NAME] [--write-delay-ms N]
 *         [--read-bytes N] [--glue] [--split-header-ms N] [--die-in-frame N] [--no-delay]
 *
 * The server prints `listening PORT`, then `over FRAMES` for each conversation; PORT 0 takes a free one. The client
 * prints `sent FRAMES BYTES MS` and ends with status 0, or says what happened instead and ends with status 1.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import type { Socket } from "bun";

/** What a peer asks of its connection: a socket of Bun is one. */
export interface PeerConnection {
  /** Returns how many bytes were taken. */
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  shutdown(): void;
  terminate(): void;
  setNoDelay(noDelay: boolean): void;
}

/**
 * A socket used the way a blocking program uses one. While nobody reads, bytes stay in the kernel, as they would
 * there.
 */
export class BlockingSocket {
  #socket: PeerConnection | undefined;
  #arrived: Buffer = Buffer.alloc(0);
  #ended = false;
  #readable: (() => void) | undefined;
  #writable: (() => void) | undefined;

  attach(socket: PeerConnection): void {
    this.#socket = socket;
  }

  /** Nagle's algorithm is on in the original programs. */
  setNoDelay(noDelay: boolean): void {
    this.#socket?.setNoDelay(noDelay);
  }

  arrived(chunk: Buffer): void {
    this.#arrived = this.#arrived.length === 0 ? chunk : Buffer.concat([this.#arrived, chunk]);
    this.#socket?.pause();
    this.#readable?.();
  }

  drained(): void {
    this.#writable?.();
  }

  ended(): void {
    this.#ended = true;
    this.#readable?.();
    this.#writable?.();
  }

  /** What has arrived, at least one byte and at most `max`; nothing at the end of the connection. */
  async recv(max: number): Promise<Buffer> {
    while (this.#arrived.length === 0 && !this.#ended) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#readable = resolve;
      this.#socket?.resume();
      await promise;
      this.#readable = undefined;
    }
    const read = this.#arrived.subarray(0, max);
    this.#arrived = this.#arrived.subarray(read.length);
    return read;
  }

  async send(bytes: string | Uint8Array): Promise<void> {
    let rest: Uint8Array = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    while (rest.length > 0) {
      if (this.#ended) throw new Error("connection closed");
      rest = rest.subarray(Math.max(0, this.#socket?.write(rest) ?? 0));
      if (rest.length === 0) break;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#writable = resolve;
      await promise;
      this.#writable = undefined;
    }
  }

  /** FIN behind what was sent. */
  close(): void {
    this.#socket?.shutdown();
    this.#socket?.resume();
  }

  /** As a program that dies. */
  drop(): void {
    this.#socket?.terminate();
  }
}

const handlers = {
  data: (socket: Socket<BlockingSocket>, chunk: Buffer): void => socket.data.arrived(chunk),
  drain: (socket: Socket<BlockingSocket>): void => socket.data.drained(),
  end: (socket: Socket<BlockingSocket>): void => socket.data.ended(),
  close: (socket: Socket<BlockingSocket>): void => socket.data.ended(),
  error: (socket: Socket<BlockingSocket>): void => socket.data.ended(),
};

/** How a peer rests; another clock has another way. */
export type Sleep = (ms: number) => Promise<void>;

export interface ArticleServerOptions {
  readonly sleep?: Sleep;
  readonly port?: number;
  /** Frames are written to `<directory>/<format>/<name>`. */
  readonly directory: string;
  readonly readBytes?: number;
  /** Busy with "writing the file" for this long, after the last ok and before the next read. */
  readonly busyMs?: number;
  /** Rests this long after each read of a payload. */
  readonly slowReadMs?: number;
  /** Reads before it looks at the length, so an empty frame hangs it. */
  readonly waitFirstByte?: boolean;
  readonly onOver?: (frames: number) => void;
}

/** What a server has seen. */
export interface ArticleRecord {
  /** Session headers as they were read. */
  readonly sessions: string[];
  /** Names in the order in which their frames were complete, in all conversations. */
  readonly names: string[];
  /** Reads that were none of the expected messages. */
  readonly lost: string[];
  /** Conversations that ended with `over`. */
  overs: number;
}

export interface ArticleServer extends ArticleRecord {
  readonly port: number;
  stop(): void;
}

export function emptyRecord(): ArticleRecord {
  return { sessions: [], names: [], lost: [], overs: 0 };
}

export function startArticleServer(options: ArticleServerOptions): ArticleServer {
  const open = new Set<BlockingSocket>();
  const listener = Bun.listen<BlockingSocket>({
    hostname: "127.0.0.1",
    port: options.port ?? 0,
    allowHalfOpen: true,
    socket: {
      ...handlers,
      open: (socket) => {
        const blocking = new BlockingSocket();
        socket.data = blocking;
        blocking.attach(socket);
        blocking.setNoDelay(false);
        open.add(blocking);
        void serveArticle(blocking, options, server).finally(() => open.delete(blocking));
      },
    },
  });
  const server: ArticleServer = {
    ...emptyRecord(),
    port: listener.port,
    stop: () => {
      listener.stop();
      for (const socket of open) socket.drop();
    },
  };
  return server;
}

/** Serves one connection to its end, and closes it. */
export async function serveArticle(
  socket: BlockingSocket,
  options: ArticleServerOptions,
  record: ArticleRecord,
): Promise<void> {
  try {
    await serve(socket, options, record);
  } finally {
    socket.close();
  }
}

async function serve(socket: BlockingSocket, options: ArticleServerOptions, server: ArticleRecord): Promise<void> {
  const { sleep = Bun.sleep } = options;
  const readBytes = options.readBytes ?? 1024;
  const greeting = (await socket.recv(readBytes)).toString();
  if (greeting === "") return;
  server.sessions.push(greeting);
  const format = greeting.split("|")[0] ?? "";
  await socket.send("ok");
  let frames = 0;
  for (;;) {
    const header = (await socket.recv(readBytes)).toString();
    if (header === "") return;
    if (header === "over") break;
    const [length, name] = header.split("|");
    if (!/^[0-9]+$/.test(length ?? "") || name === undefined) {
      server.lost.push(header);
      continue;
    }
    await socket.send("ok");
    const pieces: Buffer[] = [];
    let received = 0;
    while (received < Number(length) || (options.waitFirstByte === true && received === 0)) {
      const piece = await socket.recv(readBytes);
      if (piece.length === 0) return;
      pieces.push(piece);
      received += piece.length;
      if (options.slowReadMs !== undefined) await sleep(options.slowReadMs);
    }
    await socket.send("ok");
    if (options.busyMs !== undefined) await sleep(options.busyMs);
    const path = join(options.directory, format, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, Buffer.concat(pieces));
    frames += 1;
    server.names.push(name);
    const message = (await socket.recv(readBytes)).toString();
    if (message === "") return;
    if (message === "over") break;
    if (message !== "continue") server.lost.push(message);
  }
  server.overs += 1;
  options.onOver?.(frames);
}

export interface ArticleConversation {
  readonly sleep?: Sleep;
  readonly format: string;
  readonly directory: string;
  readonly frames: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  /** Rests this long between the sends of a payload, and before each message. */
  readonly writeDelayMs?: number;
  readonly readBytes?: number;
  /** `continue` and the next header in one write. */
  readonly glue?: boolean;
  /** Each frame header in two writes, this long apart. */
  readonly splitHeaderMs?: number;
  /** Dies in the middle of the payload of the frame with this index. */
  readonly dieInFrame?: number;
  readonly noDelay?: boolean;
}

export interface ArticleClientOptions extends ArticleConversation {
  readonly host?: string;
  readonly port: number;
}

/** Connects and runs one conversation. */
export async function runArticleClient(options: ArticleClientOptions): Promise<number> {
  const socket = new BlockingSocket();
  const connection = await Bun.connect<BlockingSocket>({
    hostname: options.host ?? "127.0.0.1",
    port: options.port,
    data: socket,
    socket: handlers,
  });
  socket.attach(connection);
  return converseArticle(socket, options);
}

/**
 * Runs one conversation and closes its connection. Gives the number of confirmed frames; throws if the server says
 * anything but `ok`.
 */
export async function converseArticle(socket: BlockingSocket, options: ArticleConversation): Promise<number> {
  const { sleep = Bun.sleep } = options;
  socket.setNoDelay(options.noDelay ?? false);
  const rest = async (): Promise<void> => {
    if (options.writeDelayMs !== undefined) await sleep(options.writeDelayMs);
  };
  const expectOk = async (what: string): Promise<void> => {
    const reply = (await socket.recv(options.readBytes ?? 1024)).toString();
    if (reply !== "ok") throw new Error(`${what}: expected ok, got ${JSON.stringify(reply)}`);
  };
  try {
    await socket.send(`${options.format}|${options.directory}`);
    await expectOk("session header");
    let confirmed = 0;
    for (const [index, { name, bytes }] of options.frames.entries()) {
      const header = `${bytes.length}|${name}`;
      await rest();
      if (index > 0 && options.glue !== true) await socket.send("continue");
      if (options.splitHeaderMs !== undefined) {
        const cut = Math.min(2, header.length - 1);
        await socket.send((index > 0 && options.glue === true ? "continue" : "") + header.slice(0, cut));
        await sleep(options.splitHeaderMs);
        await socket.send(header.slice(cut));
      } else {
        await socket.send((index > 0 && options.glue === true ? "continue" : "") + header);
      }
      await expectOk(`header of ${name}`);
      const third = Math.ceil(bytes.length / 3);
      for (let at = 0; at < bytes.length; at += third) {
        await rest();
        if (options.dieInFrame === index && at >= third) {
          socket.drop();
          return confirmed;
        }
        await socket.send(bytes.subarray(at, at + third));
      }
      await expectOk(`payload of ${name}`);
      confirmed += 1;
    }
    await socket.send("over");
    return confirmed;
  } finally {
    socket.close();
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      "read-bytes": { type: "string" },
      "busy-ms": { type: "string" },
      "slow-read-ms": { type: "string" },
      "wait-first-byte": { type: "boolean" },
      once: { type: "boolean" },
      directory: { type: "string" },
      "write-delay-ms": { type: "string" },
      glue: { type: "boolean" },
      "split-header-ms": { type: "string" },
      "die-in-frame": { type: "string" },
      "no-delay": { type: "boolean" },
    },
  });
  const count = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
  /** Options that were not given are left out, as exactOptionalPropertyTypes wants it. */
  const given = <T extends object>(all: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
    Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as never;
  if (positionals[0] === "server") {
    const server = startArticleServer(
      given({
        port: Number(positionals[1]),
        directory: positionals[2] ?? ".",
        readBytes: count(values["read-bytes"]),
        busyMs: count(values["busy-ms"]),
        slowReadMs: count(values["slow-read-ms"]),
        waitFirstByte: values["wait-first-byte"],
        onOver: (frames: number) => {
          console.log(`over ${frames}`);
          if (values.once === true) server.stop();
        },
      }),
    );
    console.log(`listening ${server.port}`);
    return;
  }
  const [, host, port, format, folder] = positionals;
  if (positionals[0] !== "client" || host === undefined || format === undefined || folder === undefined) {
    throw new Error("usage: lockstep-peers.ts server PORT DIR | client HOST PORT FORMAT DIR");
  }
  const names = readdirSync(folder).toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  let bytesRead = 0;
  const frames = names.map((name) => ({
    name,
    /** Read when its turn comes, once. */
    get bytes(): Uint8Array {
      const bytes = readFileSync(join(folder, name));
      bytesRead += bytes.length;
      return bytes;
    },
  }));
  const started = performance.now();
  const confirmed = await runArticleClient(
    given({
      host,
      port: Number(port),
      format,
      directory: values.directory ?? basename(folder),
      frames,
      writeDelayMs: count(values["write-delay-ms"]),
      readBytes: count(values["read-bytes"]),
      glue: values.glue,
      splitHeaderMs: count(values["split-header-ms"]),
      dieInFrame: count(values["die-in-frame"]),
      noDelay: values["no-delay"],
    }),
  );
  console.log(`sent ${confirmed} ${bytesRead} ${Math.round(performance.now() - started)}`);
  if (confirmed < frames.length) process.exitCode = 1;
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(String(error));
    process.exitCode = 1;
  });
}
