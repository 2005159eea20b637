/**
 * What became of every byte so far, as it is handed out: frames, and the stretches between them.
 *
 *     handed out | the stretch at hand | ...
 *                ^ reportedTo
 *
 * A stretch is told once, when its end is known; only an endless one is told in parts, each twice as long, so that a
 * person whose stream is no such stream is told.
 */
import { MiB } from "../limits.ts";
import type { PieceQueue } from "./piece-queue.ts";
import type { LossKind, Split, SplitFrame, StretchKind } from "./split.ts";
import { Stretch } from "./stretch.ts";

const stretchBytesFirst: number = MiB;

interface Loss {
  readonly of: LossKind;
  readonly detail: string;
}

export class Account {
  readonly #out: Split[] = [];
  #reportedTo = 0;
  #stretch = new Stretch();
  #loss: Loss | undefined;
  /** A part of it was told as a loss. */
  #lossTold = false;
  #stretchBytesMax = stretchBytesFirst;

  /** Everything before it was handed out. */
  get reportedTo(): number {
    return this.#reportedTo;
  }

  /** The stretch at hand is nothing but padding: a picture of any format may begin behind it. */
  get plain(): boolean {
    return this.#stretch.plain && this.#loss === undefined;
  }

  get lost(): boolean {
    return this.#loss !== undefined;
  }

  take(): Split | undefined {
    return this.#out.length > 1 ? this.#out.shift() : this.#out.pop();
  }

  /** No frame is in what lies from `from` to `to`. `isHead`: with it the stretch at hand is the head of a part. */
  skip(bytes: PieceQueue, from: number, to: number, isHead: boolean): void {
    if (from === to) return;
    if (isHead) this.#stretch.addHead(from, to);
    else this.#stretch.add(bytes, from, to);
    if (to - this.#reportedTo < this.#stretchBytesMax || this.#loss?.of === "too-large") return;
    this.#tell(to);
    this.#stretchBytesMax *= 2;
    this.#stretch = new Stretch();
  }

  /** A picture begins at `at`, and is none that can be handed out. */
  beginLoss(at: number, of: LossKind, detail: string): void {
    this.close(at);
    this.#loss = { of, detail };
  }

  frame(at: number, frame: SplitFrame, end: number): void {
    this.close(at);
    this.#out.push(frame);
    this.#reportedTo = end;
    this.#stretchBytesMax = stretchBytesFirst;
  }

  /** The stretch at hand ends. */
  close(at: number): void {
    if (at === this.#reportedTo && this.#loss === undefined) return;
    this.#tell(at);
    this.#loss = undefined;
    this.#lossTold = false;
    this.#stretch = new Stretch();
  }

  #tell(to: number): void {
    const at = this.#reportedTo;
    if (to === at) return;
    this.#reportedTo = to;
    const common = { kind: "stretch", at, bytes: to - at } as const;
    const [loss, stretch] = [this.#loss, this.#stretch];
    if (loss === undefined) {
      const of = stretch.kind;
      this.#out.push({ ...common, of, loss: false, describe: () => describe(of, at, stretch) });
      return;
    }
    const detail = this.#lossTold ? `more of ${loss.detail}` : loss.detail;
    this.#out.push({ ...common, of: loss.of, loss: !this.#lossTold, describe: () => detail });
    this.#lossTold = true;
  }
}

function describe(of: StretchKind, at: number, stretch: Stretch): string {
  if (of === "padding") return "padding between pictures";
  if (of === "multipart") return "multipart text between pictures";
  return `no picture begins in what is at byte ${at}: ${stretch.beginning()}`;
}
