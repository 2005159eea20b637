/**
 * From `[SOURCE=]INPUT` on the command line to an open source: the only list of the kinds of source there are.
 *
 * `SOURCE=` counts only if what stands before the first `=` is a safe name. A path that contains `=` is therefore
 * written `./a=b`, because a segment `.` is never safe. The default name of a directory is its base name; that of a
 * single file is the base name of the directory it is in, since the file's own name is the frame's.
 */
import { accessSync, constants, fstatSync, statSync, type Stats } from "node:fs";
import { basename, dirname, parse, resolve } from "node:path";
import { ExitStatus, UserError } from "../errors.ts";
import type { FrameEntry } from "../frame.ts";
import { sourcesMax, streamBytesMax } from "../limits.ts";
import { givenNameProblem, nameProblem } from "../names.ts";
import type { Clock, Source } from "../ports.ts";
import { makeSplitter, type StreamFormat } from "../splitters/splitter.ts";
import { errorCode } from "../system/errno.ts";
import { enlargePipe } from "../system/pipe-size.ts";
import { DirectorySource } from "./directory/directory-source.ts";
import type { Captured } from "./captured.ts";
import type { ChecksumMemory } from "./files/checksum-memory.ts";
import { escapedName } from "./files/escaped-names.ts";
import { errorText, quotePath } from "./files/file-errors.ts";
import type { SourceProblem } from "./files/frame-files.ts";
import { PacedSource } from "./paced-source.ts";
import { keptFilesOfEach } from "./files/kept-files.ts";
import { FrameNames } from "./stream/frame-names.ts";
import { MemoryStore } from "./stream/memory-store.ts";
import { Spool } from "./stream/spool.ts";
import { openLastingPipe } from "./stream/lasting-pipe.ts";
import { type StreamReader, StreamSource } from "./stream/stream-source.ts";
import type { NamePicture } from "./watch/picture-names.ts";
import { WatchedDirectory } from "./watch/watched-directory.ts";

export interface OpenSourcesOptions {
  readonly clock: Clock;
  /** Sources are sent one after the other, each to its end. */
  readonly oneByOne: boolean;
  /** Standard input is a keyboard. */
  readonly inputIsTerminal: boolean;
  /** Which files of a directory are frames; all if empty. */
  readonly include: readonly string[];
  /** Which are none. */
  readonly exclude: readonly string[];
  readonly deleteSent: boolean;
  /** With `deleteSent`: how long a file must have been stored and unchanged. */
  readonly restMs: number;
  readonly captured: Captured;
  /** Compare the bytes of every file that the receiver has by name, size and time. */
  readonly compareAlways: boolean;
  /** Of files that are compared. */
  readonly memory: ChecksumMemory | undefined;
  /** Directories go on giving frames as they appear. */
  readonly watch: boolean;
  /** Directories give so many frames a second. */
  readonly framesPerSecond: number | undefined;
  readonly order: "oldest" | "newest";
  readonly streams: StreamInputOptions;
  /** The largest frame that is taken out of a stream; one is held in memory until its end is known. */
  readonly frameBytesMax: number;
  /** A stream has given a frame, whose pieces are valid during the call. Absent: nobody looks. */
  readonly onFrame?: ((source: string, entry: FrameEntry, pieces: readonly Uint8Array[]) => void) | undefined;
  /** Called while the sources are used, for what is not the fate of one listed frame. */
  readonly onProblem: (problem: SourceProblem) => void;
}

/** How standard input and named pipes are read. */
export interface StreamInputOptions {
  /** `source` undefined: of every stream that has none of its own. Of several the last counts. */
  readonly formats: readonly { readonly source: string | undefined; readonly format: StreamFormat }[];
  readonly nameTemplate: string;
  /** The template is the user's, and no default. */
  readonly nameGiven: boolean;
  readonly whenBehind: "block" | "spool" | "drop-oldest";
  /** The directory, with `spool`. */
  readonly spool: string | undefined;
  readonly spoolBytesMax: number;
  /** An option that only streams have, as the user gave it; undefined: there was none. */
  readonly onlyForStreams: string | undefined;
  /** The same of files. */
  readonly onlyForFiles: string | undefined;
}

