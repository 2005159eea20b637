/** Real sets of archives, whose clock goes on by twenty minutes whenever it is asked, or as a test sets it. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Sink } from "../../../src/ports.ts";
import { McapPlace, type McapOptions } from "../mcap/mcap-place.ts";
import { type Meddle, type TarOptions, TarPlace } from "../tar/tar-place.ts";

export const startMs: number = Date.UTC(2025, 10, 26, 23, 30);

/** So that nearly every group goes into an archive of its own. */
export const hasteMs: number = 20 * 60_000;

export class SetClock {
  wallMs: number = startMs;
  nowMsNow = 0;
  readonly hasteMs: number;

  constructor(haste: number) {
    this.hasteMs = haste;
  }

  nowMs(): number {
    return (this.nowMsNow += 1000);
  }

  wallNs(): bigint {
    this.wallMs += this.hasteMs;
    return BigInt(this.wallMs) * 1_000_000n;
  }
}

function filesIn(folder: string, ending: string): string[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(ending) && !name.startsWith("."));
  return names.toSorted().map((name) => join(folder, name));
}

export class TarSetPlace extends TarPlace {
  readonly clock: SetClock;
  readonly set: string = join(this.parent, "day-{date}T{hour}.tar");

  constructor(haste: number = hasteMs) {
    super();
    this.clock = new SetClock(haste);
  }

  override open(changes: TarOptions = {}, meddle?: Meddle): Sink {
    return super.open({ path: this.set, clock: this.clock, ...changes }, meddle);
  }

  override get archives(): string[] {
    return filesIn(this.parent, ".tar");
  }
}

export class McapSetPlace extends McapPlace {
  readonly clock: SetClock;
  readonly set: string = join(this.parent, "day-{date}T{hour}.mcap");

  constructor(haste: number = hasteMs) {
    super();
    this.clock = new SetClock(haste);
  }

  override open(changes: McapOptions = {}): Sink {
    return super.open({ path: this.set, clock: this.clock, ...changes });
  }

  override get paths(): string[] {
    return filesIn(this.parent, ".mcap");
  }
}
