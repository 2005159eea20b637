/** What the file system said, in words for a person. Details never name the file: whoever reports them does. */
import { SourceError } from "../../errors.ts";

const gone = new Set(["ENOENT", "ENOTDIR", "ESTALE"]);

const words: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  EIO: "the disk reports an error",
  ELOOP: "a link that leads to itself",
  ENAMETOOLONG: "the path is too long for this system",
  EMFILE: "too many open files",
  ENFILE: "too many open files",
};

/** The system's code for an error of `node:fs`, or an empty string. */
export function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** `permission denied (EACCES)`, for any error of `node:fs`. */
export function errorText(error: unknown): string {
  const code = errorCode(error);
  if (code === "") return error instanceof Error ? error.message : String(error);
  return `${gone.has(code) ? "no longer there" : (words[code] ?? "cannot be read")} (${code})`;
}

/** Whether the file is gone, or is there and cannot be read. */
export function failureReason(error: unknown): "vanished" | "unreadable" {
  return gone.has(errorCode(error)) ? "vanished" : "unreadable";
}

export function toSourceError(error: unknown): SourceError {
  return new SourceError(failureReason(error), errorText(error), { cause: error });
}

/** A path for a message: in quotes, with whatever could disturb a terminal or a log escaped, and not endless. */
export function quotePath(path: string): string {
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  return JSON.stringify(shown).replace(/[\u007f-\u009f]/g, (unit) => `\\u00${unit.charCodeAt(0).toString(16)}`);
}
