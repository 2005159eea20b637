/**
 * Pictures that we cannot split: a signature, and no walk to their end. They are told as lost, so that nobody learns
 * from an empty directory that a camera also writes RAW.
 */
import { markedBytes } from "./byte-kinds.ts";
import type { PieceQueue } from "./piece-queue.ts";
import type { LossKind } from "./split.ts";
import { BasicWalk, type Glance, type Pattern, type Step } from "./walk.ts";

interface Signature {
  readonly name: string;
  /** Characters of one byte; `?` may be anything. */
  readonly text: string;
}

const signatures: readonly Signature[] = [
  { name: "WebP", text: "RIFF????WEBPVP8" },
  ...["heic", "heix", "hevc", "heim", "heis", "mif1", "msf1", "avif", "avis", "crx "].map((brand) => {
    return { name: brand === "crx " ? "RAW" : "HEIF or AVIF", text: `????ftyp${brand}` };
  }),
  { name: "TIFF or RAW", text: "II*\0???\0" },
  { name: "TIFF or RAW", text: "MM\0*\0???" },
  { name: "TIFF", text: "II+\0\x08\0\0\0" },
  { name: "TIFF", text: "MM\0+\0\x08\0\0" },
  ...["IIRO", "IIRS", "MMOR", "IIU\0", "FUJIFILMCCD-RAW", "FOVb"].map((text) => ({ name: "RAW", text })),
  { name: "JPEG 2000", text: "\0\0\0\x0cjP  \r\n\x87\n" },
  { name: "JPEG 2000", text: "\xff\x4f\xff\x51\0" },
  { name: "JPEG XL", text: "\0\0\0\x0cJXL \r\n\x87\n" },
  { name: "GIF", text: "GIF87a" },
  { name: "GIF", text: "GIF89a" },
  { name: "PSD", text: "8BPS\0\x01\0\0" },
  { name: "OpenEXR", text: "v/1\x01" },
  { name: "DPX", text: "SDPX\0\0" },
  { name: "DPX", text: "XPDS??\0\0" },
  { name: "FITS", text: "SIMPLE  =" },
  { name: "QOI", text: "qoif" },
  { name: "Sun raster", text: "\x59\xa6\x6a\x95" },
  ...["\x01\xda\0\x01\0", "\x01\xda\x01\x01\0"].map((text) => ({ name: "SGI", text })),
  { name: "PCX", text: "\n\x05\x01\x08" },
  { name: "MNG", text: "\x8aMNG\r\n\x1a\n" },
  { name: "JNG", text: "\x8bJNG\r\n\x1a\n" },
  { name: "BPG", text: "BPG\xfb" },
  ...["P1\n", "P2\n", "P3\n", "P4\n"].map((text) => ({ name: "PNM of another kind", text })),
  { name: "PAM", text: "P7\nWIDTH" },
  { name: "PFM", text: "PF\n" },
  { name: "PFM", text: "Pf\n" },
  { name: "PHM", text: "PH\n" },
];
const unknown = "?".charCodeAt(0);

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

const known = signatures.map(({ name, text }) => {
  const bytes = bytesOf(text);
  return { name, bytes, keyAt: bytes.findIndex((byte) => byte !== unknown) };
});
/** Whether some signature has this as its key: most places are none at a glance. */
const keys = [0, 4].map((keyAt) =>
  markedBytes(...known.filter((each) => each.keyAt === keyAt).map(({ bytes }) => bytes[keyAt] as number)),
) as [Uint8Array, Uint8Array];
/** These are looked for in any data. The others count only where a picture may begin. */
const patterns: readonly Pattern[] = [
  { bytes: bytesOf("WEBPVP8"), offset: 8 },
  { bytes: bytesOf("ftyp"), offset: 4 },
];

export class ForeignWalk extends BasicWalk {
  name = "picture";
  readonly extension = "raw";
  override loss: LossKind = "foreign";
  readonly patterns: readonly Pattern[] = patterns;

  override begin(at: number): void {
    super.begin(at);
    this.loss = "foreign";
  }

  another(): ForeignWalk {
    return new ForeignWalk();
  }

  glance(bytes: PieceQueue, at: number, to: number, final: boolean): Glance {
    const found = find(bytes, at, to);
    if (found === "more") return final ? "no" : "more";
    return found === "no" ? "no" : "yes";
  }

  advance(bytes: PieceQueue, to: number, final: boolean): Step {
    const found = find(bytes, this.at, to);
    if (found === "more") return final ? this.none("no signature", "foreign") : "more";
    if (found === "no") {
      this.resumeAt = this.at + 1;
      return this.none("no signature", "foreign");
    }
    this.name = found.name;
    this.began = true;
    this.resumeAt = this.at + found.bytes.length;
    this.detail = "a format that cannot be split";
    return "foreign";
  }
}

function find(bytes: PieceQueue, at: number, to: number): (typeof known)[number] | "no" | "more" {
  const later = at + 4;
  if (at < to && keys[0][bytes.byteAt(at)] === 0 && later < to && keys[1][bytes.byteAt(later)] === 0) return "no";
  let answer: "no" | "more" = "no";
  for (const signature of known) {
    const key = at + signature.keyAt;
    if (key < to && bytes.byteAt(key) !== signature.bytes[signature.keyAt]) continue;
    const length = Math.min(signature.bytes.length, to - at);
    let same = true;
    for (let index = 0; same && index < length; index++) {
      const byte = signature.bytes[index];
      same = byte === unknown || byte === bytes.byteAt(at + index);
    }
    if (same && length === signature.bytes.length) return signature;
    if (same) answer = "more";
  }
  return answer;
}
