/** Capture times of files, and what EXIF says of them: what is listed of a file besides its name and size. */
import type { FrameEntry } from "../../frame.ts";
import { type Captured, isCapturedNs } from "../captured.ts";
import { exifMetadata, type ExifTime, exifTimeNs } from "../exif.ts";
import { Remarks } from "../remarks.ts";
import { readableName } from "./escaped-names.ts";
import type { FrameFiles } from "./frame-files.ts";

export class CaptureTimes {
  readonly #captured: Captured;
  readonly #remarks: Remarks;

  constructor(files: FrameFiles) {
    const { captured } = files;
    this.#captured = captured;
    this.#remarks = new Remarks(({ detail: name, count, total }) => {
      const what = captured.kind === "exif" ? "no EXIF time in it" : "no time in its name";
      const detail = `${what}: the time of its last change is taken`;
      files.report(name, "noted", total === 1 ? detail : `${total} times by now, ${count} since the last: ${detail}`);
    });
  }

  /** `entry` as it was found, with the time of its last change. */
  listed(entry: FrameEntry, exif: ExifTime | undefined): FrameEntry {
    const capturedNs = this.#ownTime(entry.name, exif) ?? entry.capturedNs;
    if (exif !== undefined) return { ...entry, capturedNs, metadata: exifMetadata(exif) };
    return capturedNs === entry.capturedNs ? entry : { ...entry, capturedNs };
  }

  /** Says what was only counted. */
  close(): void {
    this.#remarks.end();
  }

  #ownTime(name: string, exif: ExifTime | undefined): bigint | undefined {
    const captured = this.#captured;
    if (captured.kind !== "exif" && captured.kind !== "name") return undefined;
    const ns = captured.kind === "name" ? captured.pattern.timeIn(readableName(name)) : exif && exifTimeNs(exif);
    if (ns !== undefined && isCapturedNs(ns)) return ns;
    this.#remarks.add("untimed", 0, () => name);
    return undefined;
  }
}
