/**
 * Where a JPEG ends. The end is never searched for as FF D9: thumbnails and other data in APPn segments hold that too.
 * Segments are skipped by their lengths; only in entropy-coded data are markers looked for.
 *
 *     SOI  [segment]*  SOS entropy-coded data  ([table]*  SOS entropy-coded data)*  EOI
 *
 * In entropy-coded data, FF 00 (a stuffed FF), FF D0…D7 (restart) and FF 01…BF (nothing any encoder sends, except
 * JPEG-LS) are data, before a marker any number of FF may stand, and what is neither EOI, a start nor a good table is
 * a damaged bit of picture, which decoders can live with.
 *
 * Before it, a marker that is not where it should be puts the walk out of step. As decoders do, it goes to the next
 * marker; but only to one whose segment is good in itself, and never over the start of another picture.
 */
import { Note } from "../frame.ts";
import {
  type GoodSegment,
  isFrameHeader,
  isRestart,
  leadsTo,
  marker,
  segmentAt,
  startsWithin,
} from "./jpeg-segments.ts";
import { nextMarker } from "./jpeg-scan.ts";
import { glanceJpeg, strayBytesFirst } from "./jpeg-start.ts";
import type { PieceQueue } from "./piece-queue.ts";
import { BasicWalk, type Glance, type Pattern, type Step } from "./walk.ts";

/** Stray bytes once a segment is known that only a picture has: what is behind a length of APP data that wrapped. */
const strayBytesMax = 65_536 + 4096;
/** How often a length of APP data may have wrapped: previews of a quarter of a megabyte. */
const wrapsMax = 4;
const wrapBytes = 65_536;
/** Pictures in APP data that is longer than it says; more are the next pictures of the stream. */
const thumbnailsMax = 3;
/** Starts in APP data that are remembered; there are one or two thumbnails. */
const innerStartsMax = 16;

/** The longest header that is compared with the last. */
const sameHeaderBytesMax = 4096;

type Phase = "header" | "lost" | "wrapped" | "scan";

export class JpegWalk extends BasicWalk {
  readonly name = "JPEG";
  readonly extension = "jpg";
  readonly patterns: readonly Pattern[] = [{ bytes: Uint8Array.of(0xff, marker.soi), offset: 0 }];
  #phase: Phase = "header";
  /** The last marker whose segment may not end where it says, and whether only what follows can tell. */
  #segmentAt = 0;
  #segmentOpaque = false;
  /** A segment was met that only a picture has: APP data of a known kind; a table. */
  #applicationSeen = false;
  #tableSeen = false;
  #frameHeaderSeen = false;
  #scanAt = 0;
  #innerStarts: number[] = [];
  #lostAt = 0;
  #skippedAt = Infinity;
  #startAt = 0;
  /** All of the last picture up to its data, if nothing was wrong with it: cameras send the same again and again. */
  #lastHeader: Uint8Array | undefined;

  override begin(at: number): void {
    super.begin(at);
    this.at = at + 2;
    // A length that spans the next picture may look good: if this is none, nothing of it is believed.
    this.resumeAt = at + 2;
    this.#phase = "header";
    this.#startAt = this.#segmentAt = at;
    this.#segmentOpaque = false;
    this.#applicationSeen = this.#tableSeen = this.#frameHeaderSeen = false;
    this.#scanAt = 0;
    this.#innerStarts = [];
    this.#skippedAt = Infinity;
  }

  another(): JpegWalk {
    return new JpegWalk();
  }

  glance(bytes: PieceQueue, at: number, to: number, final: boolean): Glance {
    return glanceJpeg(bytes, at, to, final);
  }

