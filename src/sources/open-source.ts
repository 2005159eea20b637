/**
 * From `[SOURCE=]INPUT` on the command line to an open source: the only list of the kinds of source there are.
 *
 * `SOURCE=` counts only if what stands before the first `=` is a safe name. A path that contains `=` is therefore
 * written `./a=b`, because a segment `.` is never safe. The default name of a directory is its base name; that of a
 * single file is the base name of the directory it is in, since the file's own name is the frame's.
 */
import { accessSync, constants, statSync, type Stats } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { ExitStatus, UserError } from "../errors.ts";
import { sourcesMax } from "../limits.ts";
import { nameProblem } from "../names.ts";
import type { Source } from "../ports.ts";
import { DirectorySource, type SourceProblem } from "./directory-source.ts";
import { errorCode, errorText, quotePath } from "./file-errors.ts";

export interface OpenSourcesOptions {
  /** Which files of a directory are frames; all if empty. */
  readonly include?: readonly string[] | undefined;
  readonly deleteSent?: boolean | undefined;
  /** Called while the sources are used, for what is not the fate of one listed frame. */
  readonly onProblem?: ((problem: SourceProblem) => void) | undefined;
}

export interface OpenedSources {
  /** In the order of the command line; empty if no input could be opened. */
  readonly sources: readonly Source[];
  /**
   * Inputs that are missing or unreadable, one error each. The run goes on without them, if there is anything else to
   * send, and ends as incomplete (status 4).
   */
  readonly failures: readonly UserError[];
}

/** An input that was only read as text. */
interface Input {
  readonly path: string;
  /** As given; undefined: to be named after its path. */
  readonly source: string | undefined;
}

/** Throws UserError (usage) for what cannot be meant: streams, two sources of one name, a name that is not safe. */
export function openSources(inputs: readonly string[], options: OpenSourcesOptions = {}): OpenedSources {
  if (inputs.length === 0) throw new UserError("nothing to send", ["name a directory: visible=./vis"]);
  if (inputs.length > sourcesMax) {
    throw new UserError(`${inputs.length} inputs, limit ${sourcesMax}`, manyFilesHint);
  }
  const sources: Source[] = [];
  const failures: UserError[] = [];
  const pathBySource = new Map<string, string>();
  for (const text of inputs) {
    const input = parseInput(text);
    const stats = statInput(input, text);
    if (stats instanceof UserError) {
      failures.push(stats);
      continue;
    }
    const name = input.source ?? defaultName(input.path, stats);
    const other = pathBySource.get(name);
    if (other !== undefined) throw duplicate(name, other, input.path);
    pathBySource.set(name, input.path);
    sources.push(openSource(name, input.path, stats, options));
  }
  return { sources, failures };
}

const manyFilesHint = [
  "to send some files of a directory, give the directory and --include: visible=./vis --include '*.jpg'",
];

function parseInput(text: string): Input {
  const equals = text.indexOf("=");
  const before = text.slice(0, Math.max(0, equals));
  const named = equals > 0 && nameProblem(before) === undefined;
  const path = named ? text.slice(equals + 1) : text;
  if (path === "")
    throw new UserError(`no input in ${quotePath(text)}`, ["write SOURCE=PATH, for example visible=./vis"]);
  if (path === "-") throw new UserError("standard input cannot be sent by this version yet", streamHint);
  return { path, source: named ? before : undefined };
}

const streamHint = ["write the frames to files, and give the directory they are in"];

/** What is at the input's path, or why it cannot be used. Throws for pipes and devices. */
function statInput(input: Input, text: string): Stats | UserError {
  const { path } = input;
  let stats: Stats;
  try {
    stats = statSync(path);
    if (stats.isDirectory()) accessSync(path, constants.R_OK | constants.X_OK);
    else if (stats.isFile()) accessSync(path, constants.R_OK);
  } catch (error) {
    const missing = errorCode(error) === "ENOENT" || errorCode(error) === "ENOTDIR";
    const said = missing ? "no such directory or file" : `cannot be read: ${errorText(error)}`;
    const hints = missing ? missingHints(input, text) : [`see who may read it: ls -ld ${shown(path)}`];
    return new UserError(`${path}: ${said}`, hints, ExitStatus.incomplete);
  }
  if (stats.isDirectory() || stats.isFile()) return stats;
  if (stats.isFIFO()) throw new UserError(`${path}: a pipe cannot be sent by this version yet`, streamHint);
  throw new UserError(`${path}: neither a directory nor a file`, ["an input is a directory or a file"]);
}

function missingHints(input: Input, text: string): string[] {
  if (input.source !== undefined && exists(text))
    return [`to send the path that contains =, write ${shown(`./${text}`)}`];
  const equals = text.indexOf("=");
  if (input.source === undefined && equals > 0 && exists(text.slice(equals + 1))) {
    const before = text.slice(0, equals);
    return [
      `${quotePath(before)} cannot name a source (${nameProblem(before) ?? ""}); choose another name before the =`,
    ];
  }
  return [`looked for ${resolve(input.path)}`];
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function defaultName(path: string, stats: Stats): string {
  const directory = stats.isFile() ? dirname(resolve(path)) : resolve(path);
  const name = basename(directory);
  const problem = nameProblem(name);
  if (problem === undefined) return name;
  throw new UserError(`no source can be named after the directory ${quotePath(directory)}: ${problem}`, [
    `choose a name: frames=${shown(path)}`,
  ]);
}

function duplicate(name: string, first: string, second: string): UserError {
  const sameFolder = dirname(resolve(first)) === dirname(resolve(second));
  const filesOfOneFolder = sameFolder && statSync(second, { throwIfNoEntry: false })?.isFile() === true;
  return new UserError(
    `two inputs are named ${name}: ${first} and ${second}`,
    filesOfOneFolder ? manyFilesHint : [`give each a name: ${name}-1=${shown(first)} ${name}-2=${shown(second)}`],
  );
}

/** A path as it can be typed into a shell. */
function shown(path: string): string {
  return /^[\w./~:@%+,=-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

function openSource(name: string, path: string, stats: Stats, options: OpenSourcesOptions): Source {
  const { include, deleteSent, onProblem } = options;
  if (stats.isDirectory()) return new DirectorySource({ name, root: path, include, deleteSent, onProblem });
  const only = basename(path);
  const problem = nameProblem(only);
  if (problem !== undefined) {
    throw new UserError(`${path}: no frame can be named ${quotePath(only)}: ${problem}`, ["rename the file"]);
  }
  return new DirectorySource({ name, root: dirname(path), only, deleteSent, onProblem });
}
