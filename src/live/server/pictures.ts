/**
 * The newest picture of each source, as the page's process has it, and what it asks of the process that stores: the
 * next frame of a source is wanted only while a viewer waits for one, and for thumbnails twice a second at most.
 */
import { MiB } from "../../limits.ts";
import { formatTime } from "../../times.ts";
import type { FrameFacts, Picture, PictureSize, SourceKey } from "../page-api.ts";
import { type PictureKind, pictureKindOf } from "../picture-kind.ts";

/** Between two thumbnails of a source. */
export const thumbnailMs = 500;
/** Of frames that are held in full; those that nobody has asked for longest go. */
const heldBytesMax: number = 128 * MiB;
/** Of sources that are held: as many as there can be figures of, and those of the catalogue. */
const sourcesMax = 4096;

/** A picture, ready to be sent. */
export interface Ready {
  readonly serial: number;
  /** The binary message of HTTP.md. */
  readonly message: Uint8Array;
}

/** A frame; `bytes` undefined: it is too large to be shown. */
export interface HeldFrame {
  readonly facts: FrameFacts;
  readonly serial: number;
  readonly bytes: Uint8Array | undefined;
}

interface Source {
  frame: HeldFrame | undefined;
  full: Ready | undefined;
  thumbnail: Ready | undefined;
  /** The next frame was asked for. */
  asked: boolean;
  /** Somebody waits for a thumbnail of another frame. */
  thumbnailWanted: boolean;
  thumbnailAtMs: number;
  making: boolean;
}

export interface PicturesOptions {
  readonly nowMs: () => number;
  readonly wallNs: () => bigint;
  readonly after: (ms: number, run: () => void) => void;
  /** Asks for the next frame, or the next two. */
  readonly ask: (key: SourceKey, frames: 1 | 2) => void;
  /** What is stored of a source that has sent nothing since the start. */
  readonly stored: (key: SourceKey) => Promise<HeldFrame | undefined>;
  readonly thumbnailOf: (bytes: Uint8Array) => Promise<Uint8Array | undefined>;
  readonly onReady: (key: SourceKey, size: PictureSize) => void;
}

export class Pictures {
  readonly #options: PicturesOptions;
  /** Those that were asked for last come last. */
  readonly #sources = new Map<SourceKey, Source>();
  #heldBytes = 0;

  constructor(options: PicturesOptions) {
    this.#options = options;
  }

  frameOf(key: SourceKey): HeldFrame | undefined {
    return this.#sources.get(key)?.frame;
  }

  ready(key: SourceKey, size: PictureSize): Ready | undefined {
    const source = this.#sources.get(key);
    if (source === undefined || size === "thumbnail") return source?.thumbnail;
    if (source.full === undefined && source.frame !== undefined) source.full = this.#readyFull(source.frame);
    return source.full;
  }

  /** Somebody waits for a newer picture than there is. */
  want(key: SourceKey, size: PictureSize): void {
    const source = this.#sourceOf(key);
    // Whoever sees each frame does not wait until another one is asked for.
    if (size === "full") return this.#ask(key, source, 2);
    if (source.thumbnailWanted) return;
    source.thumbnailWanted = true;
    this.#thumbnailSoon(key, source);
  }

