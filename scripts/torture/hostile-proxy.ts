/**
 * A TCP proxy that does to a link whatever links do: it cuts, stalls, delays, throttles, damages, splits, and swallows
 * everything without a word. What it does begins and ends at times, and is the same for all its connections.
 */
import type { Socket, TCPSocketListener } from "bun";

/** What a direction holds before its source is not read any more. */
const heldBytesMax = 256 * 1024;
const tickMs = 5;

interface Direction {
  readonly from: End;
  readonly to: End;
  readonly chunks: { bytes: Uint8Array; readonly dueMs: number }[];
  heldBytes: number;
  ended: boolean;
}

interface End {
  socket: Socket<End> | undefined;
  reads: Direction | undefined;
  writes: Direction | undefined;
  closed: boolean;
}

export class HostileProxy {
  readonly targetPort: number;
  readonly #listener: TCPSocketListener<End>;
  readonly #ends = new Set<End>();
  readonly #timer: ReturnType<typeof setInterval>;
  #stalledUntilMs = 0;
  #splitUntilMs = 0;
  #blackUntilMs = 0;
  #delayMs = 0;
  #delayUntilMs = 0;
  #bytesPerMs = Number.POSITIVE_INFINITY;
  #throttledUntilMs = 0;
  #budgetBytes = 0;
  #damage = 0;
  connections = 0;
  damaged = 0;

  constructor(targetPort: number) {
    this.targetPort = targetPort;
    this.#listener = Bun.listen<End>({
      hostname: "127.0.0.1",
      port: 0,
      allowHalfOpen: true,
      socket: { ...this.#handlers(), open: (socket) => void this.#accept(socket) },
    });
    this.#timer = setInterval(() => this.#tick(), tickMs);
  }

  get port(): number {
    return this.#listener.port;
  }

  cut(): void {
    for (const end of this.#ends) end.socket?.terminate();
  }

  stall(ms: number): void {
    this.#stalledUntilMs = performance.now() + ms;
  }

  split(ms: number): void {
    this.#splitUntilMs = performance.now() + ms;
  }

  delay(delayMs: number, ms: number): void {
    this.#delayMs = delayMs;
    this.#delayUntilMs = performance.now() + ms;
  }

  throttle(bytesPerMs: number, ms: number): void {
    this.#bytesPerMs = bytesPerMs;
    this.#throttledUntilMs = performance.now() + ms;
  }

  /** One bit of each of the next `chunks` pieces that pass. */
  damage(chunks: number): void {
    this.#damage += chunks;
  }

  /** Takes everything and passes nothing on; then the link is cut, because what was swallowed is gone. */
  swallow(ms: number): void {
    this.#blackUntilMs = performance.now() + ms;
    setTimeout(() => this.cut(), ms);
  }

  calm(): void {
    if (performance.now() < this.#blackUntilMs) this.cut();
    this.#blackUntilMs = 0;
    this.#stalledUntilMs = this.#splitUntilMs = this.#delayUntilMs = this.#throttledUntilMs = this.#damage = 0;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#listener.stop(true);
    this.cut();
  }

  async #accept(client: Socket<End>): Promise<void> {
    this.connections++;
    const near: End = { socket: client, reads: undefined, writes: undefined, closed: false };
    const far: End = { socket: undefined, reads: undefined, writes: undefined, closed: false };
    const up: Direction = { from: near, to: far, chunks: [], heldBytes: 0, ended: false };
    const down: Direction = { from: far, to: near, chunks: [], heldBytes: 0, ended: false };
    near.reads = far.writes = up;
    near.writes = far.reads = down;
    client.data = near;
    this.#ends.add(near);
    try {
      far.socket = await Bun.connect<End>({
        hostname: "127.0.0.1",
        port: this.targetPort,
        data: far,
        allowHalfOpen: true,
        socket: this.#handlers(),
      });
      this.#ends.add(far);
      if (near.closed) far.socket.terminate();
    } catch {
      client.terminate();
    }
  }

  #handlers() {
    return {
      binaryType: "uint8array" as const,
      data: (socket: Socket<End>, bytes: Uint8Array) => {
        const direction = socket.data.reads;
        if (direction === undefined || performance.now() < this.#blackUntilMs) return;
        if (this.#damage > 0) {
          this.#damage--;
          this.damaged++;
          const at = Math.floor(Math.random() * bytes.length);
          bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(Math.random() * 8));
        }
        const delayMs = performance.now() < this.#delayUntilMs ? this.#delayMs : 0;
        direction.chunks.push({ bytes, dueMs: performance.now() + delayMs });
        direction.heldBytes += bytes.length;
        if (direction.heldBytes > heldBytesMax) socket.pause();
        this.#forward(direction);
      },
      drain: (socket: Socket<End>) => {
        if (socket.data.writes !== undefined) this.#forward(socket.data.writes);
      },
      end: (socket: Socket<End>) => {
        const direction = socket.data.reads;
        if (direction === undefined) return;
        direction.ended = true;
        this.#forward(direction);
      },
      close: (socket: Socket<End>) => this.#closed(socket.data),
      error: () => undefined,
    };
  }

  #tick(): void {
    this.#budgetBytes = this.#bytesPerMs * tickMs;
    for (const { reads } of this.#ends) if (reads !== undefined) this.#forward(reads);
  }

  #forward(direction: Direction): void {
    const { from, to, chunks } = direction;
    const nowMs = performance.now();
    if (to.socket === undefined || to.closed || nowMs < this.#stalledUntilMs) return;
    const isThrottled = nowMs < this.#throttledUntilMs;
    for (let first = chunks[0]; first !== undefined && first.dueMs <= nowMs; first = chunks[0]) {
      let most = first.bytes.length;
      if (nowMs < this.#splitUntilMs) most = Math.min(most, 1 + Math.floor(Math.random() * 7));
      if (isThrottled) most = Math.min(most, Math.floor(this.#budgetBytes));
      if (most === 0) return;
      const taken = Math.max(0, to.socket.write(first.bytes, 0, most));
      this.#budgetBytes -= taken;
      direction.heldBytes -= taken;
      if (taken < first.bytes.length) first.bytes = first.bytes.subarray(taken);
      else chunks.shift();
      if (taken < most) return;
      // Each small piece has a write of its own, and some of them one tick.
      if (nowMs < this.#splitUntilMs && Math.random() < 0.02) return;
    }
    if (chunks.length > 0) return;
    if (direction.ended) to.socket.shutdown();
    else if (!from.closed) from.socket?.resume();
  }

  #closed(end: End): void {
    if (end.closed) return;
    end.closed = true;
    this.#ends.delete(end);
    const other = end.writes?.from;
    const inOrder = end.reads?.ended === true && end.writes?.ended === true;
    if (other !== undefined && !inOrder) other.socket?.terminate();
  }
}