export interface OpenedSources {
  /** In the order of the command line; empty if no input could be opened. */
  readonly sources: readonly Source[];
  /**
   * Inputs that are missing or unreadable, one error each. The run goes on without them, if there is anything else to
   * send, and ends as incomplete (status 4).
   */
  readonly failures: readonly UserError[];
  /** New frames keep coming: an input is a stream, or directories are watched. */
  readonly goOn: boolean;
}

/** An input that was only read as text. */
interface NamedInput {
  readonly path: string;
  /** As given; undefined: to be named after its path. */
  readonly source: string | undefined;
}

type Kind = "directory" | "file" | "stream";

interface Input {
  readonly name: string;
  readonly path: string;
  readonly kind: Kind;
}

/** Throws UserError (usage) for what cannot be meant: two sources of one name, a name that is not safe. */
export function openSources(texts: readonly string[], options: OpenSourcesOptions): OpenedSources {
  if (texts.length === 0) throw new UserError("nothing to send", ["name a directory: visible=./vis"]);
  if (texts.length > sourcesMax) {
    throw new UserError(`${texts.length} inputs, limit ${sourcesMax}`, manyFilesHint);
  }
  const inputs: Input[] = [];
  const failures: UserError[] = [];
  const pathBySource = new Map<string, string>();
  for (const text of texts) {
    const named = parseInput(text);
    const kind = kindOf(named, text, options);
    if (kind instanceof UserError) {
      failures.push(kind);
      continue;
    }
    const name = named.source ?? defaultName(named.path, kind);
    const other = pathBySource.get(name);
    if (other !== undefined) throw duplicate(name, other, named.path);
    pathBySource.set(name, named.path);
    inputs.push({ name, path: named.path, kind });
  }
  refuseSharedStreams(inputs);
  // With an input missing nobody can say whether an option would have had a meaning.
  if (failures.length === 0) refuseIdleOptions(inputs, options);
  const streams = inputs.filter(({ kind }) => kind === "stream").length;
  const goOn = streams > 0 || options.watch;
  const keptFilesMax = keptFilesOfEach(Math.max(1, inputs.length - streams));
  return { sources: inputs.map((input) => openSource(input, streams, keptFilesMax, options)), failures, goOn };
}

/** Two readers of one pipe would each get half of it. */
function refuseSharedStreams(inputs: readonly Input[]): void {
  const seen = new Map<string, Input>();
  for (const input of inputs) {
    if (input.kind !== "stream") continue;
    const stats = input.path === "-" ? undefined : statSync(input.path);
    const key = stats === undefined ? "-" : `${stats.dev}:${stats.ino}`;
    const other = seen.get(key);
    if (other !== undefined) {
      throw new UserError(`${other.name} and ${input.name} are the same stream`, ["give it once"]);
    }
    seen.set(key, input);
  }
}

function isNamedPipe({ kind, path }: Input): boolean {
  return kind === "stream" && path !== "-";
}

function refuseIdleOptions(inputs: readonly Input[], options: OpenSourcesOptions): void {
  const { streams, watch, framesPerSecond } = options;
  const kinds = new Set(inputs.map(({ kind }) => kind));
  if (!kinds.has("stream") && streams.onlyForStreams !== undefined) {
    throw new UserError(`${streams.onlyForStreams} is for streams, and no input is one`, [
      "a stream is - (standard input) or a named pipe",
    ]);
  }
  if (!kinds.has("directory") && !kinds.has("file") && streams.onlyForFiles !== undefined) {
    throw new UserError(`${streams.onlyForFiles} is for files, and no input is one`, [
      "a frame of a stream has no file: its time is that of its arrival, or in its header or EXIF data",
    ]);
  }
  if (options.oneByOne && inputs.length > 1 && (watch || kinds.has("stream"))) {
    throw new UserError("--lockstep sends one source after the other, and one of these has no end", [
      "start framepipe once for each",
    ]);
  }
  for (const { source } of streams.formats) {
    if (source === undefined || inputs.some(({ name, kind }) => name === source && kind === "stream")) continue;
    const names = inputs.filter(({ kind }) => kind === "stream").map(({ name }) => name);
    throw new UserError(`--format: no stream is named ${source}`, [`the streams are ${names.join(", ")}`]);
  }
  if (watch && !kinds.has("directory") && !inputs.some(isNamedPipe)) {
    throw new UserError("--watch is for directories and named pipes, and no input is one", [
      "standard input is read until its end anyway",
    ]);
  }
  if (options.order === "newest" && !watch && !kinds.has("stream")) {
    throw new UserError("--order newest is for frames that keep coming, and no input has any", [
      "add --watch, or leave it out: a directory is sent from its beginning to its end",
    ]);
  }
  if (framesPerSecond !== undefined && !kinds.has("directory") && !kinds.has("file")) {
    throw new UserError("--fps is for directories, and no input is one", ["a stream comes at the pace of its camera"]);
  }
}

