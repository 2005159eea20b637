/** Pipes as writers use them: opened again and again, with pictures of a hundred megabytes, heads, and cuts. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { chunk, concat, pngSignature, text, u32 } from "../splitters/images.ts";
import { Random } from "../support/random.ts";
import { catalogueRows, filesBelow, freePort, openPlace, type Place } from "../support/processes.ts";

const onWindows = process.platform === "win32";
const corpus = join(import.meta.dir, "..", "corpus", "streams");
const picture = (name: string): Uint8Array => new Uint8Array(readFileSync(join(corpus, name)));
const jpeg = picture("picture-small.jpg");
const MiB = 1024 * 1024;

function makePipe(place: Place): string {
  const pipe = place.path("cam.pipe");
  if (!Bun.spawnSync(["mkfifo", pipe]).success) throw new Error("no named pipe");
  return pipe;
}

/** Opening waits for a reader. */
async function writeInto(pipe: string, bytes: Uint8Array): Promise<void> {
  const writer = await open(pipe, "w");
  await writeAll(writer, bytes);
  await writer.close();
}

async function writeAll(writer: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await writer.write(bytes, at)).bytesWritten;
}

/** What is stored, in the order of the stream. */
function storedFrames(out: string): Buffer[] {
  const folder = join(out, "camera", "cam");
  return filesBelow(folder).map((path) => readFileSync(join(folder, path)));
}

describe.skipIf(onWindows)("a named pipe", () => {
  test("with --watch is there for each next writer", async () => {
    await using place = await openPlace();
    const [out, pipe] = [place.path("captures"), makePipe(place)];
    const receiver = await place.receive(out, { words: ["--once", "--verbose"] });
    const sender = place.send(receiver.port, [pipe], ["--watch"]);
    // The last one's end is proven by silence alone, and a line break stays behind.
    const pictures = [jpeg, picture("picture-small.png"), picture("picture-plain.jpg"), picture("picture-small.pgm")];
    for (const [index, each] of pictures.entries()) {
      await writeInto(pipe, concat(each, text("\r\n")));
      await receiver.until(() => receiver.count("stored") > index, `frame ${index}`);
    }
    sender.signal("SIGINT");
    expect([await sender.status(), await receiver.status()]).toEqual([0, 0]);
    expect(storedFrames(out).map((frame) => Buffer.compare(frame, pictures.shift() ?? jpeg))).toEqual([0, 0, 0, 0]);
    expect((await place.run(["--verify", out])).status).toBe(0);
  });

  test("without --watch ends with its writer, which is said, with the hint", async () => {
    await using place = await openPlace();
    const [out, pipe] = [place.path("captures"), makePipe(place)];
    const receiver = await place.receive(out, { words: ["--once"] });
    const sender = place.send(receiver.port, [pipe]);
    await writeInto(pipe, concat(jpeg, jpeg));
    expect([await sender.status(), await receiver.status()]).toEqual([0, 0]);
    expect(storedFrames(out).length).toBe(2);
    expect(sender.stderr).toContain("its writer has closed the pipe");
    expect(sender.stderr).toContain("with --watch it is read on when the next writer opens it");
  });
});

test.skipIf(onWindows)(
  "a frame in a spool keeps its note and the fields of its part when the sender is killed",
  async () => {
    await using place = await openPlace();
    const [out, pipe, spool] = [place.path("captures"), makePipe(place), place.path("spool")];
    const port = freePort();
    const words = ["--spool", spool];
    const killed = place.send(port, [pipe], words);
    const noEnd = jpeg.subarray(0, -2);
    const part = concat(text("--b\r\nContent-Type: image/jpeg\r\nX-Lens: wide\r\n\r\n"), noEnd, text("\r\n--b--\r\n"));
    await writeInto(pipe, concat(jpeg, part));
    const inSpool = (): number => filesBelow(join(spool, "cam")).length;
    while (inSpool() < 2) await Bun.sleep(10);
    await killed.kill();
    const receiver = await place.receive(out, { port, words: ["--once"] });
    const next = place.send(port, ["cam=-"], words);
    expect([await next.status(), await receiver.status()]).toEqual([0, 0]);
    expect(storedFrames(out).map((frame, index) => frame.equals([jpeg, noEnd][index] ?? jpeg))).toEqual([true, true]);
    expect(catalogueRows(out, "SELECT notes, metadata FROM frames ORDER BY sequence")).toEqual([
      { notes: null, metadata: null },
      { notes: "no-end-marker", metadata: '{"header_x-lens":"wide"}' },
    ]);
    expect(inSpool()).toBe(0);
  },
);

