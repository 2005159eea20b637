/**
 * What happened, when, and what the programs did about it, for somebody who was not there: each line has the time since
 * the beginning and one of four marks.
 */

export const legend = `  each line: minutes and seconds since the beginning, then
  *  what was done to the programs, and for how long      .  that it is over
  >  a program began or ended                             |  what a program said about it`;

export class Journal {
  readonly #startMs = performance.now();
  readonly #write: (line: string) => void;
  /** What was done, and how often. */
  readonly events: Record<string, number> = {};
  readonly problems: string[] = [];

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  #line(mark: string, text: string): void {
    const seconds = (performance.now() - this.#startMs) / 1000;
    const minutes = `${Math.floor(seconds / 60)}`.padStart(3);
    this.#write(`${minutes}:${(seconds % 60).toFixed(1).padStart(4, "0")} ${mark} ${text}`);
  }

  did(what: string, text: string): void {
    this.events[what] = (this.events[what] ?? 0) + 1;
    this.#line("*", `${what}: ${text}`);
  }

  over(text: string): void {
    this.#line(".", text);
  }

  ran(text: string): void {
    this.#line(">", text);
  }

  said(program: string, text: string): void {
    this.#line("|", `${program}: ${text}`);
  }

  problem(text: string): void {
    this.problems.push(text);
    this.#line("!", `PROBLEM ${text}`);
  }
}