const manyFilesHint = [
  "to send some files of a directory, give the directory and --include: visible=./vis --include '*.jpg'",
];

function parseInput(text: string): NamedInput {
  const equals = text.indexOf("=");
  const before = text.slice(0, Math.max(0, equals));
  const named = equals > 0 && givenNameProblem(before) === undefined;
  const path = named ? text.slice(equals + 1) : text;
  if (path === "")
    throw new UserError(`no input in ${quotePath(text)}`, ["write SOURCE=PATH, for example visible=./vis"]);
  return { path, source: named ? before : undefined };
}

/**
 * What is at the input's path, or why it cannot be used. Nothing is there, and it is watched: a directory, whose disk
 * is not mounted yet. Throws for devices and sockets.
 */
function kindOf(
  input: NamedInput,
  text: string,
  { inputIsTerminal, watch }: Pick<OpenSourcesOptions, "inputIsTerminal" | "watch">,
): Kind | UserError {
  const { path } = input;
  if (path === "-") {
    if (!inputIsTerminal && !inputIsDirectory()) return "stream";
    throw new UserError(`standard input is a ${inputIsTerminal ? "terminal, which has no frames" : "directory"}`, [
      "the frames of a camera come through a pipe: ffmpeg ... -f image2pipe - | framepipe --send ... visible=-",
    ]);
  }
  let stats: Stats;
  try {
    stats = statSync(path);
    accessSync(path, stats.isDirectory() ? constants.R_OK | constants.X_OK : constants.R_OK);
  } catch (error) {
    const code = errorCode(error);
    const missing = code === "ENOENT" || code === "ENOTDIR";
    const misread = missing ? misreadHint(input, text) : undefined;
    if (watch && (missing || unmounted.has(code)) && misread === undefined) return "directory";
    const said = missing ? "no such directory or file" : `cannot be read: ${errorText(error)}`;
    const hint = missing ? (misread ?? `looked for ${resolve(path)}`) : `see who may read it: ls -ld ${shown(path)}`;
    return new UserError(`${path}: ${said}`, [hint], ExitStatus.incomplete);
  }
  if (stats.isDirectory()) return "directory";
  if (stats.isFile()) return "file";
  if (stats.isFIFO()) return "stream";
  throw new UserError(`${path}: neither a directory nor a file nor a pipe`, [
    "the frames of a camera come through a pipe: ffmpeg ... -f image2pipe - | framepipe --send ... visible=-",
  ]);
}

function inputIsDirectory(): boolean {
  try {
    return fstatSync(0).isDirectory();
  } catch {
    // Closed: a stream that has ended.
    return false;
  }
}

/** A mount point whose file system does not answer, or not yet. */
const unmounted: ReadonlySet<string> = new Set(["ENOTCONN", "ESTALE", "EIO", "ENODEV"]);

