import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { McapWriter } from "@mcap/core";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import protobuf from "protobufjs";
import { Channels } from "../../../src/archive-formats/mcap/channels.ts";
import { crc32 } from "../../../src/bytes/checksum.ts";
import { SinkError, UserError } from "../../../src/errors.ts";
import type { Frame } from "../../../src/frame.ts";
import { GiB, MiB } from "../../../src/limits.ts";
import type { Sink } from "../../../src/ports.ts";
import { type OpenArchiveFile, openNodeArchiveFile } from "../../../src/sinks/archive/archive-file.ts";
import { FrameIndex } from "../../../src/sinks/store/frame-index.ts";
import { Random } from "../../support/random.ts";
import {
  type Result,
  commit,
  frameOf,
  lookupNow,
  openWriter,
  session,
  sinkSuite,
  someEnd,
  someGap,
  store,
} from "../suite.ts";
import { factsOf, McapPlace, readIndexed, readPictures, readStream, rootOf } from "./mcap-place.ts";

for (const sync of ["batch", "each", "never"] as const) {
  sinkSuite(`mcap, --sync ${sync}`, true, () => new McapPlace({ sync }));
}

const places: McapPlace[] = [];

function makePlace(...options: ConstructorParameters<typeof McapPlace>): McapPlace {
  const place = new McapPlace(...options);
  places.push(place);
  return place;
}

afterEach(() => {
  for (const place of places.splice(0)) place.remove();
});

const starts = {
  jpeg: Buffer.from("ffd8ffe000104a464946", "hex"),
  png: Buffer.from("89504e470d0a1a0a0000000d", "hex"),
  webp: Buffer.from("RIFF\x10\0\0\0WEBPVP8 ", "latin1"),
  avif: Buffer.from("\0\0\0\x20ftypavif", "latin1"),
  y4m: Buffer.from("YUV4MPEG2 W64 H48\nFRAME\n"),
};

/** Bytes of a picture of that format, as far as anybody looks. */
function pictureOf(format: keyof typeof starts, bytes: number, seed = 1): Uint8Array {
  // Not a divisor of any buffer, so that a piece in another's place is seen.
  const picture = new Random(seed).bytes(1021);
  const whole = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += picture.length) whole.set(picture.subarray(0, bytes - at), at);
  whole.set(starts[format].subarray(0, bytes));
  return whole;
}

function stageBytes(sink: Sink, frame: Frame, bytes: Uint8Array, results: Result[] = []): Result[] {
  const writer = openWriter(sink, { ...frame, bytes: bytes.byteLength });
  for (let at = 0; at < bytes.byteLength; at += MiB) writer.write(bytes.subarray(at, at + MiB));
  writer.finish(crc32(bytes), (result) => results.push(result));
  return results;
}

