/** Entropy-coded data of a JPEG. */
import type { PieceQueue } from "./piece-queue.ts";

/** The next marker in entropy-coded data that is more than data; or the last byte, if that is its beginning. */
export function nextMarker(bytes: PieceQueue, from: number, to: number): number {
  let at = from;
  while (at < to) {
    const block = bytes.blockAt(at);
    const view = block.bytes;
    // The code may be in the next piece.
    const last = Math.min(view.length, to - block.at) - 1;
    let index = view.indexOf(0xff, at - block.at);
    while (index !== -1 && index < last) {
      const code = view[index + 1] as number;
      if (code === 0xff) index += 1;
      else if (isData(code)) index = view.indexOf(0xff, index + 2);
      else return block.at + index;
    }
    if (index !== last) at = block.at + last + 1;
    else {
      at = block.at + index;
      if (at + 1 >= to) return at;
      const code = bytes.byteAt(at + 1);
      if (code !== 0xff && !isData(code)) return at;
      at += code === 0xff ? 1 : 2;
    }
  }
  return at;
}

function isData(code: number): boolean {
  return code === 0 || (code & 0xf8) === 0xd0;
}
