/** What the benchmark compares: a program, or a few joined by a pipe, that brings frames somewhere else. */
import type { FrameSetOnDisk, SetKind } from "./frame-sets.ts";
import type { Stage } from "./stage.ts";

/** When framepipe calls a frame stored; see `--sync` of the receiver. The other programs have no such choice. */
export const syncModes = ["batch", "each", "never"] as const;
export type SyncMode = (typeof syncModes)[number];

/** One run of one contender. */
export interface Job {
  readonly set: FrameSetOnDisk;
  /** Where frames go: a directory that is there, empty, and removed afterwards. */
  readonly dest: string;
  /** For configuration files and pipes, on the sources' file system; removed afterwards. */
  readonly scratch: string;
  readonly sync: SyncMode;
  /** The set is tiny, and programs with an amount of their own keep it tiny too. */
  readonly quick: boolean;
  /** Starts programs, takes the time, and ends what is left when the run is over. */
  readonly stage: Stage;
}

export interface Moved {
  readonly frames: number;
  readonly bytes: number;
  /** Milliseconds, if the program's own word is better than the stage's. */
  readonly elapsedMs?: number;
  /** Whether every frame arrived with its bytes: files to compare, the receiver's own count, or no frames at all. */
  readonly content:
    | { readonly kind: "files"; readonly folder: string; readonly names: readonly string[] }
    | { readonly kind: "counted" }
    | { readonly kind: "none" };
}

export interface Contender {
  /** As `--only` takes it. */
  readonly name: string;
  /** `ours`; a `peer` does the same work; a `reference` shows a limit, or where we come from. */
  readonly role: "ours" | "peer" | "reference";
  /** What it runs and what it promises, for a footnote. */
  readonly guarantees: string;
  /** Each frame is checked and acknowledged when all of it is stored, and never half of it under its final name. */
  readonly safe: boolean;
  /** Which sets it can take part in. */
  readonly kinds: readonly SetKind[];
  /** What to install; undefined if it can run. */
  missing(): string | undefined;
  /** Resolves when the receiver has every frame complete under its final name. Throws if the program fails. */
  run(job: Job): Promise<Moved>;
}

/** What most contenders answer: all frames of the set are files in `folder`. */
export function movedAll(set: FrameSetOnDisk, folder: string): Moved {
  return { frames: set.names.length, bytes: set.bytes, content: { kind: "files", folder, names: set.names } };
}
