/** What `--verify` may ask for, done by whoever holds the lock of the directory: its receiver, or `--verify` itself. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { UserError } from "../../errors.ts";
import type { DestinationEvent } from "../../events.ts";
import { describe } from "../../system/errno.ts";
import { Layout } from "../store/layout.ts";
import { type Catalogue, type CatalogueBatch, catalogueFile, damagedFolder } from "./catalogue.ts";
import { setAside } from "./damaged-files.ts";
import { enterFiles } from "./enter-files.ts";
import { rebuildFromFiles, rebuildFromOpen } from "./rebuild-catalogue.ts";
import type { RebuildAnswer, VerifyAnswer, VerifyRequest } from "./requests.ts";
import { openSqliteCatalogue } from "./sqlite-catalogue.ts";

export interface CarryOutOptions {
  readonly directory: string;
  /** Unless the request has one of its own. */
  readonly layout: Layout;
  /** The catalogue, where it is open, also if its file is gone: then nothing of it is lost. */
  readonly open: Catalogue | undefined;
  /** Called with what was entered in it. */
  readonly recorded?: ((batch: CatalogueBatch) => void) | undefined;
  /** There is one that can be used. */
  readonly hasCatalogue: () => boolean;
  readonly progress?: (files: number, bytes: number) => void;
  readonly signal?: AbortSignal;
}

/** Rejects with the signal's reason only. */
export async function carryOut(request: VerifyRequest, options: CarryOutOptions): Promise<VerifyAnswer> {
  try {
    if (request.kind === "replace")
      return { kind: "replaced", files: await setAside(options.directory, request.files) };
    const { layout } = request;
    return await rebuild(options, layout === undefined ? options.layout : new Layout(layout));
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof UserError) return { kind: "refused", message: error.message, hints: error.hints };
    return { kind: "refused", message: `${options.directory}: ${describe(error)}`, hints: [] };
  }
}

/** What was done, in the past tense. */
export function rebuiltText(answer: RebuildAnswer): string {
  if (answer.kind === "put-back") return "its catalogue was put back from what the receiver had open: nothing is lost";
  const { frames, sources, passedOver } = answer;
  const files = `${counted(frames, "file")} of ${counted(sources, "source")}`;
  const others = passedOver === 0 ? "" : `; passed over: ${passedOver}`;
  if (answer.kind === "rebuilt") return `its catalogue was made anew from ${files}${others}`;
  if (frames === 0) return `its catalogue knew every file${others}`;
  return `its catalogue did not know ${files}, and does now${others}`;
}

function counted(count: number, noun: string): string {
  return `${count} ${count === 1 ? noun : `${noun}s`}`;
}

/** For the receiver's own messages; undefined: nothing was done. */
export function eventOf(answer: VerifyAnswer): Pick<DestinationEvent, "what" | "detail"> | undefined {
  switch (answer.kind) {
    case "rebuilt":
    case "entered":
    case "put-back":
      return { what: "rebuilt", detail: `${rebuiltText(answer)}, as --verify --rebuild asked for` };
    case "replaced": {
      const count = answer.files.filter((file) => "movedTo" in file).length;
      const detail = `${counted(count, "damaged file")} set aside in ${damagedFolder}, as --verify --replace asked for`;
      return count === 0 ? undefined : { what: "set-aside", detail };
    }
    case "refused":
      return undefined;
  }
}

async function rebuild(options: CarryOutOptions, layout: Layout): Promise<VerifyAnswer> {
  const { directory, open, recorded, hasCatalogue, progress, signal } = options;
  const entering = { directory, layout, progress, signal };
  if (hasCatalogue()) {
    const catalogue = open ?? openSqliteCatalogue(directory, "batch");
    const receivedNs = BigInt(Date.now()) * 1_000_000n;
    try {
      return { kind: "entered", ...(await enterFiles({ ...entering, catalogue, receivedNs, recorded })) };
    } finally {
      if (open === undefined) catalogue.close();
    }
  }
  const isGone = !existsSync(resolve(directory, catalogueFile));
  if (isGone && open !== undefined && isRebuiltFrom(open, directory)) return { kind: "put-back" };
  return { kind: "rebuilt", ...(await rebuildFromFiles(entering)) };
}

function isRebuiltFrom(open: Catalogue, directory: string): boolean {
  try {
    rebuildFromOpen(directory, open);
    return true;
  } catch {
    // What is open of it cannot be read any more. The files can.
    return false;
  }
}
