/** The memory of a frame of a stream: views of the pieces in which the stream came. */

/**
 * Gives it back to the system, as far as it is that of no other frame: a piece that is a whole buffer. The first may be
 * a header that others have as well.
 */
export function giveBack(pieces: readonly Uint8Array[]): void {
  for (const { buffer, byteLength } of pieces.slice(1)) {
    if (byteLength === buffer.byteLength) (buffer as ArrayBuffer).transfer(0);
  }
}
