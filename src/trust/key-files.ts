/**
 * Key files on the disk. A key is durable before anything else knows of it, and no other user may read it. Throws
 * UserError for everything that stands in the way; none of these ever shows what is in the file.
 */
import { randomBytes } from "node:crypto";
import { lstatSync, unlinkSync } from "node:fs";
import { ExitStatus, UserError } from "../errors.ts";
import { KiB } from "../limits.ts";
import { FormatError } from "../security/format-error.ts";
import { formatKeyFile, type KeyFile, parseKeyFile } from "../security/key-file.ts";
import { type KeyPair, keyPairFromSeed, seedBytes } from "../security/key-pair.ts";
import { describe, errorCode } from "../system/errno.ts";
import { createPrivateFile, readSmallFile, removeLeftovers, replacePrivateFile } from "../system/small-file.ts";

/** Four lines of some hundred characters, and room for remarks. */
const keyFileBytesMax = 64 * KiB;

export interface OpenedKey {
  readonly pair: KeyPair;
  readonly file: KeyFile;
}

/** Undefined: there is no such file. */
export function readKey(path: string): OpenedKey | undefined {
  let text: string;
  try {
    const file = readSmallFile(path, keyFileBytesMax);
    if (!file.isPrivate) {
      throw new UserError(
        `other users can read the key ${path}`,
        [
          `chmod 600 ${path}`,
          "if somebody may have read it, make a new key: to others, whoever has a copy is this machine",
        ],
        ExitStatus.failure,
      );
    }
    ({ text } = file);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return nothingAt(path);
    throw error instanceof UserError
      ? error
      : fileError("cannot read the key", path, error, "run it as the user whose key it is");
  }
  try {
    const file = parseKeyFile(text);
    return { pair: keyPairFromSeed(file.seed), file };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new UserError(
      `${path} is no key file: ${error.message}`,
      ["name a file that is not there, and a key is made; or bring this one back from where it is kept"],
      ExitStatus.failure,
    );
  }
}

/** No key is made in place of one on a disk that is not mounted. */
function nothingAt(path: string): undefined {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return;
  throw new UserError(
    `cannot read the key ${path}: the link there leads to nothing`,
    ["is its disk mounted? or remove the link, and a key is made"],
    ExitStatus.failure,
  );
}

/** Reads the key, or makes it where there is none. */
export function readOrMakeKey(path: string): OpenedKey & { readonly made: boolean } {
  for (;;) {
    const found = readKey(path);
    if (found !== undefined) {
      removeLeftovers(path);
      return { ...found, made: false };
    }
    const file: KeyFile = { seed: Uint8Array.from(randomBytes(seedBytes)) };
    try {
      // If another process was faster, its key is the key.
      if (createPrivateFile(path, formatKeyFile(file))) return { file, pair: keyPairFromSeed(file.seed), made: true };
    } catch (error) {
      throw fileError("cannot make the key", path, error);
    }
  }
}

/** Writes a key file anew with what `change` makes of it as it is now. */
export function updateKey(path: string, change: (file: KeyFile) => KeyFile): void {
  const found = readKey(path);
  if (found === undefined) throw new UserError(`the key ${path} is gone`, [], ExitStatus.failure);
  const changed = change(found.file);
  if (formatKeyFile(changed) === formatKeyFile(found.file)) return;
  try {
    replacePrivateFile(path, formatKeyFile(changed));
  } catch (error) {
    throw fileError("cannot write the key", path, error);
  }
}

/** A receiver's key and the one that comes after it. */
export interface ReceiverKey extends OpenedKey {
  readonly made: boolean;
  /** Where the spare was made just now. */
  readonly madeSpare: string | undefined;
  /** Fingerprints: this key's and the spare's. */
  readonly pins: readonly [string, string];
}

export function sparePath(path: string): string {
  return `${path}.spare`;
}

/**
 * Reads or makes a receiver's key, and its spare if it has none yet. The spare's file is durable before the key's file
 * names it; if it was made and not named, because the power went, it is taken up.
 */
export function readOrMakeReceiverKey(path: string): ReceiverKey {
  const opened = readOrMakeKey(path);
  const own = opened.pair.fingerprint;
  const { spare: named } = opened.file;
  removeLeftovers(sparePath(path));
  if (named !== undefined) return { ...opened, madeSpare: undefined, pins: [own, named] };
  let spare = readOrMakeKey(sparePath(path));
  if (spare.pair.fingerprint === own) {
    // It was copied over the key rather than moved: this one is in use now, and the next one is due.
    unlinkSync(sparePath(path));
    spare = readOrMakeKey(sparePath(path));
  }
  const { fingerprint } = spare.pair;
  updateKey(path, (file) => ({ ...file, spare: fingerprint }));
  return { ...opened, madeSpare: sparePath(path), pins: [own, fingerprint] };
}

const writableHint = "the key's directory must be writable for the user that framepipe runs as";

function fileError(what: string, path: string, error: unknown, hint: string = writableHint): UserError {
  const words = { ENOENT: "its directory is not there", EINVAL: "it is no ordinary file", EFBIG: "it is no key file" };
  const hints = /^(?:EACCES|EPERM|EROFS)$/.test(errorCode(error)) ? [hint] : [];
  return new UserError(`${what} ${path}: ${describe(error, words)}`, hints, ExitStatus.failure);
}
