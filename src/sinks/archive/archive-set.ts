/** The archives of a set, `day-{date}.tar`: which one a moment belongs to, and which there are. ROTATION.md. */
import { readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { UserError } from "../../errors.ts";
import { errorCode } from "../../system/errno.ts";
import { fieldList, Template } from "../../template.ts";

const fields = ["date", "hour", "date:local", "hour:local"] as const;
type Field = (typeof fields)[number];

/** Where clocks of the world change their hour; no period ends in between. */
const stepMs = 15 * 60_000;

/** A time in which all frames go into one archive; it may go on in the next. */
export interface Period {
  readonly path: string;
  readonly fromMs: number;
  /** Not included. */
  readonly untilMs: number;
}

/** Where frames are stored, archive by archive. */
export interface Archives {
  /** `ms`: since 1970. */
  periodAt(ms: number): Period;
  /** Those of a set that are there, in the order of time as their names tell it. */
  paths(): string[];
}

/** Whether a destination is a set, and not one file. */
export function isArchiveSet(place: string): boolean {
  return /[{}]/.test(place);
}

/** Throws UserError for a template that gives two days the same name. */
export function archivesAt(place: string): Archives {
  if (isArchiveSet(place)) return new ArchiveSet(place);
  const period = { path: place, fromMs: Number.NEGATIVE_INFINITY, untilMs: Number.POSITIVE_INFINITY };
  return { periodAt: () => period, paths: () => [] };
}

export class ArchiveSet implements Archives {
  readonly #folder: string;
  readonly #template: Template<Field>;
  readonly #pattern: RegExp;

  /** Throws as `archivesAt`. */
  constructor(place: string) {
    this.#folder = dirname(place);
    this.#template = new Template(basename(place), fields);
    const { unknownField, strayBrace } = this.#template;
    if (isArchiveSet(this.#folder)) throw setError(place, "fields stand in the file's name, not in its folder's");
    if (unknownField !== undefined) throw setError(place, `${unknownField} is no field of an archive's name`);
    if (strayBrace !== undefined) throw setError(place, "a brace stands alone");
    if (!this.#template.uses("date") && !this.#template.uses("date:local")) {
      throw setError(place, "there is no date in it, so each day would go into the archives of the last");
    }
    this.#pattern = this.#template.pattern((field) => (field.startsWith("date") ? "\\d{4}-\\d\\d-\\d\\d" : "\\d\\d"));
  }

  periodAt(ms: number): Period {
    const fromMs = Math.floor(ms / stepMs) * stepMs;
    const moment = new Date(fromMs);
    const name = this.#template.fill((field) => valueOf(field, moment));
    return { path: join(this.#folder, name), fromMs, untilMs: fromMs + stepMs };
  }

  paths(): string[] {
    let names: string[];
    try {
      names = readdirSync(this.#folder);
    } catch (error) {
      if (errorCode(error) === "ENOENT") return [];
      throw error;
    }
    const times = names.flatMap((name) => {
      const found = this.#pattern.exec(name)?.groups;
      if (found === undefined) return [];
      const { date, date_local: localDate, hour, hour_local: localHour } = found;
      return [{ name, time: `${date ?? localDate} ${hour ?? localHour ?? ""}` }];
    });
    times.sort((one, other) => (one.time === other.time ? 0 : one.time < other.time ? -1 : 1));
    return times.map(({ name }) => join(this.#folder, name));
  }
}

function valueOf(field: Field, moment: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  switch (field) {
    case "date":
      return moment.toISOString().slice(0, 10);
    case "hour":
      return two(moment.getUTCHours());
    case "date:local":
      return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
    case "hour:local":
      return two(moment.getHours());
  }
}

function setError(place: string, problem: string): UserError {
  return new UserError(`--out '${place}': ${problem}`, [
    `the fields are ${fieldList(fields)}`,
    "for instance --out 'day-{date}.tar', or --out 'hour-{date}T{hour}.mcap'",
  ]);
}
