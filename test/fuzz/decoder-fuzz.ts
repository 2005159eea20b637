/**
 * Single pictures, damaged by chance, before the decoders that everybody has: ffmpeg, and libjpeg's and netpbm's tools.
 * A picture that all decoders of its format show and that gives us no frame, alone or between two whole ones, is a
 * finding. Not so a cut: decoders make up the rest, and what is missing is a loss.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeSplitter, type Split } from "../../src/splitters/splitter.ts";
import { Random } from "../support/random.ts";
import { damage, type Picture, pictures } from "./stream-fuzz.ts";

/** Writes a picture to standard output if it can read the file that is given last; then it ends with 0 or 2. */
const decoders: Readonly<Record<string, readonly string[]>> = {
  jpg: ["djpeg", "-pnm"],
  png: ["pngtopnm"],
  bmp: ["bmptoppm"],
  pgm: ["pnmtopng"],
  ppm: ["pnmtopng"],
};
/** Other kinds of each format, made of one picture of the corpus. */
const others: readonly (readonly string[])[] = [
  ["cjpeg -progressive", "jpg"],
  ["cjpeg -restart 1B", "jpg"],
  ["cjpeg -grayscale", "jpg"],
  ...["pal8", "rgba64be"].map((pixels) => [`ffmpeg -v error -i - -pix_fmt ${pixels} -c:v png -f image2pipe -`, "png"]),
  ...["bgra", "rgb565le", "pal8", "monow"].map((pixels) => [
    `ffmpeg -v error -i - -pix_fmt ${pixels} -c:v bmp -f image2pipe -`,
    "bmp",
  ]),
  ["ffmpeg -v error -i - -pix_fmt gray16be -c:v pgm -f image2pipe -", "pgm"],
  ["ffmpeg -v error -i - -pix_fmt rgb48be -c:v ppm -f image2pipe -", "ppm"],
];

export const hasDecoders: boolean = [
  "ffmpeg",
  "cjpeg",
  ...new Set(Object.values(decoders).map(([tool]) => tool)),
].every((tool) => Bun.which(tool ?? "") !== null);

function output(words: readonly string[], input?: Buffer): Buffer {
  const { stdout, exitCode } = Bun.spawnSync([...words], { stdin: input ?? "ignore", stderr: "ignore" });
  return exitCode === 0 || exitCode === 2 ? Buffer.from(stdout) : Buffer.alloc(0);
}

/** What is found for `count` seeds, a line each. */
export function compareWithDecoders(from: number, count: number): string[] {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-decoders-"));
  try {
    return Object.keys(decoders).flatMap((format) => compare(join(folder, format), format, from, count));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Case {
  readonly seed: number;
  readonly path: string;
  readonly bytes: Buffer;
  readonly before: Picture;
  readonly after: Picture;
}

function compare(folder: string, format: string, from: number, count: number): string[] {
  mkdirSync(folder);
  const sources = sourcesOf(format);
  const cases = Array.from({ length: count }, (_, index): Case => {
    const random = new Random(from + index);
    const picture = random.pick(sources);
    // Decoders read headers of text each in its own way.
    const header = format === "pgm" || format === "ppm" ? 20 : 1;
    let damaged = damage(random, picture, header);
    while (damaged.cutFrom !== undefined) damaged = damage(random, picture, header);
    const path = join(folder, `${String(index).padStart(6, "0")}.${format}`);
    writeFileSync(path, damaged.bytes);
    const [before, after] = [random.pick(sources), random.pick(sources)];
    return { seed: from + index, path, bytes: damaged.bytes, before, after };
  });
  const shown = shownByFfmpeg(folder, format);
  return cases.flatMap(({ seed, path, bytes, before, after }, index) => {
    if (!shown.has(index) || output([...(decoders[format] ?? []), path]).length === 0) return [];
    const alone = split(bytes);
    const between = split(Buffer.concat([before.bytes, bytes, after.bytes]));
    const findings: string[] = [];
    if (framesOf(alone).length === 0) findings.push(`${format} ${seed}: alone: ${told(alone)}`);
    if (framesOf(between).length < 3) findings.push(`${format} ${seed}: between two: ${told(between)}`);
    return findings;
  });
}

function sourcesOf(format: string): Picture[] {
  const picture = pictures.find((each) => each.format === "ppm") as Picture;
  const made = others.filter(([, kind]) => kind === format);
  return [
    ...pictures.filter((each) => each.format === format),
    ...made.map(([command = ""]) => ({ format, bytes: output(command.split(" "), picture.bytes) })),
  ];
}

/** All files of a folder in one run: which of them, in their order, give a picture. */
function shownByFfmpeg(folder: string, format: string): Set<number> {
  const input = `-f image2 -framerate 1 -start_number 0 -i ${join(folder, `%06d.${format}`)}`;
  const words = `ffmpeg -v quiet ${input} -vsync passthrough -vf scale=16:16 -f framecrc -`.split(" ");
  const lines = output(words)
    .toString()
    .matchAll(/^0, *\d+, *(\d+),/gm);
  return new Set([...lines].map(([, index]) => Number(index)));
}

function split(stream: Buffer): Split[] {
  const splitter = makeSplitter({ kind: "auto" }, 100_000_000);
  splitter.push(new Uint8Array(stream), 0);
  splitter.end();
  const splits: Split[] = [];
  for (let each = splitter.next(0); each !== undefined; each = splitter.next(0)) splits.push(each);
  return splits;
}

function framesOf(splits: readonly Split[]): Split[] {
  return splits.filter(({ kind }) => kind === "frame");
}

function told(splits: readonly Split[]): string {
  return splits
    .map((each) => (each.kind === "frame" ? `${each.extension} of ${each.bytes}` : each.describe()))
    .join("; ");
}
