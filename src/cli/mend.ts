/** `--verify --rebuild` and `--verify --replace`: what is said of them. Data, on standard output. */
import { rebuiltText } from "../sinks/directory/carry-out.ts";
import type { DamagedFile, SetAside } from "../sinks/directory/damaged-files.ts";
import { mend } from "../sinks/directory/mend.ts";
import type { VerifyCommand } from "./command.ts";
import { printable } from "./format.ts";
import type { Standing } from "./pace.ts";
import { type Terminal, toJson } from "./terminal.ts";

export interface Mending {
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  /** What has been read so far. */
  readonly standing: (standing: Standing) => void;
}

/** A receiver is asked for so many at a time. */
const filesMax = 1000;

/** Makes the catalogue anew, or adds to it what it does not know. Throws UserError if it cannot be done. */
export async function rebuild({ directory, values }: VerifyCommand, mending: Mending): Promise<void> {
  const mended = await mend({ kind: "rebuild", layout: values.layout }, optionsOf(directory, mending));
  if (mended.kind === "replaced") return;
  const { terminal } = mending;
  const { kind, ...files } = mended;
  if (terminal.json) terminal.data(toJson({ event: kind, directory, ...files }));
  else if (!terminal.quiet) terminal.data(printable(`${directory}: ${rebuiltText(mended)}`));
}

/** Makes room for what is sent again. Throws UserError if it cannot be done. */
export async function replace(
  { directory }: VerifyCommand,
  damaged: readonly DamagedFile[],
  mending: Mending,
): Promise<void> {
  const { terminal } = mending;
  let moved = 0;
  for (let next = 0; next < damaged.length; next += filesMax) {
    const files = damaged.slice(next, next + filesMax).map(({ path, bytes, crc32 }) => ({ path, bytes, crc32 }));
    const mended = await mend({ kind: "replace", files }, optionsOf(directory, mending));
    if (mended.kind !== "replaced") return;
    for (const file of mended.files) {
      terminal.data(terminal.json ? asideJson(file) : printable(asideText(file)));
      if ("movedTo" in file) moved += 1;
    }
  }
  if (moved === 0) return;
  const text = "the frames of what was set aside are stored when their senders are started again";
  terminal.report({ level: "info", event: { event: "replaced", files: moved }, text });
}

function optionsOf(directory: string, { terminal, signal, standing }: Mending): Parameters<typeof mend>[1] {
  return {
    directory,
    signal,
    progress: (frames, bytes) => standing({ name: directory, frames, bytes, linkBytes: bytes, listed: undefined }),
    asking: () => terminal.info(`the receiver of ${directory} is asked to do it`, { event: "asking" }),
  };
}

function asideText(file: SetAside): string {
  return "movedTo" in file ? `set aside ${file.path}: now ${file.movedTo}` : `left ${file.path}: ${file.stays}`;
}

function asideJson(file: SetAside): string {
  return toJson(
    "movedTo" in file
      ? { event: "set-aside", path: file.path, movedTo: file.movedTo }
      : { event: "left", path: file.path, detail: file.stays },
  );
}
