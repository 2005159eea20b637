/**
 * A long link on one machine: a TCP proxy that delivers every byte `oneWayMs` after it was sent, no faster than
 * `bitsPerSecond` in each direction, in order.
 *
 *     bytes in -> the link is free: they take their time at its rate -> on the way for oneWayMs -> bytes out
 *
 * A connection costs what it would cost on such a link: the first byte leaves one round trip after the connect. The
 * link has a window of its own, so what it does not show is TCP's slow start, its receive window, and loss. Memory is
 * bounded by not reading from whoever sends faster than the link; `heldBytes` never exceeds `heldBytesMax` by more than
 * what the system hands over in one read.
 *
 *     bun scripts/bench/proxy.ts --to PORT --one-way-ms N [--bits-per-second N]
 *
 * prints `listening PORT` and serves 127.0.0.1 until it is ended.
 */
import { parseArgs } from "node:util";
import type { Socket } from "bun";

export interface LinkShape {
  /** Milliseconds from one end to the other: half of a round trip. */
  readonly oneWayMs: number;
  /** In each direction; undefined: as fast as the machine. */
  readonly bitsPerSecond?: number;
}

export interface ProxyOptions extends LinkShape {
  /** Where connections go, on 127.0.0.1. */
  readonly toPort: number;
}

export interface Proxy {
  readonly port: number;
  /** Bytes that were read and not yet delivered, of all connections. */
  readonly heldBytes: number;
  /** The most that one direction of a connection holds. */
  readonly heldBytesMax: number;
  /** Ends every connection and stops listening. */
  stop(): void;
}

/** Bytes leave a link with a rate in pieces of this size, 0.5 ms at 1 Gbit/s. */
const pieceBytes = 64 * 1024;
/** Bytes wait in front of a busy link for this long at most, as in a router with a short queue. */
const queueMs = 25;
/** Held by a direction without a rate: 1.3 GB/s at 50 ms. */
const unlimitedHeldBytes = 64 * 1024 * 1024;

export function startProxy(options: ProxyOptions): Proxy {
  const { toPort, oneWayMs, bitsPerSecond } = options;
  const heldBytesMax =
    bitsPerSecond === undefined
      ? unlimitedHeldBytes
      : Math.ceil((bitsPerSecond / 8000) * (oneWayMs + queueMs)) + pieceBytes;
  const open = new Set<Passage>();
  const listener = Bun.listen<End>({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      ...endHandlers,
      open: (socket) => {
        const passage = new Passage({ toPort, oneWayMs, bitsPerSecond, heldBytesMax }, () => open.delete(passage));
        open.add(passage);
        socket.data = passage.near;
        passage.near.attach(socket);
        passage.connect();
      },
    },
  });
  return {
    port: listener.port,
    heldBytesMax,
    get heldBytes(): number {
      return [...open].reduce((sum, { near, far }) => sum + near.incoming.heldBytes + far.incoming.heldBytes, 0);
    },
    stop: () => {
      listener.stop();
      for (const passage of open) passage.close();
    },
  };
}

interface PassageOptions {
  readonly toPort: number;
  readonly oneWayMs: number;
  readonly bitsPerSecond: number | undefined;
  readonly heldBytesMax: number;
}

/** One connection: two ends, and a lane from each to the other. */
class Passage {
  /** Towards the program that connected. */
  readonly near: End;
  /** Towards the program that listens. */
  readonly far: End;
  readonly #options: PassageOptions;
  readonly #onClosed: () => void;
  #closed = false;

  constructor(options: PassageOptions, onClosed: () => void) {
    this.#options = options;
    this.#onClosed = onClosed;
    // SYN and its answer are on the way for a round trip before the first byte may leave.
    const up = new Lane(options, 2 * options.oneWayMs);
    const down = new Lane(options, 0);
    // The sockets have seen both FINs by then and close by themselves; ending them here could cost the last bytes.
    const onFinished = (): void => {
      if (up.finished && down.finished) this.#over();
    };
    const onLost = (): void => void setTimeout(() => this.close(), options.oneWayMs);
    this.near = new End({ incoming: up, outgoing: down, onFinished, onLost });
    this.far = new End({ incoming: down, outgoing: up, onFinished, onLost });
    up.join(this.near, this.far);
    down.join(this.far, this.near);
  }

