/** The notes of a frame (`Note`), the lowest bit first: in the catalogue and events as words, and for a person. */

const notes: readonly (readonly [word: string, text: string])[] = [
  ["incomplete", "the rest of its picture missing"],
  ["damaged-header", "a damaged header"],
  ["no-end-marker", "no end marker"],
  ["wrong-checksum", "a wrong checksum"],
  ["unproven-length", "a length that only its header tells"],
];

/** A bit that has no word here, of a newer sender, is told by its position. */
export function noteWords(bits: number): string[] {
  return bitsOf(bits).map((bit) => notes[bit]?.[0] ?? `note-${bit}`);
}

/** The bits that these words stand for. */
export function noteBits(words: readonly string[]): number {
  return words.reduce((bits, word) => {
    const known = notes.findIndex(([each]) => each === word);
    const bit = known >= 0 ? known : Number(/^note-(\d{1,2})$/.exec(word)?.[1] ?? 16);
    return bit < 16 ? bits | (1 << bit) : bits;
  }, 0);
}

export function describeNotes(bits: number): string {
  const texts = bitsOf(bits).map((bit) => notes[bit]?.[1] ?? "a remark that this version does not know");
  return `stored as it came, with ${texts.join(" and ")}`;
}

/** The wire has 16. */
function bitsOf(bits: number): number[] {
  return Array.from({ length: 16 }, (_, bit) => bit).filter((bit) => (bits & (1 << bit)) !== 0);
}
