/**
 * What `--verify` changes in a directory: by its receiver, if one has it, or here. Only whoever holds its lock may
 * change anything there.
 */
import { closeSync, constants, existsSync, mkdirSync, openSync, rmdirSync, rmSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { ExitStatus, UserError } from "../../errors.ts";
import { describe, errorCode } from "../../system/errno.ts";
import { claimFile } from "../../system/file-claim.ts";
import type { ProcessLock } from "../../system/process-lock.ts";
import { Layout, layoutDefault } from "../store/layout.ts";
import { carryOut } from "./carry-out.ts";
import { catalogueFile, lockFile, ownFolder } from "./catalogue.ts";
import { ask, type VerifyAnswer, type VerifyRequest } from "./requests.ts";
import { isSound } from "./open-readable.ts";
import { lockDirectory } from "./sqlite-catalogue.ts";

export interface MendOptions {
  readonly directory: string;
  /** Called now and then with the files and bytes that were read, unless the receiver does it. */
  readonly progress: (files: number, bytes: number) => void;
  /** A receiver has the directory, and is asked. */
  readonly asking: () => void;
  readonly signal: AbortSignal;
}

export type Mended = Exclude<VerifyAnswer, { readonly kind: "refused" }>;

/** Throws UserError if it cannot be done; rejects with the signal's reason. */
export async function mend(request: VerifyRequest, options: MendOptions): Promise<Mended> {
  const { directory } = options;
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new UserError(`${directory} is no directory`, ["--verify takes what was given to the receiver's --out"]);
  }
  const own = resolve(directory, ownFolder);
  const isNew = !existsSync(own);
  const become = becomeOwner(isNew ? directory : own);
  try {
    if (isNew) mkdirSync(own, { mode: 0o750 });
    const answer = await carriedOut(request, options);
    if (answer.kind === "refused") throw new UserError(answer.message, answer.hints, ExitStatus.failure);
    return answer;
  } catch (error) {
    if (isNew) removeOwn(directory);
    options.signal.throwIfAborted();
    if (error instanceof UserError) throw error;
    const hints = ["run it as the user of the receiver, or as root"];
    throw new UserError(`nothing can be changed in ${directory}: ${describe(error)}`, hints, ExitStatus.failure);
  } finally {
    become.rootAgain();
  }
}

async function carriedOut(request: VerifyRequest, options: MendOptions): Promise<VerifyAnswer> {
  const { directory, asking, signal } = options;
  for (;;) {
    const lock = takeDirectory(directory);
    if (lock !== undefined) {
      try {
        return await carryOutHere(request, options);
      } finally {
        lock.release();
      }
    }
    asking();
    const isGone = (): boolean => {
      const free = takeDirectory(directory);
      free?.release();
      return free !== undefined;
    };
    try {
      const answer = await ask(directory, withDamage(request, directory), isGone, signal);
      if (answer !== undefined) return answer;
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      throw new UserError(
        `${directory} is in use by a receiver that cannot be asked`,
        ["it is of an earlier version: end it, and run this again"],
        ExitStatus.failure,
      );
    }
  }
}

/** To read all of its catalogue would keep a receiver from its work, so it is read here. */
function withDamage(request: VerifyRequest, directory: string): VerifyRequest {
  if (request.kind !== "rebuild") return request;
  try {
    return { ...request, damaged: existsSync(resolve(directory, catalogueFile)) && !isSound(directory) };
  } catch {
    // The receiver keeps it for itself, or it may not be read here.
    return request;
  }
}

/** Undefined: a receiver has it. */
function takeDirectory(directory: string): ProcessLock | undefined {
  const lock = lockDirectory(directory);
  if (lock === undefined || !isClaimed(resolve(directory, catalogueFile))) return lock;
  // Somebody removed the lock of a receiver, which makes it again in a moment.
  lock.release();
  return undefined;
}

function isClaimed(path: string): boolean {
  if (!existsSync(path)) return false;
  const handle = openSync(path, constants.O_RDWR);
  try {
    return claimFile(handle) === false;
  } finally {
    closeSync(handle);
  }
}

async function carryOutHere(request: VerifyRequest, options: MendOptions): Promise<VerifyAnswer> {
  const { directory, progress, signal } = options;
  return carryOut(request, {
    directory,
    layout: new Layout(layoutDefault),
    open: undefined,
    hasCatalogue: () => isSound(directory),
    progress,
    signal,
  });
}

/** Of a directory that turned out to be none of a receiver's. */
function removeOwn(directory: string): void {
  try {
    rmSync(resolve(directory, lockFile), { force: true });
    rmdirSync(resolve(directory, ownFolder));
  } catch {
    // More is there by now.
  }
}

/** What root makes here has to be the receiver's, which is hardly root. */
function becomeOwner(folder: string): { rootAgain(): void } {
  const { uid, gid } = statSync(folder);
  if (process.geteuid?.() !== 0 || uid === 0) return { rootAgain: () => undefined };
  const group = process.getegid?.() ?? 0;
  process.setegid?.(gid);
  process.seteuid?.(uid);
  return {
    rootAgain() {
      process.seteuid?.(0);
      process.setegid?.(group);
    },
  };
}
