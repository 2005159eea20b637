/**
 * Virtual time: a queue of calls ordered by time, then by the order in which they were asked for. Nothing happens
 * between them, so a run is a function of its seed.
 */
import { drainMicrotasks } from "bun:jsc";
import type { Clock } from "../../src/ports.ts";

interface Call {
  readonly atMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

export class SimClock implements Clock {
  #nowMs = 0;
  #order = 0;
  /** A binary heap. */
  readonly #calls: Call[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wallNs(): bigint {
    return 1_795_000_000_000_000_000n + BigInt(Math.round(this.#nowMs * 1e6));
  }

  after(delayMs: number, run: () => void): () => void {
    const call: Call = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run };
    this.#push(call);
    return () => {
      call.run = undefined;
    };
  }

  /** The clock of one process: when it is killed, its timers are gone with it. */
  process(): { readonly clock: Clock; kill(): void } {
    let alive = true;
    const after: Clock["after"] = (delayMs, run) =>
      this.after(delayMs, () => {
        if (alive) run();
      });
    const clock: Clock = { nowMs: () => this.nowMs(), wallNs: () => this.wallNs(), after };
    return {
      clock,
      kill: () => {
        alive = false;
      },
    };
  }

  /** Runs the next call. False: nothing is left to happen. */
  step(): boolean {
    for (;;) {
      const call = this.#pop();
      if (call === undefined) return false;
      if (call.run === undefined) continue;
      this.#nowMs = call.atMs;
      call.run();
      // What awaits goes on at this moment of virtual time.
      drainMicrotasks();
      return true;
    }
  }

  /** Runs what is due within `ms`, one after another, and lets that time be over. */
  pass(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      // What is called off is of no account, and may be due earlier than what `step` would run.
      while (this.#calls[0] !== undefined && this.#calls[0].run === undefined) this.#pop();
      const first = this.#calls[0];
      if (first === undefined || first.atMs > endMs) break;
      this.step();
    }
    this.#nowMs = endMs;
  }

  #push(call: Call): void {
    const calls = this.#calls;
    let at = calls.push(call) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(call, calls[parent] as Call)) break;
      calls[at] = calls[parent] as Call;
      at = parent;
    }
    calls[at] = call;
  }

  #pop(): Call | undefined {
    const calls = this.#calls;
    const first = calls[0];
    const last = calls.pop();
    if (first === undefined || last === undefined || first === last) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= calls.length) break;
      if (child + 1 < calls.length && before(calls[child + 1] as Call, calls[child] as Call)) child++;
      if (!before(calls[child] as Call, last)) break;
      calls[at] = calls[child] as Call;
      at = child;
    }
    calls[at] = last;
    return first;
  }
}

function before(one: Call, other: Call): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}
