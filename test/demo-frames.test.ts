/** The frames that other tests rely on are what they are said to be. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeFrameSet } from "../scripts/demo-frames.ts";

const dir = mkdtempSync(join(tmpdir(), "framepipe-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test.each([
  { kind: "jpeg", count: 30, bytes: 2_000 },
  { kind: "jpeg", count: 3, bytes: 200_001 },
  { kind: "png", count: 30, bytes: 2_000 },
  { kind: "png", count: 3, width: 40, height: 30 },
] as const)("%o", async (options) => {
  const into = mkdtempSync(join(dir, "set-"));
  const { names, bytes } = await makeFrameSet(into, options);
  expect(names).toHaveLength(options.count);
  const files = names.map((name) => readFileSync(join(into, name)));
  expect(files.reduce((sum, file) => sum + file.length, 0)).toBe(bytes);
  expect(new Set(files.map((file) => Bun.hash(file))).size).toBe(options.count);
  if ("bytes" in options) expect(files.every((file) => file.length === options.bytes)).toBe(true);
  // Decoding reads every chunk with its check value; a broken comment would not pass.
  const pixels = await Promise.all(files.map((file) => new Bun.Image(file).png().bytes()));
  expect(pixels.every((png) => png.length > 0)).toBe(true);
});

test("comments of every length around the end of a JPEG segment decode", async () => {
  const into = mkdtempSync(join(dir, "set-"));
  const { names } = await makeFrameSet(into, { kind: "jpeg", count: 1, width: 8, height: 8 });
  const plainBytes = statSync(join(into, names[0] ?? "")).size - 40;
  for (let commentBytes = 65_530; commentBytes < 65_545; commentBytes++) {
    await makeFrameSet(into, { kind: "jpeg", count: 1, width: 8, height: 8, bytes: plainBytes + commentBytes });
    const file = readFileSync(join(into, "0.jpg"));
    expect(file.length).toBe(plainBytes + commentBytes);
    expect((await new Bun.Image(file).png().bytes()).length).toBeGreaterThan(0);
  }
});

test("capture times are as far apart as the rate says", async () => {
  const into = mkdtempSync(join(dir, "set-"));
  const { names } = await makeFrameSet(into, { kind: "png", count: 10, rate: 9, firstMs: 5_000 });
  const timesMs = names.map((name) => Math.round(statSync(join(into, name)).mtimeMs));
  expect(timesMs).toEqual(names.map((_, index) => Math.round(5_000 + (index * 1000) / 9)));
});

test("a size that no picture fits is refused", async () => {
  await expect(makeFrameSet(dir, { kind: "jpeg", count: 1, bytes: 100 })).rejects.toThrow(/no jpeg of 100 bytes/);
});
