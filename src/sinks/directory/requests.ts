/**
 * What `--verify` asks of the receiver that has the directory, because only whoever holds its lock may change anything
 * there: a file in `.framepipe/requests`, written under another name first, and its answer beside it.
 *
 *     ID.request  ->  the receiver finds it, carries it out  ->  ID.answer
 *
 * The receiver looks there when it looks at its own files, so within some seconds.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { requestsFolder } from "./catalogue.ts";
import type { DamagedFile, SetAside } from "./damaged-files.ts";
import type { EnteredFiles } from "./enter-files.ts";

export type VerifyRequest =
  /** Without a layout, that of the receiver. `damaged`: whoever asks has read all of the catalogue, and found that. */
  | { readonly kind: "rebuild"; readonly layout?: string | undefined; readonly damaged?: boolean }
  | { readonly kind: "replace"; readonly files: readonly DamagedFile[] };

export type RebuildAnswer =
  /** The receiver had it open, and nothing of it was lost. */
  | { readonly kind: "put-back" }
  | ({ readonly kind: "rebuilt" } & EnteredFiles)
  /** There was one, to which these were added. */
  | ({ readonly kind: "entered" } & EnteredFiles);

export type VerifyAnswer =
  | RebuildAnswer
  | { readonly kind: "replaced"; readonly files: readonly SetAside[] }
  | { readonly kind: "refused"; readonly message: string; readonly hints: readonly string[] };

const requestEnd = ".request";
const answerEnd = ".answer";

/** The receiver's side. Nothing here throws: a request that cannot be read is none. */
export class Requests {
  readonly #folder: string;

  constructor(directory: string) {
    this.#folder = resolve(directory, requestsFolder);
  }

  /** What was asked before this receiver came is nobody's any more. */
  begin(): void {
    try {
      rmSync(this.#folder, { recursive: true, force: true });
      mkdirSync(this.#folder, { mode: 0o750 });
    } catch {
      // Then nobody can ask.
    }
  }

  /** Somebody may have removed the folder. */
  #names(): string[] {
    try {
      return readdirSync(this.#folder);
    } catch {
      mkdirSync(this.#folder, { mode: 0o750 });
      return [];
    }
  }

  /** The next request, which is taken away by that. */
  take(): { readonly id: string; readonly request: VerifyRequest } | undefined {
    try {
      const name = this.#names().find((one) => one.endsWith(requestEnd));
      if (name === undefined) return undefined;
      const path = join(this.#folder, name);
      const text = readFileSync(path, "utf8");
      rmSync(path);
      const id = name.slice(0, -requestEnd.length);
      const request = JSON.parse(text) as { readonly kind?: unknown } | null;
      if (isKnown(request)) return { id, request };
      this.answer(id, { kind: "refused", message: "the receiver does not know what it was asked for", hints: [] });
      return undefined;
    } catch {
      return undefined;
    }
  }

  answer(id: string, answer: VerifyAnswer): void {
    try {
      put(join(this.#folder, `${id}${answerEnd}`), answer);
    } catch {
      // Whoever asked finds the work done, or not.
    }
  }
}

/**
 * Asks the receiver, and resolves to its answer. `isGone`: whether the receiver has ended since, asked now and then;
 * then the result is undefined. Rejects with the signal's reason, and with what the file system says.
 */
export async function ask(
  directory: string,
  request: VerifyRequest,
  isGone: () => boolean,
  signal: AbortSignal,
): Promise<VerifyAnswer | undefined> {
  const id = crypto.randomUUID();
  const path = (end: string): string => resolve(directory, requestsFolder, `${id}${end}`);
  put(path(requestEnd), request);
  try {
    for (let round = 1; ; round += 1) {
      await Bun.sleep(askAgainMs);
      signal.throwIfAborted();
      const answer = readAnswer(path(answerEnd));
      if (answer !== undefined) return answer;
      if (round % roundsAlive === 0 && isGone()) return undefined;
    }
  } finally {
    for (const end of [requestEnd, answerEnd]) rmSync(path(end), { force: true });
  }
}

/** Another version may ask for more. */
function isKnown(request: { readonly kind?: unknown } | null): request is VerifyRequest {
  return request?.kind === "rebuild" || request?.kind === "replace";
}

const askAgainMs = 50;
/** How many of these between two looks whether the receiver is still there. */
const roundsAlive = 40;

function readAnswer(path: string): VerifyAnswer | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as VerifyAnswer;
  } catch {
    return undefined;
  }
}

/** Whole, or not at all. */
function put(path: string, value: unknown): void {
  writeFileSync(`${path}.part`, JSON.stringify(value), { mode: 0o644 });
  renameSync(`${path}.part`, path);
}
