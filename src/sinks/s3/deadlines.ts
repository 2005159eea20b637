/** When requests that are under way are given up. One timer looks at all of them: two for each put would cost more. */

/** How much later than its time a request may be given up. */
const lookMs = 250;

export class Deadline {
  readonly #controller = new AbortController();
  #atMs: number;
  over = false;

  constructor(delayMs: number) {
    this.#atMs = performance.now() + delayMs;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** From now on. */
  move(delayMs: number): void {
    this.#atMs = performance.now() + delayMs;
  }

  look(nowMs: number): void {
    if (nowMs < this.#atMs) return;
    this.over = true;
    this.end();
  }

  end(): void {
    this.#controller.abort();
  }
}

export class Deadlines {
  readonly #all = new Set<Deadline>();
  #timer: ReturnType<typeof setInterval> | undefined;

  begin(delayMs: number): Deadline {
    const deadline = new Deadline(delayMs);
    this.#all.add(deadline);
    this.#timer ??= setInterval(() => this.#look(), Math.min(lookMs, delayMs));
    return deadline;
  }

  #look(): void {
    const nowMs = performance.now();
    for (const deadline of this.#all) deadline.look(nowMs);
    if (this.#all.size === 0) this.#stop();
  }

  done(deadline: Deadline): void {
    this.#all.delete(deadline);
  }

  endAll(): void {
    for (const deadline of this.#all) {
      deadline.over = true;
      deadline.end();
    }
    this.#stop();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
