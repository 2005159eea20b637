/**
 * The way through a JPEG up to its picture data. Segments are skipped by their lengths, as thumbnails and other data in
 * them may hold any marker.
 *
 * A marker that is not where it should be puts the walk out of step. As decoders do, it goes to the next marker; but
 * only to one whose segment is good in itself, and never over the start of another picture.
 */
import { Note } from "../frame.ts";
import {
  bad,
  blockOfSegment,
  holdsSegment,
  isFrameHeader,
  isKnown,
  isOpaque,
  isRestart,
  knownSegmentEnd,
  leadsTo,
  marker,
  more,
  segmentEnd,
  startsWithin,
} from "./jpeg-segments.ts";
import { glanceJpeg, strayBytesFirst } from "./jpeg-start.ts";
import { type Block, indexOfByte, type PieceQueue } from "./piece-queue.ts";
import { BasicWalk, type Step } from "./walk.ts";

/** Stray bytes once a segment is known that only a picture has: what is behind a length of APP data that wrapped. */
const strayBytesMax = 65_536 + 4096;
/** How often a length of APP data may have wrapped: previews of a quarter of a megabyte. */
const wrapsMax = 4;
const wrapBytes = 65_536;
/** Pictures in APP data that is longer than it says; more are the next pictures of the stream. */
const thumbnailsMax = 3;
/** Starts in APP data that are remembered; there are one or two thumbnails. */
const innerStartsMax = 16;
/** Places with stray bytes that are told apart: what a camera or a bad line does. */
const skippedMax = 8;
const noStarts: readonly number[] = [];

export abstract class JpegHeaderWalk extends BasicWalk {
  #phase: "segments" | "lost" | "wrapped" = "segments";
  /** The last marker whose segment may not end where it says, and whether only what follows can tell. */
  #segmentAt = 0;
  #segmentOpaque = false;
  /** A segment was met that only a picture has: APP data of a known kind; a table. */
  #applicationSeen = false;
  #tableSeen = false;
  #frameHeaderSeen = false;
  #innerStarts: readonly number[] = noStarts;
  #lostAt = 0;

  override begin(at: number): void {
    super.begin(at);
    this.at = at + 2;
    // A length that spans the next picture may look good: if this is none, nothing of it is believed.
    this.resumeAt = at + 2;
    this.#phase = "segments";
    this.#segmentAt = at;
    this.#segmentOpaque = false;
    this.#applicationSeen = this.#tableSeen = this.#frameHeaderSeen = false;
    this.#innerStarts = noStarts;
  }

  /** Goes to the picture data, which begins at `at`: "scan". */
  protected walkHeader(bytes: PieceQueue, to: number, final: boolean): Step | "scan" {
    for (;;) {
      const step = this.#walk(bytes, to, final);
      if (step !== "next") return step;
    }
  }

  #walk(bytes: PieceQueue, to: number, final: boolean): Step | "scan" | "next" {
    if (this.#phase === "segments") return this.#walkSegments(bytes, to, final);
    return this.#phase === "lost" ? this.#walkLost(bytes, to, final) : this.#walkWrapped(bytes, to, final);
  }

  #walkSegments(bytes: PieceQueue, to: number, final: boolean): Step | "scan" | "next" {
    if (this.at + 2 > to) return this.waitForMore(final);
    let block = blockOfSegment(bytes, this.at, to);
    for (;;) {
      const { at } = this;
      if (at + 2 > to) return this.waitForMore(final);
      if (!holdsSegment(block, at, to)) block = blockOfSegment(bytes, at, to);
      const index = at - block.at;
      const limit = to - block.at;
      const code = block.bytes[index + 1] as number;
      if (block.bytes[index] !== marker.fill) return this.#lose(at);
      if (code === marker.fill || code === marker.tem || isRestart(code)) {
        this.at += code === marker.fill ? 1 : 2;
        continue;
      }
      if (code === marker.soi || code === marker.eoi) return this.#endEarly(bytes, code, to, final);
      if (code >= marker.first && this.#segmentOpaque && !this.#closeSegment(bytes, block, at)) {
        return this.fail("another JPEG begins in its application data", "cut", true);
      }
      const end = segmentEnd(block.bytes, index, limit);
      if (end === more) return this.waitForMore(final);
      if (end === bad || (code === marker.sos && !this.#frameHeaderSeen)) return this.#lose(at + 2);
      const opaque = isOpaque(code);
      if (!opaque) this.#tableSeen = true;
      else if (!this.#applicationSeen) {
        const known = isKnown(block.bytes, index, limit);
        if (known === "more") return this.waitForMore(final);
        this.#applicationSeen = known === "yes";
      }
      // What was before it has kept its word.
      this.doubtful = false;
      this.#segmentAt = at;
      this.#segmentOpaque = opaque;
      this.began = this.#began;
      this.at = block.at + end;
      if (isFrameHeader(code) && !this.#meetFrameHeader(bytes, at)) return "none";
      if (code !== marker.sos) continue;
      // Its own segment has no sign of its end but its length.
      this.dataAt = at + 2;
      return "scan";
    }
  }

  /** An end or a start before the picture data. */
  #endEarly(bytes: PieceQueue, code: number, to: number, final: boolean): Step | "next" {
    if (code === marker.eoi) return this.#meetEnd(bytes, to, final);
    const glance = glanceJpeg(bytes, this.at, to, final);
    if (glance === "more") return "more";
    if (glance === "no") return this.#lose(this.at + 2);
    // SOI again, where a segment may be: if nothing was in between, the first was none.
    const began = this.#tableSeen || this.#hasThumbnail(bytes);
    return this.fail("the next JPEG begins before its picture data", "cut", began);
  }

  /** That of a thumbnail, if its APP data says two bytes too few. */
  #meetEnd(bytes: PieceQueue, to: number, final: boolean): Step | "next" {
    const behind = this.at + 2;
    const end = !this.#segmentOpaque ? bad : behind + 2 > to ? more : knownSegmentEnd(bytes, behind, to);
    if (end === more && !final) return this.waitForMore(false);
    if (end >= 0) return this.#lose(behind);
    return this.fail("it ends before its picture data", "damaged", this.#tableSeen || this.#hasThumbnail(bytes));
  }

  /** The APP data behind which it is may be longer than it is, or shorter. */
  #hasThumbnail(bytes: PieceQueue): boolean {
    return (
      this.#applicationSeen && this.#segmentOpaque && startsWithin(bytes, this.#segmentAt + 4, this.at, 1).length > 0
    );
  }

