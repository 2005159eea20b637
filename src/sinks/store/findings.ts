/** What `--verify` finds, of whatever is verified. */
import type { GapReason, Origin, SourceTotals } from "../../frame.ts";

export interface FoundFrame {
  readonly device: string;
  readonly source: string;
  readonly name: string;
  /** Below the destination. */
  readonly path: string;
}

export type Finding =
  /** In the catalogue, not on the disk. */
  | ({ readonly kind: "missing" } & FoundFrame)
  /** On the disk with other bytes than the catalogue says, which is `bytes` and `crc32`; `detail` is for a person. */
  | ({ readonly kind: "changed"; readonly detail: string; readonly bytes: number; readonly crc32: number } & FoundFrame)
  /** On the disk, not in the catalogue. */
  | { readonly kind: "unknown"; readonly path: string }
  /** Not a difference: on the disk, named by a commit that was cut off. Its sender was not told that it is stored. */
  | { readonly kind: "unconfirmed"; readonly path: string }
  /** An archive that cannot be read from a place on, behind which it goes on. */
  | { readonly kind: "damaged"; readonly path: string; readonly detail: string }
  /** Frames that never came, and did not come later under the same name either. */
  | {
      readonly kind: "gap";
      readonly device: string;
      readonly source: string;
      readonly name: string;
      readonly firstSequence: number;
      readonly count: number;
      readonly reason: GapReason;
      readonly detail: string;
    }
  /** Numbers of a session that has ended, of which the catalogue does not say what became of them. */
  | {
      readonly kind: "unaccounted";
      readonly device: string;
      readonly source: string;
      readonly session: string;
      readonly firstSequence: number;
      readonly count: number;
    }
  /** Numbers that a session stored, of which the catalogue has no frame any more; nor has it been removed by us. */
  | {
      readonly kind: "unrecorded";
      readonly device: string;
      readonly source: string;
      readonly session: string;
      readonly firstSequence: number;
      readonly count: number;
    }
  /** Frames of a session of which the catalogue has no account any more. */
  | {
      readonly kind: "no-account";
      readonly device: string;
      readonly source: string;
      readonly session: string;
      readonly frames: number;
    }
  /** What the sender said at the end is not what became of its numbers. */
  | {
      readonly kind: "totals-differ";
      readonly device: string;
      readonly source: string;
      readonly session: string;
      readonly claimed: SourceTotals;
      readonly found: SourceTotals;
    }
  /** Not a difference: the catalogue was made anew from the files, and what did not arrive before is not known. */
  | {
      readonly kind: "account-lost";
      readonly device: string;
      readonly source: string;
      readonly session: string;
      readonly frames: number;
    }
  /** Not a difference: a source's latest session has not said that it is over. */
  | { readonly kind: "unended"; readonly device: string; readonly source: string; readonly session: string };

/** What is stored of one source of one device. */
export interface SourceReport {
  readonly device: string;
  readonly source: string;
  frames: number;
  bytes: number;
  /** Under a numbered name. */
  conflicts: number;
  /** Stored as they came, and noted: their pictures end before their end. */
  incomplete: number;
  missing: number;
  changed: number;
  /** Frames, not rows of gaps. */
  gapFrames: number;
  /** Numbers of its ended sessions without an outcome, and frames of sessions without an account. */
  unaccounted: number;
  /** Numbers that were stored and whose frames the catalogue does not have. */
  unrecorded: number;
  /** Sessions of which sender and receiver do not share the totals. */
  differing: number;
  /** Sessions of which nobody knows any more what did not arrive. */
  lostAccounts: number;
  /** Its latest session has said that it is over. */
  ended: boolean;
}

export interface VerifyReport {
  readonly sources: readonly SourceReport[];
  /** Frames in the catalogue, and their bytes. */
  readonly frames: number;
  readonly bytes: number;
  readonly missing: number;
  readonly changed: number;
  readonly unknown: number;
  readonly unconfirmed: number;
  /** Archives. */
  readonly damaged: number;
  readonly gapFrames: number;
  readonly unaccounted: number;
  readonly unrecorded: number;
  readonly differing: number;
  readonly lostAccounts: number;
  /** The account holds, and there is no gap. */
  readonly clean: boolean;
}

/** What is found of each source, in the order in which they are met. */
export class SourceReports {
  readonly #bySource = new Map<string, SourceReport>();

  get all(): readonly SourceReport[] {
    return [...this.#bySource.values()];
  }

  of(named: Pick<Origin, "device" | "source">): SourceReport {
    const key = sourceKey(named);
    let report = this.#bySource.get(key);
    if (report === undefined) this.#bySource.set(key, (report = newSourceReport(named)));
    return report;
  }
}

/** A source of a device, in whatever session. */
export function sourceKey({ device, source }: Pick<Origin, "device" | "source">): string {
  return `${device}\0${source}`;
}

/** A frame's own name, whatever it is stored under. */
export function nameKey(origin: Origin, name: string): string {
  return `${sourceKey(origin)}\0${name}`;
}

function newSourceReport({ device, source }: Pick<Origin, "device" | "source">): SourceReport {
  const none = { frames: 0, bytes: 0, conflicts: 0, incomplete: 0, missing: 0, changed: 0, gapFrames: 0 };
  return { device, source, ...none, unaccounted: 0, unrecorded: 0, differing: 0, lostAccounts: 0, ended: false };
}

/** `unknown`: what is there and is no frame that is known; `unconfirmed`: files of commits that were cut off. */
export function reportOf(
  sources: readonly SourceReport[],
  unknown: number,
  { unconfirmed = 0, damaged = 0 }: { readonly unconfirmed?: number; readonly damaged?: number } = {},
): VerifyReport {
  const sum = (count: (source: SourceReport) => number): number =>
    sources.reduce((total, source) => total + count(source), 0);
  const missing = sum((source) => source.missing);
  const changed = sum((source) => source.changed);
  const gapFrames = sum((source) => source.gapFrames);
  const unaccounted = sum((source) => source.unaccounted);
  const unrecorded = sum((source) => source.unrecorded);
  const differing = sum((source) => source.differing);
  const lostAccounts = sum((source) => source.lostAccounts);
  const differences = missing + changed + unknown + damaged + unaccounted + unrecorded + differing;
  return {
    sources,
    frames: sum((source) => source.frames),
    bytes: sum((source) => source.bytes),
    missing,
    changed,
    unknown,
    unconfirmed,
    damaged,
    gapFrames,
    unaccounted,
    unrecorded,
    differing,
    lostAccounts,
    clean: differences + gapFrames + lostAccounts === 0,
  };
}
