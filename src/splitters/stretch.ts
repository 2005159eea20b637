/**
 * What lies between two frames: padding that nobody misses, or garbage. It is looked at as it goes by and not kept,
 * because a camera driver may pad each frame to megabytes.
 *
 * Padding is zeros, white space, `FF` and `D9` (fill bytes and a doubled end of image) and, behind `--`, the text that
 * multipart streams put between images: boundary and header lines.
 */

/** The boundary may have 70 characters, and cameras send three or four short header lines. */
const partHeadBytesMax = 1024;
/** Enough to recognise a format or to read the beginning of an error message. */
const shownBytes = 24;

const hyphen = 0x2d;
const tilde = 0x7e;

export class Gap {
  #plain = true;
  #textBytes = 0;
  #shown: number[] = [];

  /** Nothing in it would be missed. */
  get plain(): boolean {
    return this.#plain;
  }

  add(view: Uint8Array): void {
    for (let index = 0; this.#shown.length < shownBytes && index < view.length; index++) {
      this.#shown.push(view[index] as number);
    }
    for (let index = 0; this.#plain && index < view.length; index++) this.#plain = this.#mayHold(view[index] as number);
  }

  /** Its first bytes, as text if they are. */
  beginning(): string {
    const text = this.#shown.every((byte) => isPrintable(byte) || isBlank(byte));
    return text
      ? JSON.stringify(String.fromCharCode(...this.#shown))
      : this.#shown.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  }

  #mayHold(byte: number): boolean {
    if (isBlank(byte) || byte === 0 || byte === 0xff || byte === 0xd9) return true;
    if (!isPrintable(byte) || (this.#textBytes < 2 && byte !== hyphen)) return false;
    this.#textBytes++;
    return this.#textBytes <= partHeadBytesMax;
  }
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

function isPrintable(byte: number): boolean {
  return byte > 0x20 && byte <= tilde;
}