  /** False: it is not that of this picture. */
  #meetFrameHeader(bytes: PieceQueue, at: number): boolean {
    if (this.#innerStarts.some((start) => leadsTo(bytes, start, at))) {
      this.fail("another JPEG begins in its application data", "cut", this.#applicationSeen);
      return false;
    }
    if (this.#frameHeaderSeen) {
      this.fail("it has two frame headers", "damaged", true);
      return false;
    }
    this.#frameHeaderSeen = true;
    // From here on APP data has no thumbnails.
    this.#innerStarts = noStarts;
    return true;
  }

  /** APP data has ended, here where it says, or found again. False: it cannot have a start in it, and has. */
  #closeSegment(bytes: PieceQueue, block: Block, at: number): boolean {
    const from = this.#segmentAt + 2;
    // Mostly it is here, and without another FF.
    const plain =
      from >= block.at && indexOfByte(block.bytes, marker.fill, from - block.at, at - block.at) === at - block.at;
    if (!plain) {
      const room = innerStartsMax - this.#innerStarts.length;
      this.#innerStarts = [...this.#innerStarts, ...startsWithin(bytes, from, at + 1, room)];
    }
    if (this.#frameHeaderSeen && this.#innerStarts.length > 0) return false;
    this.#segmentOpaque = false;
    return true;
  }

  // ---- out of step

  /** There is no marker where one should be. */
  #lose(from: number): "next" {
    this.#phase = "lost";
    this.#lostAt = this.at;
    if (this.#segmentOpaque) this.falseClaim ??= { from: this.#segmentAt + 4, to: this.at };
    this.doubtful = true;
    this.at = from;
    return "next";
  }

  /** At `at` there is a good segment again. */
  #find(): "next" {
    this.#phase = "segments";
    this.notes |= Note.damagedHeader;
    return "next";
  }

  /** Looks for the next segment that is good in itself. */
  #walkLost(bytes: PieceQueue, to: number, final: boolean): Step | "scan" | "next" {
    const limit = this.#lostAt + (this.#began ? strayBytesMax : strayBytesFirst);
    for (;;) {
      const at = bytes.indexOf(marker.fill, this.at, Math.min(to, limit));
      this.at = at;
      if (at >= limit) return this.fail(`no marker at byte ${this.#lostAt}`, "damaged", this.#tableSeen);
      if (at + 2 > to) return this.waitForMore(final);
      const code = bytes.byteAt(at + 1);
      const end = knownSegmentEnd(bytes, at, to);
      if (end === more) return this.waitForMore(final);
      if (end !== bad && (code !== marker.sos || this.#frameHeaderSeen)) {
        // Another picture may be in what was skipped.
        const apart = this.skipped.length < skippedMax ? this.skipped : this.skipped.slice(0, -1);
        this.skipped = [...apart, { from: this.skipped[apart.length]?.from ?? this.#lostAt, to: at }];
        this.suspect = true;
        return this.#find();
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
      return this.fail("another JPEG begins before its picture data", "cut", this.#began);
    }
    this.at = Math.max(at, this.#lostAt + wrapBytes);
    this.#phase = "wrapped";
    return "next";
  }

  /** A length of 16 bits that wrapped is wrong by exactly so much. */
  #walkWrapped(bytes: PieceQueue, to: number, final: boolean): Step | "scan" | "next" {
    const { at } = this;
    if (at + 4 > to) return this.waitForMore(final);
    const code = bytes.byteAt(at + 1);
    const end = bytes.byteAt(at) === marker.fill ? knownSegmentEnd(bytes, at, to) : bad;
    if (end === more) return this.waitForMore(final);
    const starts = startsWithin(bytes, this.#segmentAt + 2, at, thumbnailsMax + 1).length;
    if (end !== bad && code !== marker.sos && starts <= thumbnailsMax) {
      return this.#find();
    }
    const wraps = (at - this.#lostAt) / wrapBytes;
    if (wraps >= wrapsMax) return this.fail("another JPEG begins in its application data", "cut", this.#began);
    this.at += wrapBytes;
    return "next";
  }

  // ---- when it is none

  get #began(): boolean {
    return this.#tableSeen || this.#applicationSeen;
  }

  protected waitForMore(final: boolean): Step {
    this.began = this.#began;
    return this.wait(final);
  }

  protected fail(detail: string, loss: "cut" | "damaged", began: boolean): "none" {
    this.began = began;
    return this.none(detail, loss);
  }
}