/** How what was typed is meant, if it can be meant otherwise. */
function misreadHint(input: NamedInput, text: string): string | undefined {
  if (input.source !== undefined && exists(text))
    return `to send the path that contains =, write ${shown(`./${text}`)}`;
  const equals = text.indexOf("=");
  if (input.source === undefined && equals > 0 && exists(text.slice(equals + 1))) {
    const before = text.slice(0, equals);
    const problem = givenNameProblem(before) ?? "";
    return `${quotePath(before)} cannot name a source (${problem}); choose another name before the =`;
  }
  // What is said to us is text already; the bytes are gone.
  if (!input.path.includes("\ufffd")) return undefined;
  return "a path on the command line has to be valid UTF-8: give the folder above, or a link to it (ln -s)";
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function defaultName(path: string, kind: Kind): string {
  if (path === "-") return "stdin";
  if (kind === "stream") return nameAfter(parse(path).name, `the pipe ${quotePath(path)}`, path);
  const directory = kind === "file" ? dirname(resolve(path)) : resolve(path);
  return nameAfter(basename(directory), `the directory ${quotePath(directory)}`, path);
}

/** `name` if it is safe. Throws UserError otherwise. */
function nameAfter(name: string, what: string, path: string): string {
  const problem = givenNameProblem(name);
  if (problem === undefined) return name;
  throw new UserError(`no source can be named after ${what}: ${problem}`, [`choose a name: frames=${shown(path)}`]);
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

function openSource(input: Input, streams: number, keptFilesMax: number, options: OpenSourcesOptions): Source {
  if (input.kind === "stream") return openStream(input, streams, options);
  const { clock, framesPerSecond } = options;
  const source = openFiles(input, keptFilesMax, options);
  return framesPerSecond === undefined ? source : new PacedSource(source, framesPerSecond, clock);
}

function openFiles({ name, path, kind }: Input, keptFilesMax: number, options: OpenSourcesOptions): Source {
  const { clock, include, exclude, deleteSent, captured, compareAlways, memory, restMs, watch, order } = options;
  const { onProblem } = options;
  const common = { name, clock, deleteSent, captured, compareAlways, memory, restMs, onProblem };
  if (kind === "directory") {
    const files = { ...common, root: path, include, exclude };
    if (!watch) return new DirectorySource({ ...files, keptFilesMax });
    return new WatchedDirectory({ ...files, order, namePicture: pictureNames(name, options) });
  }
  const only = escapedName(basename(path));
  const problem = nameProblem(only);
  if (problem !== undefined) {
    throw new UserError(`${path}: no frame can be named ${quotePath(basename(path))}: ${problem}`, ["rename the file"]);
  }
  return new DirectorySource({ ...common, root: dirname(path), only });
}

/** Only where the user gave a template: without one the receiver numbers what a file was before. */
function pictureNames(source: string, { streams }: OpenSourcesOptions): NamePicture | undefined {
  if (!streams.nameGiven) return undefined;
  const names = new FrameNames(streams.nameTemplate, crypto.randomUUID().slice(0, 8), source);
  let sequence = 0;
  return (capturedNs, extension) => names.name(capturedNs, sequence++, extension);
}

/** `streams`: how many there are, because they share what may be kept in memory. */
function openStream(input: Input, streams: number, options: OpenSourcesOptions): Source {
  const { name, path } = input;
  const { clock, order, onFrame, onProblem, watch, frameBytesMax, captured } = options;
  const { formats, nameTemplate, whenBehind, spool, spoolBytesMax } = options.streams;
  const own =
    formats.findLast(({ source }) => source === name) ?? formats.findLast(({ source }) => source === undefined);
  const format = own?.format ?? { kind: "auto" };
  const spooled = spool !== undefined;
  const onSpoolProblem = (detail: string): void =>
    onProblem({ source: name, path: spool ?? "", reason: "kept", detail });
  return new StreamSource({
    name,
    path,
    reader: openReader(input, watch),
    splitter: makeSplitter(format, frameBytesMax),
    names: new FrameNames(nameTemplate, crypto.randomUUID().slice(0, 8), name),
    store: spooled ? new Spool(spool, name, onSpoolProblem) : new MemoryStore(),
    fleeting: !spooled,
    keptBytesMax: Math.floor((spooled ? spoolBytesMax : streamBytesMax) / streams),
    whenFull: whenBehind === "block" ? "block" : "drop-oldest",
    order,
    captured,
    endHint: isNamedPipe(input) ? "with --watch it is read on when the next writer opens it" : undefined,
    clock,
    onFrame: onFrame && ((entry, pieces) => onFrame(name, entry, pieces)),
    onProblem,
  });
}

/** Read only when asked to, so a pipe that nobody empties stops whoever fills it. */
function openReader(input: Input, watch: boolean): StreamReader {
  if (watch && isNamedPipe(input)) return openLastingPipe(input.path);
  if (input.path === "-") enlargePipe(0);
  return (input.path === "-" ? Bun.stdin : Bun.file(input.path)).stream().getReader();
}
