/** Takes archives apart with programs of others, to compare what is in them. */
import { McapStreamReader } from "@mcap/core";
import { createReadStream, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Writes each frame of a `.tar` or `.mcap` to its path below `folder`. Throws if it cannot be read. */
export async function unpack(archive: string, folder: string): Promise<void> {
  if (archive.endsWith(".mcap")) return unpackMcap(archive, folder);
  const { success, stderr } = Bun.spawnSync(["tar", "--extract", "--file", archive, "--directory", folder]);
  if (!success) throw new Error(`tar: ${stderr.toString().trim()}`);
}

const factsTopic = "/framepipe/frames";

/** A fact follows its picture, whose bytes are the last of its message. */
async function unpackMcap(archive: string, folder: string): Promise<void> {
  const reader = new McapStreamReader();
  const topics = new Map<number, string>();
  const folders = new Set<string>();
  let picture = new Uint8Array(0);
  for await (const piece of createReadStream(archive)) {
    reader.append(piece as Uint8Array);
    for (let record = reader.nextRecord(); record !== undefined; record = reader.nextRecord()) {
      if (record.type === "Channel") topics.set(record.id, record.topic);
      if (record.type !== "Message") continue;
      if (topics.get(record.channelId) !== factsTopic) {
        picture = new Uint8Array(record.data);
        continue;
      }
      const { path, bytes } = JSON.parse(new TextDecoder().decode(record.data)) as { path: string; bytes: number };
      const place = join(folder, path);
      if (!folders.has(dirname(place))) mkdirSync(dirname(place), { recursive: true });
      folders.add(dirname(place));
      writeFileSync(place, picture.subarray(picture.length - bytes));
    }
  }
  if (!reader.done()) throw new Error(`${archive} ends before its end`);
}
