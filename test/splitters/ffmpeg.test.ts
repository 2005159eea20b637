/**
 * What ffmpeg writes into a pipe, split, is byte for byte what it writes into files, one for each frame.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StreamFormat } from "../../src/splitters/splitter.ts";
import { concat, type Outcome, segment, soi, split } from "./images.ts";

const frameCount = 7;
let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "framepipe-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * ffmpeg on a moving test picture of odd size, so that planes are rounded. The width is even for more than 8 bits,
 * because there ffmpeg 5.1 writes odd widths some bytes short, which it cannot read itself.
 */
function command(options: string, output: string): string[] {
  const size = /pix_fmt \S+1[0-6]le/.test(options) ? "126:95" : "127:95";
  const input = `-f lavfi -i testsrc2=s=128x96:r=${frameCount}:d=1,scale=${size}`;
  return ["ffmpeg", "-v", "error", ...`${input} ${options} -strict -1 -threads 1`.split(" "), output];
}

/** The files that ffmpeg makes of the same frames. */
function files(options: string, extension: string): Uint8Array[] {
  const place = mkdtempSync(join(folder, "frames-"));
  const ran = Bun.spawnSync(command(`${options} -f image2`, join(place, `%d.${extension}`)), { stdin: "ignore" });
  expect(ran.stderr.toString()).toBe("");
  const names = readdirSync(place).toSorted((a, b) => Number.parseInt(a) - Number.parseInt(b));
  expect(names.length).toBe(frameCount);
  return names.map((name) => new Uint8Array(readFileSync(join(place, name))));
}

/** The frames that come out of a real pipe, in the pieces that the system gives. */
async function splitFfmpeg(format: StreamFormat, options: string): Promise<Outcome> {
  const child = Bun.spawn(command(options, "-"), { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const pieces: Uint8Array[] = [];
  for await (const piece of child.stdout) pieces.push(piece);
  expect(await child.exited).toBe(0);
  return split(format, pieces);
}

const hex = (images: readonly Uint8Array[]): string[] => images.map((each) => each.toHex());

describe.skipIf(Bun.which("ffmpeg") === null)("from ffmpeg:", () => {
  for (const { kind, options, extension } of [
    { kind: "jpeg", options: "-c:v mjpeg", extension: "jpg" },
    { kind: "jpeg", options: "-c:v mjpeg -pix_fmt yuvj444p -q:v 1", extension: "jpg" },
    { kind: "png", options: "-c:v png", extension: "png" },
    { kind: "png", options: "-c:v png -pix_fmt gray16be", extension: "png" },
  ] as const) {
    for (const format of [kind, "auto"] as const) {
      test(`image2pipe ${options} as ${format}`, async () => {
        const { frames, stretches } = await splitFfmpeg({ kind: format }, `${options} -f image2pipe`);
        expect(hex(frames)).toEqual(hex(files(options, extension)));
        expect(stretches).toEqual([]);
      });
    }
  }

  test("mpjpeg: the text between the images is information", async () => {
    for (const kind of ["jpeg", "auto"] as const) {
      const { frames, stretches } = await splitFfmpeg({ kind }, "-c:v mjpeg -f mpjpeg");
      expect(hex(frames)).toEqual(hex(files("-c:v mjpeg", "jpg")));
      expect(stretches.map(({ of }) => of)).toEqual(Array.from({ length: frameCount + 1 }, () => "multipart"));
    }
  });

  for (const pixels of "gray gray10le gray16le yuv420p yuv420p10le yuv422p yuv444p16le yuv411p yuva444p".split(" ")) {
    test(`yuv4mpegpipe of ${pixels}`, async () => {
      const { frames, stretches } = await splitFfmpeg({ kind: "y4m" }, `-pix_fmt ${pixels} -f yuv4mpegpipe`);
      const data = files(`-pix_fmt ${pixels} -c:v rawvideo`, "raw");
      expect(hex(frames.map((frame, index) => frame.subarray(-(data[index]?.length ?? 0))))).toEqual(hex(data));
      expect(stretches).toEqual([]);
      // Each is a file that ffmpeg reads, and finds that picture in.
      const path = join(folder, `${pixels}.y4m`);
      writeFileSync(path, frames[3] ?? "");
      const read = Bun.spawnSync(["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-"], { stdin: "ignore" });
      expect(read.stdout.toHex()).toBe(data[3]?.toHex() ?? "");
    });
  }

  for (const pixels of ["gray", "gray16le", "yuv420p"]) {
    test(`rawvideo of ${pixels}`, async () => {
      const data = files(`-pix_fmt ${pixels} -c:v rawvideo`, "raw");
      const bytes = data[0]?.length ?? 0;
      const { frames, stretches } = await splitFfmpeg({ kind: "raw", bytes }, `-pix_fmt ${pixels} -f rawvideo`);
      expect(hex(frames)).toEqual(hex(data));
      expect(stretches).toEqual([]);
    });
  }

  test("images with one another's thumbnails", () => {
    const images = files("-c:v mjpeg", "jpg");
    const withThumbnails = images.map((image, index) =>
      concat(soi, segment(0xe1, images.at(index - 1) ?? soi), image.subarray(2)),
    );
    const { frames, stretches } = split({ kind: "jpeg" }, [concat(...withThumbnails)]);
    expect(hex(frames)).toEqual(hex(withThumbnails));
    expect(stretches).toEqual([]);
  });
});
