/** Questions to the process that stores. However many ask, one of a kind is on its way, and all get its answer. */
import type { Figures } from "../page-api.ts";
import type { HostMessage, Question } from "../page-messages.ts";

export class Questions {
  readonly #ask: (question: Question) => void;
  readonly #open = new Map<Question, PromiseWithResolvers<unknown>>();

  constructor(ask: (question: Question) => void) {
    this.#ask = ask;
  }

  figures(): Promise<Figures> {
    return this.#answerTo("figures") as Promise<Figures>;
  }

  metrics(): Promise<string> {
    return this.#answerTo("metrics") as Promise<string>;
  }

  /** Empty: all is well. */
  health(): Promise<string> {
    return this.#answerTo("health") as Promise<string>;
  }

  answered(message: HostMessage): void {
    for (const question of ["figures", "metrics", "health"] as const) {
      if (!(question in message)) continue;
      this.#open.get(question)?.resolve((message as Record<Question, unknown>)[question]);
      this.#open.delete(question);
    }
  }

  #answerTo(question: Question): Promise<unknown> {
    let open = this.#open.get(question);
    if (open === undefined) {
      this.#open.set(question, (open = Promise.withResolvers()));
      this.#ask(question);
    }
    return open.promise;
  }
}
