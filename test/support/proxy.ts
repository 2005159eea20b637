/**
 * A TCP proxy inside the test process: counts what passes, can be slowed down, can cut its connections, and can be
 * given another target while it runs. It holds one chunk per direction and no more, so back-pressure reaches through
 * it.
 */
import type { Socket, TCPSocketListener } from "bun";

export interface ProxyOptions {
  readonly targetPort: number;
  /** Bytes a second from the client to the target; absent: as fast as it goes. */
  readonly bytesPerSecond?: number;
  /** Sees everything that passes, in order. `connection` counts from 0. */
  readonly tap?: (connection: number, direction: "up" | "down", chunk: Uint8Array) => void;
}

/** One direction of one connection: what was read here and not yet written there. */
interface Half {
  readonly from: Side;
  readonly to: Side;
  rest: Uint8Array | undefined;
  ended: boolean;
  /** Nothing is passed on before, by the monotonic clock. */
  heldUntilMs: number;
  /** Counts a chunk, and says until when it is held. */
  readonly passed: (chunk: Uint8Array) => number;
}

interface Side {
  socket: Socket<Side> | undefined;
  reads: Half | undefined;
  writes: Half | undefined;
  closed: boolean;
}

export class Proxy {
  /** Where the next connection goes. */
  targetPort: number;
  /** Bytes a second from the client to the target; undefined: as fast as it goes. */
  bytesPerSecond: number | undefined;
  /** Connections accepted so far. */
  accepted = 0;
  /** Connections that reached the target. */
  connected = 0;
  /** From clients to targets. */
  upBytes = 0;
  /** From targets to clients. */
  downBytes = 0;
  readonly #options: ProxyOptions;
  readonly #listener: TCPSocketListener<Side>;
  readonly #open = new Set<Side>();
  #freeAtMs = 0;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.targetPort = options.targetPort;
    this.bytesPerSecond = options.bytesPerSecond;
    this.#listener = Bun.listen<Side>({
      hostname: "127.0.0.1",
      port: 0,
      allowHalfOpen: true,
      socket: {
        ...this.#handlers(),
        open: (socket) => {
          void this.#accept(socket);
        },
      },
    });
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Ends every connection at once, as a cable that is pulled and a machine that notices. */
  cut(): void {
    for (const side of this.#open) side.socket?.terminate();
  }

  close(): void {
    this.#listener.stop(true);
    this.cut();
  }

  async #accept(client: Socket<Side>): Promise<void> {
    const connection = this.accepted;
    this.accepted += 1;
    const near: Side = { socket: client, reads: undefined, writes: undefined, closed: false };
    const far: Side = { socket: undefined, reads: undefined, writes: undefined, closed: false };
    client.data = near;
    client.setNoDelay(true);
    this.#open.add(near);
    const { tap } = this.#options;
    const up: Half = {
      from: near,
      to: far,
      rest: undefined,
      ended: false,
      heldUntilMs: 0,
      passed: (chunk) => {
        this.upBytes += chunk.length;
        tap?.(connection, "up", chunk);
        return this.#turnMs(chunk.length);
      },
    };
    const down: Half = {
      from: far,
      to: near,
      rest: undefined,
      ended: false,
      heldUntilMs: 0,
      passed: (chunk) => {
        this.downBytes += chunk.length;
        tap?.(connection, "down", chunk);
        return 0;
      },
    };
    near.reads = far.writes = up;
    near.writes = far.reads = down;
    client.pause();
    try {
      const target = await Bun.connect<Side>({
        hostname: "127.0.0.1",
        port: this.targetPort,
        data: far,
        allowHalfOpen: true,
        socket: this.#handlers(),
      });
      this.connected += 1;
      far.socket = target;
      target.setNoDelay(true);
      this.#open.add(far);
      if (near.closed) target.terminate();
      else client.resume();
    } catch {
      client.terminate();
    }
  }

  #handlers() {
    return {
      binaryType: "uint8array" as const,
      data: (socket: Socket<Side>, chunk: Buffer) => {
        const half = socket.data.reads;
        if (half === undefined) return;
        // A pause may come one chunk too late.
        half.rest = half.rest === undefined ? chunk : Buffer.concat([half.rest, chunk]);
        socket.pause();
        half.heldUntilMs = half.passed(chunk);
        this.#forward(half);
      },
      drain: (socket: Socket<Side>) => {
        if (socket.data.writes !== undefined) this.#forward(socket.data.writes);
      },
      end: (socket: Socket<Side>) => {
        const half = socket.data.reads;
        if (half === undefined) return;
        half.ended = true;
        this.#forward(half);
      },
      close: (socket: Socket<Side>) => this.#closed(socket.data),
      error: () => undefined,
    };
  }

  /** When bytes have waited for their share of the rate. */
  #turnMs(bytes: number): number {
    const { bytesPerSecond } = this;
    if (bytesPerSecond === undefined) return 0;
    this.#freeAtMs = Math.max(this.#freeAtMs, performance.now()) + (bytes * 1000) / bytesPerSecond;
    return this.#freeAtMs;
  }

  #forward(half: Half): void {
    const { from, to } = half;
    if (to.socket === undefined || to.closed) return;
    const heldMs = half.heldUntilMs - performance.now();
    if (heldMs > 0) {
      setTimeout(() => this.#forward(half), heldMs);
      return;
    }
    if (half.rest !== undefined) {
      const taken = Math.max(0, to.socket.write(half.rest, 0, half.rest.length));
      half.rest = taken < half.rest.length ? half.rest.subarray(taken) : undefined;
      if (half.rest !== undefined) return;
    }
    if (half.ended) to.socket.shutdown();
    else if (!from.closed) from.socket?.resume();
  }

  /** A side is gone. In order if both directions have ended; otherwise the other side has to learn of it. */
  #closed(side: Side): void {
    if (side.closed) return;
    side.closed = true;
    this.#open.delete(side);
    const other = side.writes?.from;
    const inOrder = side.reads?.ended === true && side.writes?.ended === true;
    if (other !== undefined && !inOrder) other.socket?.terminate();
  }
}