  /** When it is due: of the frame that there is, if that is another one, else of the next. */
  #thumbnailSoon(key: SourceKey, source: Source): void {
    const waitMs = source.thumbnailAtMs + thumbnailMs - this.#options.nowMs();
    if (waitMs > 0) return this.#options.after(waitMs, () => this.#thumbnailSoon(key, source));
    const { frame, thumbnail } = source;
    if (frame === undefined || frame.serial === thumbnail?.serial) this.#ask(key, source, 1);
    else void this.#makeThumbnail(key, source);
  }

  /** A frame came that was asked for. */
  enter(frame: HeldFrame): void {
    const source = this.#sourceOf(frame.facts.key);
    source.asked = false;
    this.#enter(source, frame);
  }

  #enter(source: Source, frame: HeldFrame): void {
    const { key } = frame.facts;
    this.#hold(source, frame);
    this.#options.onReady(key, "full");
    const isDue = this.#options.nowMs() >= source.thumbnailAtMs + thumbnailMs;
    if (source.thumbnailWanted && isDue) void this.#makeThumbnail(key, source);
  }

  #sourceOf(key: SourceKey): Source {
    let source = this.#sources.get(key);
    if (source !== undefined) {
      this.#sources.delete(key);
      this.#sources.set(key, source);
      return source;
    }
    source = {
      frame: undefined,
      full: undefined,
      thumbnail: undefined,
      asked: false,
      thumbnailWanted: false,
      thumbnailAtMs: Number.NEGATIVE_INFINITY,
      making: false,
    };
    this.#sources.set(key, source);
    for (const oldest of this.#sources.keys().take(Math.max(0, this.#sources.size - sourcesMax))) this.#drop(oldest);
    void this.#load(key, source);
    return source;
  }

  async #load(key: SourceKey, source: Source): Promise<void> {
    const stored = await this.#options.stored(key);
    // A newer one may have come meanwhile.
    if (stored !== undefined && source.frame === undefined && this.#sources.get(key) === source)
      this.#enter(source, stored);
  }

  #ask(key: SourceKey, source: Source, frames: 1 | 2): void {
    if (source.asked) return;
    source.asked = true;
    this.#options.ask(key, frames);
  }

  #hold(source: Source, frame: HeldFrame): void {
    this.#heldBytes += (frame.bytes?.length ?? 0) - (source.frame?.bytes?.length ?? 0);
    source.frame = frame;
    source.full = undefined;
    for (const [oldest, other] of this.#sources) {
      if (this.#heldBytes <= heldBytesMax) break;
      if (other !== source) this.#drop(oldest);
    }
  }

  #drop(key: SourceKey): void {
    this.#heldBytes -= this.#sources.get(key)?.frame?.bytes?.length ?? 0;
    this.#sources.delete(key);
  }

  async #makeThumbnail(key: SourceKey, source: Source): Promise<void> {
    const { frame } = source;
    if (source.making || frame === undefined) return;
    source.making = true;
    source.thumbnailAtMs = this.#options.nowMs();
    const small = frame.bytes === undefined ? undefined : await this.#options.thumbnailOf(frame.bytes);
    source.making = false;
    source.thumbnailWanted = false;
    source.thumbnail = this.#readyThumbnail(frame, small);
    this.#options.onReady(key, "thumbnail");
  }

  #readyThumbnail(frame: HeldFrame, small: Uint8Array | undefined): Ready {
    if (frame.bytes === undefined) return this.#ready(frame, { ...tooLarge(frame), size: "thumbnail" });
    const kind = pictureKindOf(frame.bytes);
    if (small === undefined) {
      const text = kind.text ?? "it cannot be decoded";
      return this.#ready(frame, { ...kind, shown: "none", mediaType: "", text, size: "thumbnail" });
    }
    return this.#ready(frame, { ...kind, shown: "image", mediaType: "image/jpeg", size: "thumbnail" }, small);
  }

  #readyFull(frame: HeldFrame): Ready {
    const { bytes } = frame;
    const kind = bytes === undefined ? tooLarge(frame) : pictureKindOf(bytes);
    return this.#ready(frame, { ...kind, size: "full" }, bytes);
  }

  #ready(
    { facts, serial }: HeldFrame,
    kind: Omit<Picture, keyof FrameFacts | "serial" | "sent">,
    bytes: Uint8Array = nothing,
  ): Ready {
    const head: Picture = { ...facts, ...kind, serial, sent: formatTime(this.#options.wallNs()) };
    const json = Buffer.from(JSON.stringify(head));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(json.length);
    return { serial, message: Buffer.concat([length, json, bytes]) };
  }
}

function tooLarge({ facts: { bytes } }: HeldFrame): PictureKind {
  const text = `a frame of ${bytes} bytes, which is too large to be shown`;
  return { format: "unknown", shown: "none", mediaType: "", text };
}

const nothing = new Uint8Array(0);