  /** The listening program sees the connection when the last packet of the handshake has arrived. */
  connect(): void {
    setTimeout(() => {
      if (this.#closed) return;
      Bun.connect<End>({
        hostname: "127.0.0.1",
        port: this.#options.toPort,
        allowHalfOpen: true,
        data: this.far,
        socket: { ...endHandlers, open: (socket) => (this.#closed ? socket.terminate() : this.far.attach(socket)) },
      }).catch(() => this.close());
    }, 3 * this.#options.oneWayMs);
  }

  /** Drops it, with what is on the way. */
  close(): void {
    if (this.#closed) return;
    this.near.drop();
    this.far.drop();
    this.#over();
  }

  #over(): void {
    this.#closed = true;
    this.#onClosed();
  }
}

interface EndOptions {
  /** Takes what is read here. */
  readonly incoming: Lane;
  /** Brings what is written here. */
  readonly outgoing: Lane;
  readonly onFinished: () => void;
  readonly onLost: () => void;
}

/** One socket of a passage. */
class End {
  readonly incoming: Lane;
  readonly #options: EndOptions;
  #socket: Socket<End> | undefined;
  #gone = false;

  constructor(options: EndOptions) {
    this.incoming = options.incoming;
    this.#options = options;
  }

  get attached(): boolean {
    return this.#socket !== undefined;
  }

  attach(socket: Socket<End>): void {
    this.#socket = socket;
    // What is late here must be late because of the link.
    socket.setNoDelay(true);
    this.#options.outgoing.deliver();
  }

  arrived(chunk: Uint8Array): void {
    if (this.incoming.push(chunk)) this.#socket?.pause();
  }

  /** The lane has room again. */
  resume(): void {
    this.#socket?.resume();
  }

  drained(): void {
    this.#options.outgoing.deliver();
  }

  /** Returns how many bytes were taken. Nobody reads behind a socket that has closed, so all of them go nowhere. */
  write(bytes: Uint8Array): number {
    if (this.#gone) return bytes.length;
    return Math.max(0, this.#socket?.write(bytes, 0, bytes.length) ?? 0);
  }

  /** The last byte was written: FIN. */
  finish(): void {
    this.#socket?.shutdown();
    this.#options.onFinished();
  }

  /**
   * The socket has closed. In order, it is the FIN as well, where ours went out before: Bun then has no `end` for it,
   * and what was read is still to be delivered.
   */
  closed(inOrder: boolean): void {
    this.#gone = true;
    if (!inOrder) return this.#options.onLost();
    if (!this.incoming.ended) this.incoming.end();
    this.#options.outgoing.deliver();
  }

  drop(): void {
    this.incoming.clear();
    this.#socket?.terminate();
  }
}

/** One direction. Invariant: pieces are in the order in which they came, and so are the times at which they are due. */
class Lane {
  heldBytes = 0;
  /** Everything up to and with the FIN has been delivered. */
  finished = false;
  readonly #options: PassageOptions;
  readonly #pieces: { bytes: Uint8Array; readonly dueMs: number }[] = [];
  #to: End | undefined;
  #from: End | undefined;
  /** When the link will have sent all it was given. */
  #freeAtMs: number;
  /** When the FIN is due, once it has come. */
  #endDueMs: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #full = false;
  /** What is due waits for the socket, which will say when it can be written. */
  #blocked = false;

  constructor(options: PassageOptions, firstAfterMs: number) {
    this.#options = options;
    this.#freeAtMs = performance.now() + firstAfterMs;
  }

  /** Said once, before anything else. */
  join(from: End, to: End): void {
    this.#from = from;
    this.#to = to;
  }

  /** Reading goes on while some of the queue is left: what is on the way is held too, and must not run out. */
  get #resumeBytes(): number {
    const { bitsPerSecond, oneWayMs, heldBytesMax } = this.#options;
    return bitsPerSecond === undefined ? heldBytesMax / 2 : (bitsPerSecond / 8000) * (oneWayMs + queueMs / 2);
  }

  get ended(): boolean {
    return this.#endDueMs !== undefined;
  }

  /** Returns whether the lane is full: the end it begins at is to stop reading until it is told to resume. */
  push(chunk: Uint8Array): boolean {
    const { bitsPerSecond, oneWayMs, heldBytesMax } = this.#options;
    const step = bitsPerSecond === undefined ? chunk.length : pieceBytes;
    this.#freeAtMs = Math.max(this.#freeAtMs, performance.now());
    for (let at = 0; at < chunk.length; at += step) {
      const bytes = chunk.subarray(at, at + step);
      if (bitsPerSecond !== undefined) this.#freeAtMs += (bytes.length * 8000) / bitsPerSecond;
      this.#pieces.push({ bytes, dueMs: this.#freeAtMs + oneWayMs });
    }
    this.heldBytes += chunk.length;
    this.#full ||= this.heldBytes >= heldBytesMax;
    this.#arm();
    return this.#full;
  }

  /** FIN has come. */
  end(): void {
    this.#endDueMs = Math.max(this.#freeAtMs, performance.now()) + this.#options.oneWayMs;
    this.#arm();
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#pieces.length = 0;
    this.heldBytes = 0;
  }

  /** Hands over what is due, as far as it is taken. */
  deliver(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.finished) return;
    this.#blocked = this.#to?.attached !== true;
    if (this.#to === undefined || this.#blocked) return;
    const nowMs = performance.now();
    for (let piece = this.#pieces[0]; piece !== undefined && piece.dueMs <= nowMs; piece = this.#pieces[0]) {
      const taken = this.#to.write(piece.bytes);
      this.heldBytes -= taken;
      piece.bytes = piece.bytes.subarray(taken);
      this.#blocked = piece.bytes.length > 0;
      if (this.#blocked) break;
      this.#pieces.shift();
    }
    if (this.#full && this.heldBytes <= this.#resumeBytes) {
      this.#full = false;
      this.#from?.resume();
    }
    if (this.#pieces.length === 0 && this.#endDueMs !== undefined && this.#endDueMs <= nowMs) {
      this.finished = true;
      this.#to.finish();
      return;
    }
    this.#arm();
  }

  #arm(): void {
    const dueMs = this.#pieces[0]?.dueMs ?? this.#endDueMs;
    if (dueMs === undefined || this.#timer !== undefined || this.#blocked) return;
    // Timers count in whole milliseconds; rounded up, nothing is early and nothing spins.
    this.#timer = setTimeout(() => this.deliver(), Math.max(0, Math.ceil(dueMs - performance.now())));
  }
}

const endHandlers = {
  data: (socket: Socket<End>, chunk: Buffer): void => socket.data.arrived(chunk),
  drain: (socket: Socket<End>): void => socket.data.drained(),
  end: (socket: Socket<End>): void => socket.data.incoming.end(),
  close: (socket: Socket<End>, error?: Error | null): void => socket.data.closed(error === undefined || error === null),
  // `close` follows.
  error: (): void => undefined,
};

if (import.meta.main) {
  const { values } = parseArgs({
    options: { to: { type: "string" }, "one-way-ms": { type: "string" }, "bits-per-second": { type: "string" } },
  });
  const bitsPerSecond = values["bits-per-second"];
  const proxy = startProxy({
    toPort: Number(values.to),
    oneWayMs: Number(values["one-way-ms"] ?? 0),
    ...(bitsPerSecond === undefined ? {} : { bitsPerSecond: Number(bitsPerSecond) }),
  });
  console.log(`listening ${proxy.port}`);
}
