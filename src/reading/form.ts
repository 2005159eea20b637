/** In which form frames are given out, as a port. READING.md says what each looks like. */
import type { FileProblem } from "../sinks/directory/stored-file.ts";
import type { StoredRow } from "../sinks/directory/frame-query.ts";

/** Where the bytes go. Resolves when all of `view` was taken, which may change from then on. */
export type Output = (view: Uint8Array) => Promise<void>;

/** A frame, or two that are a pair. */
export type Taken = readonly [frame: StoredRow] | readonly [first: StoredRow, second: StoredRow];

export interface Form {
  /** Gives out what was taken, all of it or, for a problem with one of its frames, nothing. */
  put(taken: Taken): Promise<{ readonly frame: StoredRow; readonly problem: FileProblem } | undefined>;
  /** Once, behind the last. */
  end(): Promise<void>;
}