function userErrorOf(run: () => unknown): UserError {
  try {
    run();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("no error came");
}

describe("mcap sink: what a reader finds", () => {
  test("pictures are foxglove.CompressedImage, decoded with the schema in the file to the same bytes", async () => {
    const place = makePlace({ frameBytesMax: 16 * MiB });
    const sink = place.open();
    const capturedNs = 1_700_000_000_123_456_789n;
    const pictures = new Map(
      (["jpeg", "png", "webp", "avif"] as const).map((format, index) => {
        // One in memory and one in a temporary file, at least.
        const bytes = pictureOf(format, index === 0 ? 9 * MiB + 7 : 1000 + index);
        stageBytes(sink, frameOf(`1.${format}`, "", { capturedNs, sequence: 2 ** 32 + index }), bytes);
        return [format, bytes];
      }),
    );
    expect(await commit(sink)).toBeUndefined();
    for (const closed of [false, true]) {
      if (closed) sink.dispose();
      const found = readPictures(place.path);
      for (const [format, bytes] of pictures) {
        const picture = found.get(`rig/visible/1.${format}`);
        expect(picture?.image?.format).toBe(format);
        expect(picture?.image?.frame_id).toBe("visible");
        expect(picture?.image?.timestamp.seconds.toString()).toBe("1700000000");
        expect(picture?.image?.timestamp.nanos).toBe(123_456_789);
        expect(Buffer.compare(picture?.image?.data ?? new Uint8Array(0), bytes)).toBe(0);
        expect([picture?.message.logTime, picture?.message.publishTime]).toEqual([capturedNs, capturedNs]);
        expect(picture?.channel.topic).toBe("/rig/visible");
      }
      expect([...found.values()].map(({ message }) => message.sequence)).toEqual([0, 1, 2, 3]);
    }
  });

  test("the schema is the published one", async () => {
    const place = makePlace();
    const sink = place.open();
    const bytes = pictureOf("jpeg", 100);
    // Before 1970, where seconds are negative and nanoseconds are not.
    stageBytes(sink, frameOf("1.jpg", "", { capturedNs: -1n }), bytes);
    await commit(sink);
    sink.dispose();
    const published = protobuf.parse(`syntax = "proto3"; package foxglove;
      message Timestamp { int64 seconds = 1; int32 nanos = 2; }
      message CompressedImage { Timestamp timestamp = 1; string frame_id = 4; bytes data = 2; string format = 3; }`);
    const type = published.root.lookupType("foxglove.CompressedImage");
    const picture = readPictures(place.path).get("rig/visible/1.jpg");
    const decoded = type.toObject(type.decode(picture?.message.data ?? new Uint8Array(0)), { longs: Number });
    expect(decoded).toEqual({
      timestamp: { seconds: -1, nanos: 999_999_999 },
      frameId: "visible",
      format: "jpeg",
      data: Buffer.from(bytes),
    });
    expect(picture?.message.logTime).toBe(0n);
    expect(picture?.facts["captured"]).toEqual({ sec: -1, nsec: 999_999_999 });
    const schema = [...readStream(place.path).schemas.values()].find(({ encoding }) => encoding === "protobuf");
    expect(schema?.name).toBe("foxglove.CompressedImage");
    const carried = rootOf(schema?.data ?? new Uint8Array(0));
    const fieldsOf = (each: protobuf.Type) =>
      each.fieldsArray
        .map((field) => [field.name.toLowerCase().replace("_", ""), field.id, field.resolve().type])
        .toSorted();
    for (const [ours, theirs] of [
      ["google.protobuf.Timestamp", "foxglove.Timestamp"],
      ["foxglove.CompressedImage", "foxglove.CompressedImage"],
    ] as const) {
      const plain = (fields: unknown): string => JSON.stringify(fields).replace(/"[.\w]*Timestamp"/g, '"Timestamp"');
      expect(plain(fieldsOf(carried.lookupType(ours)))).toBe(plain(fieldsOf(published.root.lookupType(theirs))));
    }
  });

  test("frames that are no pictures have a channel of their own beside the source's pictures", async () => {
    const place = makePlace();
    const sink = place.open();
    const origin = { device: "framepipe", source: "left eye/day.1", session };
    const raw = pictureOf("y4m", 500);
    stageBytes(sink, frameOf("1.jpg", "", { origin }), pictureOf("jpeg", 500));
    stageBytes(sink, frameOf("1.y4m", "", { origin }), raw);
    await commit(sink);
    sink.dispose();
    const pictures = readPictures(place.path);
    const [image, other] = [
      pictures.get("framepipe/left eye/day.1/1.jpg"),
      pictures.get("framepipe/left eye/day.1/1.y4m"),
    ];
    expect(image?.channel).toMatchObject({ topic: "/framepipe_/left_eye/day_1", messageEncoding: "protobuf" });
    expect(other?.channel).toMatchObject({
      topic: "/framepipe_/left_eye/day_1/raw",
      messageEncoding: "application/octet-stream",
      schemaId: 0,
    });
    expect(Object.fromEntries(other?.channel.metadata ?? [])).toEqual({ device: "framepipe", source: origin.source });
    expect(Buffer.compare(other?.bytes ?? raw.subarray(1), raw)).toBe(0);
  });

  test("facts say all that is known of frames, gaps and ends, and fit their schemas", async () => {
    const place = makePlace();
    const sink = place.open();
    sink.gap({ ...someGap, origin: { ...someGap.origin, source: "unseen" } }, () => {});
    const groups = [statSync(place.path).size];
    await store(sink, frameOf("1.jpg", "one", { sequence: 7 }), "one");
    groups.push(statSync(place.path).size);
    await store(sink, frameOf("1.jpg", "two", { sequence: 8, capturedNs: 1_700_000_001_000_000_000n }), "two");
    sink.gap(someGap, () => {});
    sink.end(someEnd, () => {});
    await commit(sink);
    sink.dispose();
    const file = readStream(place.path);
    const origin = { device: "rig", source: "visible", session };
    const recorded = { sec: 1_800_000_000, nsec: 1 };
    const group = expect.any(Number) as unknown;
    const archive = expect.stringMatching(/^[0-9a-f]{16}$/) as unknown;
    const frames = factsOf(file, "/framepipe/frames");
    expect(frames).toEqual([
      {
        ...origin,
        sequence: 7,
        name: "1.jpg",
        path: "rig/visible/1.jpg",
        number: 1,
        bytes: 3,
        crc32: crc32(Buffer.from("one")),
        captured: { sec: 1_700_000_000, nsec: 123_456_789 },
        received: recorded,
        topic: "/rig/visible/raw",
        archive,
        group: groups[0],
      },
      expect.objectContaining({ sequence: 8, path: "rig/visible/1~2.jpg", number: 2, group: groups[1] }) as never,
    ]);
    const { origin: gapOrigin, firstSequence, ...gap } = someGap;
    const [unseen, seen] = factsOf(file, "/framepipe/gaps");
    expect(seen).toEqual({ ...gapOrigin, ...gap, first_sequence: firstSequence, recorded, archive, group });
    const [end] = factsOf(file, "/framepipe/ends");
    expect(end).toEqual({ ...origin, ...someEnd.totals, ended: recorded, archive, group });
    for (const [topic, facts] of [
      ["frames", frames[0]],
      ["gaps", unseen],
      ["ends", end],
    ] as const) {
      const channel = [...file.channels.values()].find((each) => each.topic === `/framepipe/${topic}`);
      const schema = JSON.parse(Buffer.from(file.schemas.get(channel?.schemaId ?? 0)?.data ?? []).toString()) as {
        properties: object;
      };
      expect(Object.keys(schema.properties)).toEqual(Object.keys(facts ?? {}));
    }
    // Among the frames of their source; where there are none, when they were recorded.
    const times = file.messages
      .filter(({ channelId }) => /gaps|ends/.test(file.channels.get(channelId)?.topic ?? ""))
      .map(({ logTime }) => logTime);
    expect(times).toEqual([1_800_000_000_000_000_001n, 1_700_000_001_000_000_000n, 1_700_000_001_000_000_000n]);
  });

  test("a gap stands by the newest frame of its source, also of an earlier receiver, picture or not", async () => {
    const place = makePlace();
    for (const [name, bytes, capturedNs] of [
      ["1.jpg", pictureOf("jpeg", 50), 1n],
      ["2.y4m", pictureOf("y4m", 50), 3n],
      ["3.jpg", pictureOf("jpeg", 50), 2n],
    ] as const) {
      let sink = place.open();
      stageBytes(sink, frameOf(name, "", { capturedNs }), bytes);
      await commit(sink);
      sink.dispose();
      sink = place.open();
      sink.gap(someGap, () => {});
      await commit(sink);
      sink.dispose();
    }
    const { messages, channels } = readStream(place.path);
    const gaps = messages.filter(({ channelId }) => channels.get(channelId)?.topic === "/framepipe/gaps");
    expect(gaps.map(({ logTime }) => logTime)).toEqual([1n, 3n, 3n]);
  });

  test("a closed file is read by its summary, across several chunks and receivers", async () => {
    const place = makePlace({ frameBytesMax: 16 * MiB });
    const sizes = [900_000, 900_000, 900_000, 5_000_000, 10, 900_000, 900_000, 900_000, 900_000, 900_000, 0, 700_000];
    let sink = place.open();
    for (const [sequence, bytes] of sizes.entries()) {
      // Captured in another order than they come, as a backlog of two sources is.
      const capturedNs = BigInt(((sequence * 7) % sizes.length) + 1) * 1_000_000_000n;
      const origin = { device: "rig", source: sequence % 3 === 0 ? "infrared" : "visible", session };
      const frame = frameOf(`${sequence}.jpg`, "", { sequence, capturedNs, origin });
      stageBytes(sink, frame, pictureOf("jpeg", bytes, sequence));
      if (sequence % 2 === 1) await commit(sink);
      if (sequence !== 5) continue;
      sink.dispose();
      sink = place.open();
    }
    await commit(sink);
    const whileOpen = readStream(place.path);
    expect([whileOpen.messages.length, whileOpen.whole]).toEqual([2 * sizes.length, false]);
    sink.dispose();

    const streamed = readStream(place.path);
    expect([streamed.messages.length, streamed.whole]).toEqual([2 * sizes.length, true]);
    const { reader, messages, channels } = await readIndexed(place.path);
    expect(messages.length).toBe(2 * sizes.length);
    const frames = messages.filter(({ channelId }) => channels.get(channelId)?.topic === "/framepipe/frames");
    expect(frames.map(({ logTime }) => Number(logTime / 1_000_000_000n))).toEqual(sizes.map((_, index) => index + 1));
    const { statistics, chunkIndexes } = reader;
    expect(statistics).toMatchObject({
      messageCount: BigInt(2 * sizes.length),
      chunkCount: chunkIndexes.length,
      messageStartTime: 1_000_000_000n,
      messageEndTime: BigInt(sizes.length) * 1_000_000_000n,
      schemaCount: reader.schemasById.size,
      channelCount: channels.size,
    });
    for (const { id } of channels.values()) {
      const count = messages.filter(({ channelId }) => channelId === id).length;
      expect(Number(statistics?.channelMessageCounts.get(id) ?? 0n)).toBe(count);
    }
    // As full as they can be, and larger only for one frame.
    expect(chunkIndexes.map(({ uncompressedSize }) => Number(uncompressedSize) < 4 * MiB)).toEqual([
      true,
      false,
      true,
      true,
      true,
    ]);
    const pictures = readPictures(place.path);
    expect(pictures.size).toBe(sizes.length);
    const images = [...pictures.values()].map(({ bytes }) => bytes.byteLength);
    expect(images).toEqual(sizes);
  });

  test("a run that stores nothing leaves a file that readers open, and another as it was", async () => {
    const place = makePlace();
    place.open().dispose();
    expect((await readIndexed(place.path)).messages).toEqual([]);
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    sink.dispose();
    const before = readFileSync(place.path);
    place.open().dispose();
    expect(readFileSync(place.path).equals(before)).toBe(true);
    expect(readdirSync(place.parent)).toEqual(["day.mcap"]);
  });

  test("frames that no reader could hold are refused, and a --max-frame that allows them from the start", () => {
    const error = userErrorOf(() => makePlace().open({ frameBytesMax: GiB + 1 }));
    expect(error.message).toContain("--max-frame is more than a frame in an MCAP file may have");
    expect(error.hints[0]).toContain("--max-frame 1Gi");
    const sink = makePlace().open({ frameBytesMax: GiB });
    const [fits, large] = [frameOf("1.jpg", "", { bytes: GiB }), frameOf("1.jpg", "", { bytes: GiB + 1 })];
    expect(lookupNow(sink, fits.origin, [fits, large]).map(({ kind }) => kind)).toEqual(["want", "refuse"]);
    expect(sink.open(large)).toBe("too-large");
    sink.dispose();
  });

  test("sources beyond the numbers of channels share one, for pictures and for the rest", () => {
    const channels = new Channels();
    const ids = new Set<number>();
    for (let count = 0; count < 70_000; count += 1) {
      ids.add(channels.of(count % 2 === 0 ? "image" : "other", { device: "rig", source: String(count) }).id);
    }
    expect(Math.max(...[...ids].slice(-1))).toBe(65_535);
    expect(ids.size).toBe(65_535 - 3);
    expect(channels.of("image", { device: "rig", source: "0" }).id).toBe(4);
    expect(channels.of("other", { device: "x", source: "y" })).toBe(channels.of("other", { device: "x", source: "z" }));
    expect(channels.of("image", { device: "x", source: "y" }).kind).toBe("image");
  });
});

describe("mcap sink: the file", () => {
  test("what holds something else is refused and left as it is", async () => {
    const place = makePlace();
    const parts: Uint8Array[] = [];
    let position = 0n;
    const writable = {
      write: (buffer: Uint8Array) => {
        parts.push(buffer);
        position += BigInt(buffer.byteLength);
        return Promise.resolve();
      },
      position: () => position,
    };
    const writer = new McapWriter({ writable });
    await writer.start();
    await writer.end();
    for (const [content, words] of [
      [Buffer.from("a file of somebody"), "is not an MCAP file"],
      [Buffer.from("x"), "is not an MCAP file"],
      [Buffer.concat(parts), "was written by another program"],
    ] as const) {
      writeFileSync(place.path, content);
      expect(userErrorOf(() => place.open()).message).toContain(words);
      expect(readFileSync(place.path).equals(content)).toBe(true);
    }
    expect(readdirSync(place.parent)).toEqual(["day.mcap"]);
  });

  test("a second receiver is refused while the first one has it", async () => {
    const place = makePlace();
    const first = place.open();
    expect(userErrorOf(() => place.open()).message).toContain("in use by another receiver");
    expect(await store(first, frameOf("1.jpg", "one"), "one")).toBe("stored");
    first.dispose();
    place.open().dispose();
  });

  test("an empty file, and one whose first bytes were all that was written, are begun anew", async () => {
    const place = makePlace();
    place.open().dispose();
    const start = readFileSync(place.path);
    for (const begun of [start.subarray(0, 0), start.subarray(0, 5), start.subarray(0, 20), new Uint8Array(20)]) {
      writeFileSync(place.path, begun);
      const sink = place.open();
      expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
      sink.dispose();
      expect((await readIndexed(place.path)).messages.length).toBe(2);
    }
  });

  test("a commit whose flush fails is taken back, whole chunks and all", async () => {
    const place = makePlace({ frameBytesMax: 8 * MiB });
    const sink = place.open();
    stageBytes(sink, frameOf("1.jpg", ""), pictureOf("jpeg", 1_000_000));
    await commit(sink);
    const before = readFileSync(place.path);
    place.broken = "sync";
    const results: Result[] = [];
    for (const name of ["2", "3", "4", "5", "6", "7"]) {
      stageBytes(sink, frameOf(`${name}.jpg`, ""), pictureOf("jpeg", 3_000_000), results);
    }
    const failure = await commit(sink);
    expect(failure?.message).toContain("the disk is full (ENOSPC)");
    expect(results).toEqual(Array<typeof failure>(6).fill(failure) as Result[]);
    expect(readFileSync(place.path).equals(before)).toBe(true);
    place.broken = undefined;
    while (sink.ready(1) !== undefined) await Bun.sleep(5);
    for (const name of ["2", "3"]) stageBytes(sink, frameOf(`${name}.jpg`, ""), pictureOf("jpeg", 3_000_000));
    expect(await commit(sink)).toBeUndefined();
    sink.dispose();
    expect([...readPictures(place.path).keys()]).toEqual(["1", "2", "3"].map((name) => `rig/visible/${name}.jpg`));
    expect((await readIndexed(place.path)).messages.length).toBe(6);
  });

  test("where there is no room for its end, a file is left as a killed receiver leaves it", async () => {
    const place = makePlace();
    let room = Number.POSITIVE_INFINITY;
    let before = Buffer.alloc(0);
    const openFile: OpenArchiveFile = (path, create) => {
      const file = openNodeArchiveFile(path, create);
      const write = file.write.bind(file);
      file.write = (views, at) => {
        room -= 1;
        // In a head that is there already is room.
        if (room < 0 && at >= before.byteLength) throw Object.assign(new Error("full"), { code: "ENOSPC" });
        write(views, at);
      };
      return file;
    };
    const sink = place.open({ openFile });
    await store(sink, frameOf("1.jpg", "one"), "one");
    before = readFileSync(place.path);
    room = 4;
    sink.dispose();
    expect(room).toBeLessThan(0);
    expect(readFileSync(place.path).equals(before)).toBe(true);
    place.open().dispose();
    expect((await readIndexed(place.path)).messages.length).toBe(2);
  });

  test("a commit that is in the file and cannot be kept in the index is taken back", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    const before = readFileSync(place.path);
    const keep = spyOn(FrameIndex.prototype, "keep").mockImplementationOnce(() => {
      throw Object.assign(new Error("broken for a test"), { code: "SQLITE_FULL" });
    });
    expect(await store(sink, frameOf("2.jpg", "two"), "two")).toBeInstanceOf(SinkError);
    keep.mockRestore();
    expect(readFileSync(place.path).equals(before)).toBe(true);
    while (sink.ready(1) !== undefined) await Bun.sleep(5);
    expect(await store(sink, frameOf("2.jpg", "two"), "two")).toBe("stored");
    sink.dispose();
    expect((await readIndexed(place.path)).messages.length).toBe(4);
  });

  test("what the last commit wrote is checked to the byte, so that nothing is built on what a crash left", async () => {
    const place = makePlace();
    const sink = place.open();
    const start = statSync(place.path).size;
    const frame = frameOf("1.jpg", "", { capturedNs: 5n });
    stageBytes(sink, frame, pictureOf("jpeg", 40));
    await commit(sink);
    const killed = readFileSync(place.path);
    sink.dispose();
    const other = { ...frame, bytes: 40 };
    const ask = (content: Uint8Array): unknown => {
      writeFileSync(place.path, content);
      const next = place.open();
      const [verdict] = lookupNow(next, other.origin, [other]);
      next.dispose();
      return verdict?.kind;
    };
    expect(ask(killed)).toBe("have");
    // All but the text that fills the place of the chunk's head; of a fact, what makes it another.
    const text = killed.lastIndexOf('{"device"');
    for (let at = start + 49; at < text; at += 3) {
      const changed = Buffer.from(killed);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      if (ask(changed) !== "want") throw new Error(`byte ${at} of ${killed.byteLength} is not looked at`);
    }
  });

  test("what is found is flushed before it is called stored, unless --sync never", async () => {
    for (const [sync, syncs] of [
      ["batch", 1],
      ["each", 1],
      ["never", 0],
    ] as const) {
      const place = makePlace();
      const sink = place.open({ sync: "never" });
      await store(sink, frameOf("1.jpg", "one"), "one");
      const killed = readFileSync(place.path);
      sink.dispose();
      for (const content of [killed, readFileSync(place.path)]) {
        writeFileSync(place.path, content);
        place.syncNows = 0;
        const next = place.open({ sync });
        expect(place.syncNows, sync).toBe(syncs);
        expect(lookupNow(next, frameOf("1.jpg", "one").origin, [frameOf("1.jpg", "one")])[0]?.kind).toBe("have");
        next.dispose();
      }
    }
  });

  test("a frame that is itself such a file, torn by a kill, is no damage", async () => {
    const inner = makePlace();
    const innerSink = inner.open();
    for (let name = 1; name <= 8; name += 1)
      await store(innerSink, frameOf(`${name}.jpg`, "x".repeat(900)), "x".repeat(900));
    innerSink.dispose();
    const content = readFileSync(inner.path);
    const place = makePlace({ frameBytesMax: MiB });
    const sink = place.open();
    const frame = frameOf("day.mcap", "", { bytes: content.byteLength });
    for (const before of ["", "one"]) {
      if (before !== "") await store(sink, frameOf("1.jpg", before), before);
      const start = readFileSync(place.path).byteLength;
      const copy = makePlace({ frameBytesMax: MiB });
      stageBytes(sink, { ...frame, name: `${before}day.mcap` }, content);
      await commit(sink);
      writeFileSync(copy.path, readFileSync(place.path).subarray(0, start + content.byteLength));
      const next = copy.open();
      expect(lookupNow(next, frame.origin, [{ ...frame, name: `${before}day.mcap` }])).toEqual([{ kind: "want" }]);
      expect(readFileSync(copy.path).byteLength).toBeLessThanOrEqual(start);
      next.dispose();
    }
    sink.dispose();
  });

  test("a start that names another archive than the facts is damage, and nothing is cut off", async () => {
    const place = makePlace();
    const sink = place.open();
    const start = statSync(place.path).size;
    await store(sink, frameOf("1.jpg", "one"), "one");
    sink.dispose();
    const damaged = readFileSync(place.path);
    damaged[start - 1] = damaged[start - 1] === 0x30 ? 0x31 : 0x30;
    writeFileSync(place.path, damaged);
    expect(userErrorOf(() => place.open()).message).toContain("is damaged");
    expect(readFileSync(place.path).equals(damaged)).toBe(true);
  });

  test("damage in the middle is told and left as it is, because frames behind it would be lost", async () => {
    const place = makePlace();
    const sink = place.open();
    const ends: number[] = [];
    for (const name of ["1", "2", "3"]) {
      await store(sink, frameOf(`${name}.jpg`, name), name);
      ends.push(readFileSync(place.path).byteLength);
    }
    sink.dispose();
    const damaged = readFileSync(place.path);
    const at = ends[0] ?? 0;
    damaged[at] = 0x77;
    writeFileSync(place.path, damaged);
    const { message } = userErrorOf(() => place.open());
    expect(message).toContain(`is damaged at byte ${at}`);
    expect(readFileSync(place.path).equals(damaged)).toBe(true);
  });

  test("a file that vanishes is waited for, never made anew, and read again when it is back", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    const aside = join(place.parent, "aside");
    copyFileSync(place.path, aside);
    unlinkSync(place.path);
    for (let probe = 0; probe < 5; probe += 1) expect(sink.ready(1)).toBeInstanceOf(SinkError);
    expect(existsSync(place.path)).toBe(false);
    copyFileSync(aside, place.path);
    while (sink.ready(1) !== undefined) await Bun.sleep(5);
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
    expect(await store(sink, frameOf("2.jpg", "two"), "two")).toBe("stored");
    sink.dispose();
    expect([...readPictures(place.path).keys()]).toEqual(["rig/visible/1.jpg", "rig/visible/2.jpg"]);
  });

  test("bytes that somebody added behind the end are cut off", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    sink.dispose();
    appendFileSync(place.path, "more");
    place.open().dispose();
    expect((await readIndexed(place.path)).messages.length).toBe(2);
  });
});
