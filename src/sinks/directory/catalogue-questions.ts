/** Questions to a catalogue that a receiver may write to meanwhile. Each statement is prepared once. */
import type { Database, Statement } from "bun:sqlite";
import { openReadable } from "./open-readable.ts";
import { catalogueError } from "./sqlite-catalogue.ts";

/** A source of a device, whatever its sessions. */
export interface StoredSource {
  readonly device: string;
  readonly source: string;
}

export class CatalogueQuestions {
  readonly database: Database;
  readonly #directory: string;
  readonly #statements = new Map<string, Statement>();

  /** Throws UserError if there is no catalogue that can be read. */
  constructor(directory: string) {
    this.#directory = directory;
    this.database = openReadable(directory, "--read");
  }

  prepare(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = this.database.prepare(sql)));
    return statement;
  }

  /** Throws UserError with what the database says. */
  ask<Answer>(question: () => Answer): Answer {
    try {
      return question();
    } catch (error) {
      throw catalogueError(this.#directory, error);
    }
  }

  /** By device, then source. `nextSql`: the one behind a device and source. */
  sources(nextSql: string): StoredSource[] {
    const sources: StoredSource[] = [];
    for (;;) {
      // No name is empty, so this is before all.
      const { device, source } = sources.at(-1) ?? { device: "", source: "" };
      const next = this.ask(() => this.prepare(nextSql).get(device, source)) as StoredSource | null;
      if (next === null) return sources;
      sources.push(next);
    }
  }

  close(): void {
    for (const statement of this.#statements.values()) statement.finalize();
    this.database.close();
  }
}