  advance(bytes: PieceQueue, to: number, final: boolean): Step {
    if (this.at === this.#startAt + 2) this.#skipSameHeader(bytes, to);
    for (;;) {
      const step = this.#walk(bytes, to, final);
      if (step !== "next") return step;
    }
  }

  #skipSameHeader(bytes: PieceQueue, to: number): void {
    const last = this.#lastHeader;
    const end = this.#startAt + (last?.length ?? Infinity);
    if (last === undefined || end > to || Buffer.compare(bytes.viewOf(this.#startAt, end), last) !== 0) return;
    this.#tableSeen = this.#frameHeaderSeen = this.began = true;
    this.at = this.#scanAt = this.dataAt = end;
    this.#phase = "scan";
  }

  #walk(bytes: PieceQueue, to: number, final: boolean): Step | "next" {
    switch (this.#phase) {
      case "header":
        return this.#walkHeader(bytes, to, final);
      case "lost":
        return this.#walkLost(bytes, to, final);
      case "wrapped":
        return this.#walkWrapped(bytes, to, final);
      case "scan":
        return this.#walkScan(bytes, to, final);
    }
  }

  // ---- before the picture data

  #walkHeader(bytes: PieceQueue, to: number, final: boolean): Step | "next" {
    const { at } = this;
    if (at + 2 > to) return this.#wait(final);
    const code = bytes.byteAt(at + 1);
    if (bytes.byteAt(at) !== marker.fill) return this.#lose(at);
    if (code === marker.fill || code === marker.tem || isRestart(code)) {
      this.at += code === marker.fill ? 1 : 2;
      return "next";
    }
    if (code === marker.soi) {
      const glance = glanceJpeg(bytes, at, to, final);
      if (glance === "more") return "more";
      if (glance === "no") return this.#lose(at + 2);
      // SOI again, where a segment may be: if nothing was in between, the first was none.
      return this.#fail("the next JPEG begins before its picture data", "cut", this.#tableSeen);
    }
    if (code === marker.eoi) return this.#fail("it ends before its picture data", "damaged", this.#tableSeen);
    if (code >= marker.first && this.#segmentOpaque && !this.#closeSegment(bytes, at)) {
      return this.#fail("another JPEG begins in its application data", "cut", true);
    }
    const segment = segmentAt(bytes, at, to);
    if (segment.kind === "more") return this.#wait(final);
    if (segment.kind === "bad" || (code === marker.sos && !this.#frameHeaderSeen)) return this.#lose(at + 2);
    return this.#take(bytes, at, code, segment);
  }

  /** APP data has ended, here where it says, or found again. False: it cannot have a start in it, and has. */
  #closeSegment(bytes: PieceQueue, at: number): boolean {
    const room = innerStartsMax - this.#innerStarts.length;
    this.#innerStarts.push(...startsWithin(bytes, this.#segmentAt + 2, at + 1, room));
    if (this.#frameHeaderSeen && this.#innerStarts.length > 0) return false;
    this.#segmentOpaque = false;
    return true;
  }

  /** Goes over a segment. What was before it has kept its word. */
  #take(bytes: PieceQueue, at: number, code: number, segment: GoodSegment): Step | "next" {
    const opaque = code >= marker.app0 && code !== 0xf7;
    if (this.#segmentOpaque && !this.#closeSegment(bytes, at)) {
      return this.#fail("another JPEG begins in its application data", "cut", true);
    }
    this.doubtful = false;
    this.#segmentAt = at;
    this.#segmentOpaque = opaque;
    this.at = segment.end;
    if (opaque) this.#applicationSeen ||= segment.known;
    else this.#tableSeen = true;
    this.began = this.#began;
    if (isFrameHeader(code)) {
      const inner = this.#innerStarts.find((start) => leadsTo(bytes, start, at));
      if (inner !== undefined) {
        return this.#fail("another JPEG begins in its application data", "cut", this.#applicationSeen);
      }
      if (this.#frameHeaderSeen) return this.#fail("it has two frame headers", "damaged", true);
      this.#frameHeaderSeen = true;
      // From here on APP data has no thumbnails.
      this.#innerStarts = [];
    }
    if (code === marker.sos) {
      this.#phase = "scan";
      this.#scanAt = segment.end;
      // Its own segment has no sign of its end but its length.
      this.dataAt = Math.min(this.#skippedAt, at + 2);
      const same = this.notes === 0 && segment.end - this.#startAt <= sameHeaderBytesMax;
      this.#lastHeader = same ? Buffer.concat(bytes.views(this.#startAt, segment.end)) : undefined;
    } else this.#phase = "header";
    return "next";
  }

  /** There is no marker where one should be. */
  #lose(from: number): "next" {
    this.#phase = "lost";
    this.#lostAt = this.at;
    this.doubtful = true;
    this.at = from;
    return "next";
  }

  /** Looks for the next segment that is good in itself. */
  #walkLost(bytes: PieceQueue, to: number, final: boolean): Step | "next" {
    const known = this.#applicationSeen || this.#tableSeen;
    const limit = this.#lostAt + (known ? strayBytesMax : strayBytesFirst);
    for (;;) {
      const at = bytes.indexOf(marker.fill, this.at, Math.min(to, limit));
      this.at = at;
      if (at >= limit) return this.#fail(`no marker at byte ${this.#lostAt}`, "damaged", this.#tableSeen);
      if (at + 2 > to) return this.#wait(final);
      const code = bytes.byteAt(at + 1);
      const segment = segmentAt(bytes, at, to);
      if (segment.kind === "more") return this.#wait(final);
      if (segment.kind === "good" && segment.known && (code !== marker.sos || this.#frameHeaderSeen)) {
        this.notes |= Note.damagedHeader;
        // Another picture may be in what was skipped.
        this.#skippedAt = Math.min(this.#skippedAt, this.#lostAt);
        this.suspect = true;
        return this.#take(bytes, at, code, segment);
      }
      const glance = code === marker.soi ? glanceJpeg(bytes, at, to, final) : "no";
      if (glance === "more") return "more";
      if (glance === "yes") return this.#meetStart(at);
      this.at = at + 1;
    }
  }

  /** Out of step, a start: that of a thumbnail in APP data that is longer than it says, or of the next picture. */
  #meetStart(at: number): Step | "next" {
    if (!this.#segmentOpaque || !this.#applicationSeen) {
      return this.#fail("another JPEG begins before its picture data", "cut", this.#began);
    }
    this.at = Math.max(at, this.#lostAt + wrapBytes);
    this.#phase = "wrapped";
    return "next";
  }

  /** A length of 16 bits that wrapped is wrong by exactly so much. */
  #walkWrapped(bytes: PieceQueue, to: number, final: boolean): Step | "next" {
    const wraps = (this.at - this.#lostAt) / wrapBytes;
    if (this.at + 4 > to) return this.#wait(final);
    const code = bytes.byteAt(this.at + 1);
    const segment = bytes.byteAt(this.at) === marker.fill ? segmentAt(bytes, this.at, to) : undefined;
    if (segment?.kind === "more") return this.#wait(final);
    const starts = startsWithin(bytes, this.#segmentAt + 2, this.at, thumbnailsMax + 1).length;
    if (segment?.kind === "good" && segment.known && code !== marker.sos && starts <= thumbnailsMax) {
      this.notes |= Note.damagedHeader;
      return this.#take(bytes, this.at, code, segment);
    }
    if (wraps < wrapsMax) {
      this.at += wrapBytes;
      return "next";
    }
    return this.#fail("another JPEG begins in its application data", "cut", this.#began);
  }

  // ---- in it

  /** Goes along entropy-coded data to the next marker that is one. */
  #walkScan(bytes: PieceQueue, to: number, final: boolean): Step | "next" {
    const at = nextMarker(bytes, this.at, to);
    this.at = at;
    if (at + 1 >= to) return final ? this.#leaveOpen(to) : "more";
    const code = bytes.byteAt(at + 1);
    if (code === marker.eoi) {
      this.at = at + 2;
      return "whole";
    }
    if (code === marker.soi) {
      const glance = glanceJpeg(bytes, at, to, final);
      if (glance === "more") return "more";
      if (glance === "yes") return this.#leaveOpen(at);
    }
    const segment = segmentAt(bytes, at, to);
    if (segment.kind === "more" && !final) return "more";
    // Rare in a camera's picture; data of another format has it at every turn.
    this.suspect = true;
    const good = segment.kind === "good" && segment.known && code < marker.app0 && !isFrameHeader(code);
    this.at = good ? segment.end : at + 2;
    return "next";
  }

  override endBefore(at: number): boolean {
    this.at = at;
    this.notes |= Note.noEndMarker;
    return at > this.#scanAt;
  }

  /** There is no EOI. */
  #leaveOpen(at: number): Step {
    this.at = at;
    if (at === this.#scanAt) return this.#fail("it has no picture data", "cut", true);
    this.resumeAt = at;
    this.notes |= Note.noEndMarker;
    this.suspect = true;
    this.loss = "cut";
    this.detail = "it has no end";
    return "open";
  }

  // ---- when it is none

  get #began(): boolean {
    return this.#tableSeen || this.#applicationSeen;
  }

  #wait(final: boolean): Step {
    this.began = this.#began;
    return this.wait(final);
  }

  #fail(detail: string, loss: "cut" | "damaged", began: boolean): "none" {
    this.began = began;
    return this.none(detail, loss);
  }
}
