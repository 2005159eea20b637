/** What the file system said, in words for a person. Details never name the file: whoever reports them does. */
import { SourceError } from "../../errors.ts";
import { describe, errorCode } from "../../system/errno.ts";

const gone: Readonly<Record<string, string>> = {
  ENOENT: "no longer there",
  ENOTDIR: "no longer there",
  ESTALE: "no longer there",
};

/** `permission denied (EACCES)`, for any error of `node:fs`. */
export function errorText(error: unknown): string {
  return describe(error, gone, "cannot be read");
}

/** Whether the file is gone, or is there and cannot be read. */
export function failureReason(error: unknown): "vanished" | "unreadable" {
  return errorCode(error) in gone ? "vanished" : "unreadable";
}

export function toSourceError(error: unknown): SourceError {
  return new SourceError(failureReason(error), errorText(error), { cause: error });
}

/** A path for a message: in quotes, with whatever could disturb a terminal or a log escaped, and not endless. */
export function quotePath(path: string): string {
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  return JSON.stringify(shown).replace(/[\u007f-\u009f]/g, (unit) => `\\u00${unit.charCodeAt(0).toString(16)}`);
}
