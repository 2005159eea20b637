/** Something to say. */

/**
 * - `error`: something ends or cannot be used; `error:` and `hint:` lines, always shown
 * - `warning`: something is not as it should be, and the rest goes on; always shown
 * - `frame`: the same of one frame; always shown
 * - `info`: what a person wants to know; not with `--quiet`
 * - `detail`: per connection; only with `--verbose`
 */
export type Level = "error" | "warning" | "frame" | "info" | "detail";

/** For a person (`text`, `hints`) and for a machine (`event`, an object that becomes a JSON line). */
export interface Report {
  readonly level: Level;
  readonly event: { readonly event: string } & Readonly<Record<string, unknown>>;
  readonly text: string;
  readonly hints?: readonly string[] | undefined;
}
