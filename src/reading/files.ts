/** Frames as bytes: back to back, or as members of a tar archive. */
import { BackToBack } from "../back-to-back.ts";
import { frameFacts, newArchiveId } from "../archive-formats/tar/facts.ts";
import { encodeHead, endBytes, paddingBytes } from "../archive-formats/tar/format.ts";
import type { StoredRow } from "../sinks/directory/frame-query.ts";
import type { FileProblem } from "../sinks/directory/stored-file.ts";
import type { Form, Output, Taken } from "./form.ts";
import type { FrameBytes, SoundFrame } from "./frame-bytes.ts";

const zeros = new Uint8Array(endBytes);

type Trouble = { readonly frame: StoredRow; readonly problem: FileProblem } | undefined;

export class FrameStream implements Form {
  readonly #bytes: FrameBytes;
  readonly #output: Output;
  readonly #stream = new BackToBack();

  constructor(bytes: FrameBytes, output: Output) {
    this.#bytes = bytes;
    this.#output = output;
  }

  async put([frame]: Taken): Promise<Trouble> {
    let misfit: FileProblem | undefined;
    const problem = await this.#bytes.with(frame, async (sound) => {
      if (this.#stream.fits(sound.start)) await this.#give(sound);
      else misfit = "does not fit the stream, which began with a frame of another format or size";
    });
    return toTrouble(frame, problem ?? misfit);
  }

  async #give(sound: SoundFrame): Promise<void> {
    let first = true;
    for (const piece of sound.pieces()) {
      await this.#output(first ? this.#stream.begin(piece) : piece);
      first = false;
    }
  }

  async end(): Promise<void> {
    // Frames say themselves where they end.
  }
}

export class TarArchive implements Form {
  readonly #bytes: FrameBytes;
  readonly #output: Output;
  /** All of it is one group: nothing of it is known to be on a disk before its end. */
  readonly #group = { group: 0, archive: newArchiveId() };
  readonly #remark: () => string;

  constructor(bytes: FrameBytes, output: Output, remark: () => string = () => "") {
    this.#bytes = bytes;
    this.#output = output;
    this.#remark = remark;
  }

  async put(taken: Taken): Promise<Trouble> {
    // Of a pair both have to be sound before one is given out.
    const looks = taken.length === 1 ? [] : taken.map((frame) => [frame, async () => {}] as const);
    const gifts = taken.map((frame) => [frame, (sound: SoundFrame) => this.#give(frame, sound)] as const);
    for (const [frame, use] of [...looks, ...gifts]) {
      const trouble = toTrouble(frame, await this.#bytes.with(frame, use));
      if (trouble !== undefined) return trouble;
    }
    return undefined;
  }

  async #give(row: StoredRow, sound: SoundFrame): Promise<void> {
    const { device, source, session, sequence, name, bytes, crc32, timeNs, receivedNs, path, number } = row;
    const frame = { origin: { device, source, session }, sequence, name, bytes, capturedNs: timeNs };
    const comment = frameFacts({ frame, crc32, receivedNs }, number, this.#group);
    await this.#output(encodeHead({ path, bytes, modifiedNs: timeNs, comment }));
    for (const piece of sound.pieces()) await this.#output(piece);
    await this.#output(zeros.subarray(0, paddingBytes(bytes)));
  }

  async end(): Promise<void> {
    const text = Buffer.from(this.#remark());
    if (text.length > 0) {
      const head = { path: remarkPath, bytes: text.length, modifiedNs: 0n, comment: "" };
      await this.#output(Buffer.concat([encodeHead(head), text, zeros.subarray(0, paddingBytes(text.length))]));
    }
    await this.#output(zeros);
  }
}

const remarkPath = "LEFT-OUT.txt";

function toTrouble(frame: StoredRow, problem: FileProblem | undefined): Trouble {
  return problem === undefined ? undefined : { frame, problem };
}
