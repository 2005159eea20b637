/**
 * Frames one behind the other as one stream that a player reads. JPEG, PNG and raw frames go out as they are. Every y4m
 * frame is a file of its own, with a stream header; of these only the first one is written, so that together they are
 * one y4m stream. The first frame says what the stream is: in a y4m stream any other frame, or one with another header,
 * does not fit, and in any other stream a y4m frame does not, for a player that read on would show garbage.
 */
import { startsWith, y4mStart } from "./image-format.ts";

const newline = 0x0a;

/** What the first frame makes of the stream: y4m with this header, or anything else. */
export interface StreamFormat {
  readonly y4mHeader: string | undefined;
}

export class BackToBack {
  /** Undefined until the first frame. */
  format: StreamFormat | undefined;

  /** Whether a frame that begins with `start` may follow. */
  fits(start: Uint8Array): boolean {
    if (start.length === 0 || this.format === undefined) return true;
    return y4mHeaderOf(start) === this.format.y4mHeader;
  }

  /** Of a frame that fits and begins with `piece`, only what the stream has not had yet. */
  begin(piece: Uint8Array): Uint8Array {
    const y4mHeader = y4mHeaderOf(piece);
    if (this.format !== undefined && y4mHeader !== undefined) return piece.subarray(y4mHeader.length + 1);
    this.format ??= { y4mHeader };
    return piece;
  }
}

/** The first line of a y4m frame, which is ASCII; undefined for any other. */
function y4mHeaderOf(start: Uint8Array): string | undefined {
  if (!startsWith(start, y4mStart)) return undefined;
  const text = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  const end = text.indexOf(newline);
  return end === -1 ? undefined : text.toString("latin1", 0, end);
}
