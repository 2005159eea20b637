/**
 * The frame sets: the same names and bytes on every machine. Large ones repeat their files as hard links, which costs
 * neither memory nor disk, and a reader cannot tell.
 */
import { linkSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { makeFrameSet } from "../demo-frames.ts";
import type { LinkShape } from "./proxy.ts";

/** From directory to directory; to a receiver that discards; from directory to directory over a long link. */
export type SetKind = "directory" | "discard" | "link";

export interface FrameSetSpec {
  readonly name: string;
  readonly kind: SetKind;
  /** Frames with bytes of their own. */
  readonly distinct: number;
  /** How often each of them is in the set. */
  readonly copies: number;
  readonly frameBytes: number;
  readonly link?: LinkShape;
  /** How many frames the article's loop moves: at a dozen a second, it is not given all of them. */
  readonly articleFrames: number;
}

const gigabit = 1e9;

export const frameSets: readonly FrameSetSpec[] = [
  { name: "100k", kind: "directory", distinct: 2_000, copies: 1, frameBytes: 100_000, articleFrames: 50 },
  { name: "16k", kind: "directory", distinct: 2_000, copies: 1, frameBytes: 16_000, articleFrames: 50 },
  { name: "2k", kind: "directory", distinct: 20_000, copies: 1, frameBytes: 2_000, articleFrames: 50 },
  { name: "5m", kind: "directory", distinct: 200, copies: 1, frameBytes: 5_000_000, articleFrames: 50 },
  // Long enough for the start of a program to be a small part, as it is for iperf3.
  { name: "discard", kind: "discard", distinct: 2_000, copies: 10, frameBytes: 100_000, articleFrames: 0 },
  {
    name: "20ms",
    kind: "link",
    distinct: 2_000,
    copies: 1,
    frameBytes: 100_000,
    link: { oneWayMs: 10 },
    articleFrames: 30,
  },
  {
    name: "100ms",
    kind: "link",
    distinct: 2_000,
    copies: 1,
    frameBytes: 100_000,
    link: { oneWayMs: 50 },
    articleFrames: 20,
  },
  {
    name: "2k-20ms",
    kind: "link",
    distinct: 20_000,
    copies: 1,
    frameBytes: 2_000,
    link: { oneWayMs: 10 },
    articleFrames: 30,
  },
  {
    name: "2k-100ms",
    kind: "link",
    distinct: 20_000,
    copies: 1,
    frameBytes: 2_000,
    link: { oneWayMs: 50 },
    articleFrames: 20,
  },
  // 17 s, so that the round trips of the beginning and the end are a small part.
  {
    name: "1gbit-100ms",
    kind: "link",
    distinct: 2_000,
    copies: 10,
    frameBytes: 100_000,
    link: { oneWayMs: 50, bitsPerSecond: gigabit },
    articleFrames: 20,
  },
];

/** The same set with about a hundredth of the frames. */
export function quickSet(spec: FrameSetSpec): FrameSetSpec {
  const distinct = Math.max(4, Math.round(spec.distinct / 100));
  return { ...spec, distinct, articleFrames: Math.min(spec.articleFrames, 3) };
}

export function setBytes({ distinct, frameBytes }: FrameSetSpec): number {
  return distinct * frameBytes;
}

export interface FrameSetOnDisk {
  readonly spec: FrameSetSpec;
  readonly folder: string;
  /** In order. */
  readonly names: readonly string[];
  /** Of all of them, links counted each time. */
  readonly bytes: number;
  /** CRC-32 by name. */
  readonly checksums: ReadonlyMap<string, number>;
}

/** Writes the set into `folder`, which is made. */
export async function prepareFrameSet(folder: string, spec: FrameSetSpec): Promise<FrameSetOnDisk> {
  const { names: distinct, bytes } = await makeFrameSet(folder, {
    kind: "jpeg",
    count: spec.distinct,
    bytes: spec.frameBytes,
  });
  const checksums = new Map<string, number>();
  for (const name of distinct) checksums.set(name, Bun.hash.crc32(readFileSync(join(folder, name))));
  const names = [...distinct];
  for (let index = distinct.length; index < distinct.length * spec.copies; index++) {
    const original = distinct[index % distinct.length] ?? "";
    const name = `${index}.jpg`;
    linkSync(join(folder, original), join(folder, name));
    checksums.set(name, checksums.get(original) ?? 0);
    names.push(name);
  }
  return { spec, folder, names, bytes: bytes * spec.copies, checksums };
}
