/**
 * From the codes of file systems and of SQLite to sentences for a person. Nearly everything that a destination does to
 * us passes: disks are emptied, mounted again, made writable. So nearly everything is retryable.
 */
import { AssertionError, SinkError, UserError } from "../../errors.ts";
import { describe, isDamage } from "../../system/errno.ts";

/**
 * `error` as the sink's own kind: `place: cannot DOING: why`. Errors that already are one are passed on; a bug is
 * thrown again, so that it stops the program instead of being retried for ever.
 */
export function sinkError(place: string, doing: string, error: unknown): SinkError {
  if (error instanceof SinkError) return error;
  if (error instanceof AssertionError || error instanceof TypeError || error instanceof RangeError) throw error;
  // The sentence of a user error is already complete; while running, waiting may cure it.
  if (error instanceof UserError)
    return new SinkError(error.message, { retryable: true, hints: error.hints, cause: error });
  return new SinkError(`${place}: cannot ${doing}: ${describe(error)}`, { retryable: !isDamage(error), cause: error });
}
