/** The token that /metrics wants (HTTP.md): in a file that only its owner reads, made when it is not there. */
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { ExitStatus, UserError } from "../errors.ts";
import { describe, errorCode } from "../system/errno.ts";
import { createPrivateFile, readSmallFileIfThere } from "../system/small-file.ts";

const tokenBytes = 32;
const fileBytesMax = 4096;

/** Throws UserError for a file that cannot be used. */
export function findToken(path: string): string {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return readToken(path) ?? madeToken(path);
  } catch (error) {
    if (error instanceof UserError || errorCode(error) === "") throw error;
    throw new UserError(`${path}: ${describe(error)}`, ["--http keeps its token there"], ExitStatus.failure);
  }
}

function madeToken(path: string): string {
  createPrivateFile(path, `${randomBytes(tokenBytes).toHex()}\n`);
  // Another framepipe may have been first.
  const token = readToken(path);
  if (token !== undefined) return token;
  throw new UserError(`${path} is gone as soon as it is made`, [], ExitStatus.failure);
}

/** Undefined: it is not there. */
function readToken(path: string): string | undefined {
  const file = readSmallFileIfThere(path, fileBytesMax);
  if (file === undefined) return undefined;
  const token = file.text.trim();
  if (!file.isPrivate) {
    throw new UserError(`${path} can be read by others`, [`chmod 600 '${path}'`], ExitStatus.failure);
  }
  if (!/^[\x21-\x7e]{16,}$/.test(token)) {
    throw new UserError(`${path} holds no token: 16 characters or more, without spaces`, [
      "remove it, and one is made",
    ]);
  }
  return token;
}