describe.skipIf(onWindows)("a stream of", () => {
  test("frames of 8K with 10 bits is held one frame at a time, and never twice", async () => {
    await using place = await openPlace();
    const [out, pipe] = [place.path("captures"), makePipe(place)];
    const line = text("YUV4MPEG2 W7680 H4320 F25:1 C420p10\n");
    const bytes = 7680 * 4320 * 3;
    const receiver = await place.receive(out, { words: ["--once", "--sync", "never"] });
    const sender = place.send(receiver.port, [pipe]).watchMemory();
    const writer = await open(pipe, "w");
    await writeAll(writer, line);
    for (const value of [1, 2, 3]) {
      await writeAll(writer, text("FRAME\n"));
      await writeAll(writer, new Uint8Array(bytes).fill(value));
    }
    await writer.close();
    expect([await sender.status(), await receiver.status()]).toEqual([0, 0]);
    const frames = storedFrames(out);
    expect(frames.map((frame) => [frame.length, frame.at(line.length + 6), frame.at(-1)])).toEqual(
      [1, 2, 3].map((value) => [line.length + 6 + bytes, value, value]),
    );
    // The program, and one frame of 95 MiB; two would be 190.
    expect(sender.peakRssBytes).toBeLessThan(190 * MiB);
  });

  test("frames above --max-frame has a gap for each, which both ends name", async () => {
    await using place = await openPlace();
    const [out, pipe] = [place.path("captures"), makePipe(place)];
    const receiver = await place.receive(out, { words: ["--once"] });
    const sender = place.send(receiver.port, [pipe], ["--max-frame", "3000"]);
    await writeInto(pipe, concat(jpeg, picture("picture-plain.jpg"), jpeg));
    expect([await sender.status(), await receiver.status()]).toEqual([4, 4]);
    expect(storedFrames(out).length).toBe(2);
    expect(catalogueRows(out, "SELECT reason, count FROM gaps")).toEqual([{ reason: "refused", count: 1 }]);
    expect(receiver.all("gap")).toMatchObject([{ reason: "refused", count: 1 }]);
    expect(sender.all("refused")).toMatchObject([{ source: "cam", name: "", count: 1, reason: "too-large" }]);
    expect(sender.count("skipped")).toBe(0);
  });

  test("parts with X-Timestamp has their times with --captured header", async () => {
    await using place = await openPlace();
    const [out, pipe] = [place.path("captures"), makePipe(place)];
    const part = (head: string): Uint8Array =>
      concat(
        text(`--b\r\nContent-Type: image/jpeg\r\nContent-Length: ${jpeg.length}\r\n${head}\r\n`),
        jpeg,
        text("\r\n"),
      );
    const receiver = await place.receive(out, { words: ["--once"] });
    const sender = place.send(receiver.port, [pipe], ["--captured", "header"]);
    const startedNs = BigInt(Date.now()) * 1_000_000n;
    await writeInto(
      pipe,
      concat(part("X-Timestamp: 1763812345.678901\r\n"), part("x-timestamp: 1763812346\r\n"), part("")),
    );
    expect([await sender.status(), await receiver.status()]).toEqual([0, 0]);
    const rows = catalogueRows<{ captured: string }>(
      out,
      "SELECT CAST(captured AS TEXT) AS captured FROM frames ORDER BY sequence",
    );
    expect(rows.slice(0, 2).map(({ captured }) => captured)).toEqual(["1763812345678901000", "1763812346000000000"]);
    expect(BigInt(rows[2]?.captured ?? 0) >= startedNs).toBe(true);
    expect(sender.stderr).toContain("no X-Timestamp before a frame");
  });

  test("PNGs goes on at once behind one that was cut in the middle", async () => {
    await using place = await openPlace();
    const [out, pipe] = [place.path("captures"), makePipe(place)];
    const header = chunk("IHDR", concat(u32(1500), u32(1500), new Uint8Array([8, 2, 0, 0, 0])));
    const data = chunk("IDAT", new Random(5).bytes(4_000_000));
    const cut = concat(pngSignature, header, data).subarray(0, 500_000);
    const small = picture("picture-small.png");
    const receiver = await place.receive(out, { words: ["--once", "--verbose"] });
    const sender = place.send(receiver.port, [pipe]);
    const writer = await open(pipe, "w");
    await writeAll(writer, concat(small, cut));
    // Far from what the cut one claims; a machine that stalls sees several in one piece.
    let written = 1;
    while (receiver.count("stored") < 3 && written < 500) {
      await Bun.sleep(20);
      await writeAll(writer, small);
      written += 1;
    }
    expect(receiver.count("stored")).toBeGreaterThanOrEqual(3);
    await writer.close();
    expect([await sender.status(), await receiver.status()]).toEqual([4, 4]);
    expect(storedFrames(out).every((frame) => frame.equals(small))).toBe(true);
    expect(storedFrames(out).length).toBe(written);
    expect(catalogueRows(out, "SELECT reason, count FROM gaps")).toEqual([{ reason: "damaged", count: 1 }]);
  });
});
