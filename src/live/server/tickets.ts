/** A ticket stands for the token once, for one path and query, for a minute. */
import { randomBytes } from "node:crypto";

const ticketBytes = 16;
const ticketMs = 60_000;
const ticketsMax = 64;

interface Held {
  readonly path: string;
  readonly untilMs: number;
}

export class Tickets {
  readonly #nowMs: () => number;
  /** The oldest first. */
  readonly #held = new Map<string, Held>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  issue(path: string): string {
    for (const oldest of this.#held.keys().take(Math.max(0, this.#held.size - ticketsMax + 1))) {
      this.#held.delete(oldest);
    }
    const ticket = randomBytes(ticketBytes).toHex();
    this.#held.set(ticket, { path, untilMs: this.#nowMs() + ticketMs });
    return ticket;
  }

  /** Whether it is good for `path`; then it is used up. */
  redeem(ticket: string, path: string): boolean {
    const held = this.#held.get(ticket);
    if (held === undefined || held.path !== path || this.#nowMs() > held.untilMs) return false;
    return this.#held.delete(ticket);
  }
}
