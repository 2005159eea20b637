/** `/dev/null`: takes every frame, keeps none. For measuring everything but the disk. */
import type { FrameEntry, Origin, Verdict } from "../../frame.ts";
import type { Draft, Result, StagedItem, Store } from "../store/store.ts";

export class NullStore implements Store {
  readonly place = "/dev/null";
  readonly traits = { forgets: true, keepsNothing: true } as const;

  lookup(_origin: Origin, entries: readonly FrameEntry[]): Verdict[] {
    return entries.map(() => ({ kind: "want" }));
  }

  begin(): Draft {
    return new Discarded();
  }

  commit(items: readonly StagedItem[]): Result[] {
    return items.map(({ kind }) => (kind === "frame" ? "stored" : "recorded"));
  }

  check(): undefined {
    return undefined;
  }

  recover(): void {}

  close(): void {}
}

class Discarded implements Draft {
  bytes = 0;

  write(view: Uint8Array): void {
    this.bytes += view.byteLength;
  }

  discard(): void {}
}
