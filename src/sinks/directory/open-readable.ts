/** Opens a catalogue for reading only, which may be in use, or left by a receiver that was killed. */
import { constants, Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ExitStatus, UserError } from "../../errors.ts";
import { errorCode } from "../../system/errno.ts";
import { catalogueVersion } from "./catalogue-tables.ts";
import { catalogueFile } from "./catalogue.ts";
import { catalogueError, readVersion } from "./sqlite-catalogue.ts";

/** How long a read waits for another program, such as a receiver that ends and tidies up. */
const busyMs = 5000;

/** `reader`: the option that wants it. Throws UserError if there is no catalogue that can be read. */
export function openReadable(directory: string, reader: "--verify" | "--read"): Database {
  const path = join(directory, catalogueFile);
  if (!existsSync(path)) {
    const hint = `${reader} takes a directory that a receiver has stored to, as given to its --out`;
    throw new UserError(`${directory} has no catalogue (${catalogueFile})`, [hint]);
  }
  let database: Database | undefined;
  try {
    database = openReadOnly(path);
    const version = readVersion(database);
    if (version >= 1 && version <= catalogueVersion) return database;
    const found = version === 0 ? "holds no tables of framepipe" : `has version ${version}`;
    throw new UserError(
      `${path} ${found}, this framepipe knows versions up to ${catalogueVersion}`,
      ["use the framepipe that made it, or a newer one"],
      ExitStatus.failure,
    );
  } catch (error) {
    database?.close();
    throw catalogueError(directory, error);
  }
}

function openReadOnly(path: string): Database {
  const database = new Database(resolve(path), { readonly: true });
  try {
    database.run(`PRAGMA busy_timeout = ${busyMs}`);
    readVersion(database);
    return database;
  } catch (error) {
    database.close();
    // On a read-only medium the files beside the catalogue cannot be made. If there is no log, nothing writes to it and
    // SQLite can be told so.
    if (!/^SQLITE_(?:CANTOPEN|READONLY)/.test(errorCode(error)) || existsSync(`${path}-wal`)) throw error;
    const url = `${pathToFileURL(resolve(path)).href}?immutable=1`;
    return new Database(url, constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI);
  }
}
