/** What devices with a quota have, counted as KEEPING.md says. */
import { rowBytes } from "../../limits.ts";
import type { Catalogue, CatalogueBatch } from "./catalogue.ts";

export class DeviceSizes {
  /** Of those that were asked for: no more than have grants. */
  readonly #bytes = new Map<string, number>();

  /** The catalogue is read once for each device. Throws what it throws. */
  bytesOf(device: string, { kept }: Catalogue): number {
    let bytes = this.#bytes.get(device);
    if (bytes === undefined) {
      const holding = kept.holdingOf(device);
      bytes = holding.bytes + (holding.frames + holding.gaps) * rowBytes;
      this.#bytes.set(device, bytes);
    }
    return bytes;
  }

  recorded({ frames, gaps }: CatalogueBatch): void {
    for (const { frame, replaces } of frames) if (replaces !== true) this.#add(frame.origin.device, frame.bytes);
    for (const { origin } of gaps) this.#add(origin.device, 0);
  }

  #add(device: string, bytes: number): void {
    const before = this.#bytes.get(device);
    if (before !== undefined) this.#bytes.set(device, before + bytes + rowBytes);
  }

  /** The catalogue may be another. */
  forget(): void {
    this.#bytes.clear();
  }
}
