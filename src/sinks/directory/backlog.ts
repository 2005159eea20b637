/**
 * What a gateway has stored and its upstream does not have yet, by device: the catalogue says it, so nothing of it is
 * lost with the process. What the upstream has settled is written down in groups; what of that a crash loses is
 * offered again, and the upstream knows it.
 */
import type { Origin } from "../../frame.ts";
import type { AccountOutcome } from "../../outcomes.ts";
import type { Backlog, Clock, Handing } from "../../ports.ts";
import { BacklogSource } from "./backlog-source.ts";
import type { Catalogue, CatalogueBatch, HandedNumbers, HandingRecords, HandingSession } from "./catalogue.ts";

/** What is settled waits so long to be written down, or so many numbers. */
const writeMs = 200;
const writeNumbersMax = 1024;

export interface DirectoryBacklogOptions {
  readonly clock: Pick<Clock, "after" | "wallNs">;
  readonly openFile: (path: string, bytes: number) => number | string;
}

interface Known {
  session: HandingSession;
  /** Undefined: to be counted. */
  dueCount: number | undefined;
  source: BacklogSource | undefined;
  /** What was recorded and not told begins here; infinite: nothing. */
  changedFrom: number;
  /** Counts turns; 0: it had none. */
  lastTurn: number;
}

export class DirectoryBacklog implements Backlog {
  onWork?: (device: string) => void;
  readonly #options: DirectoryBacklogOptions;
  #records: HandingRecords | undefined;
  /** Sessions of sources whose end is not handed on, in the order in which they began. */
  readonly #known = new Map<string, Known>();
  #settled: (HandedNumbers & { last: number })[] = [];
  #writePlanned = false;
  #tellPlanned = false;
  #turns = 0;

  constructor(options: DirectoryBacklogOptions) {
    this.#options = options;
  }

  // ---- of the directory

  /** The catalogue has been opened, perhaps again, or another one. */
  opened(catalogue: Catalogue): void {
    this.#records = catalogue.handing;
    const before = new Map(this.#known);
    this.#known.clear();
    for (const session of this.#records.sessions()) {
      const key = keyOf(session.origin);
      const source = before.get(key)?.session.id === session.id ? before.get(key)?.source : undefined;
      this.#known.set(key, { ...newlyKnown(session), source, changedFrom: 0 });
    }
    this.#tellSoon();
  }

  closed(): void {
    this.#write();
    this.#records = undefined;
  }

  recorded({ outcomes, ends, stretches = [] }: CatalogueBatch): void {
    const changes = new Map<string, { readonly origin: Origin; first: number }>();
    const change = (origin: Origin, first: number): void => {
      const key = keyOf(origin);
      const known = changes.get(key);
      if (known === undefined) changes.set(key, { origin, first });
      else known.first = Math.min(known.first, first);
    };
    for (const { origin, first } of outcomes) change(origin, first);
    for (const { origin } of stretches) change(origin, Number.MAX_SAFE_INTEGER);
    for (const { origin } of ends) change(origin, Number.MAX_SAFE_INTEGER);
    const ended = new Set(ends.map(({ origin }) => keyOf(origin)));
    for (const [key, { origin, first }] of changes) this.#changed(key, origin, first, ended.has(key));
  }

  #changed(key: string, origin: Origin, first: number, isEnd: boolean): void {
    let known = this.#known.get(key);
    if (known === undefined || isEnd) {
      const session = this.#records?.sessionOf(origin);
      if (session === undefined) return;
      if (known === undefined) this.#known.set(key, (known = newlyKnown(session)));
      known.session = session;
    }
    known.dueCount = undefined;
    known.changedFrom = Math.min(known.changedFrom, first);
    this.#tellSoon();
  }

  /** In its own turn: what is recorded is about to be acknowledged. */
  #tellSoon(): void {
    if (this.#tellPlanned) return;
    this.#tellPlanned = true;
    this.#options.clock.after(0, () => {
      this.#tellPlanned = false;
      const devices = new Set<string>();
      for (const known of this.#known.values()) {
        const { changedFrom } = known;
        known.changedFrom = Number.POSITIVE_INFINITY;
        if (changedFrom === Number.POSITIVE_INFINITY) continue;
        devices.add(known.session.origin.device);
        known.source?.changed(changedFrom);
      }
      for (const device of devices) this.onWork?.(device);
    });
  }

  // ---- of the gateway

  get frames(): number {
    let frames = 0;
    for (const known of this.#known.values()) frames += this.#dueCount(known);
    return frames;
  }

  #dueCount(known: Known): number {
    known.dueCount ??= this.#records?.dueCount(known.session.id) ?? 0;
    return known.dueCount;
  }

  #hasWork(known: Known): boolean {
    return known.session.frames !== undefined || this.#dueCount(known) > 0;
  }

  devices(): string[] {
    const devices = new Set<string>();
    for (const known of this.#known.values()) if (this.#hasWork(known)) devices.add(known.session.origin.device);
    return [...devices];
  }

  waits(device: string): boolean {
    return this.#ofDevice(device).some((known) => known.source === undefined && this.#hasWork(known));
  }

  take(device: string): Handing | undefined {
    const waiting = this.#ofDevice(device).filter((known) => known.source === undefined && this.#hasWork(known));
    // Who has had no turn for longest, and of those who had none the first: one that cannot go on stops nobody.
    const [first] = waiting.toSorted((one, other) => one.lastTurn - other.lastTurn);
    if (first === undefined) return undefined;
    this.#turns += 1;
    const { session, via = [] } = first.session.origin;
    const all = (): Known[] => this.#ofDevice(device).filter((known) => known.session.origin.session === session);
    const taken = all();
    for (const known of taken) {
      known.source = this.#sourceOf(known);
      known.lastTurn = this.#turns;
    }
    return {
      device,
      session,
      via,
      clockOffsetNs: taken.at(-1)?.session.clockOffsetNs ?? 0n,
      sources: taken.flatMap(({ source }) => source ?? []),
      isStale: () => all().some(({ source }) => source === undefined),
      hasWork: () => all().some((known) => this.#hasWork(known) || known.source?.isUnderWay === true),
      release: () => {
        this.#write();
        for (const known of taken) known.source = undefined;
      },
    };
  }

  #ofDevice(device: string): Known[] {
    return [...this.#known.values()].filter(({ session }) => session.origin.device === device);
  }

  #sourceOf(known: Known): BacklogSource {
    const { id, origin } = known.session;
    return new BacklogSource({
      session: () => known.session,
      records: () => this.#records,
      openFile: this.#options.openFile,
      newFrom: this.#records?.nextNumber(id) ?? 0,
      settled: (number, outcome, asGap) => this.#enter(known, number, outcome, asGap),
      writtenDown: () => this.#write(),
      ended: () => {
        this.#records?.endHandedOn(id, this.#options.clock.wallNs());
        this.#known.delete(keyOf(origin));
      },
    });
  }

  #enter(known: Known, number: number, outcome: AccountOutcome, asGap: boolean): void {
    const { id } = known.session;
    known.dueCount = undefined;
    const last = this.#settled.at(-1);
    if (last?.id === id && last.outcome === outcome && last.asGap === asGap && last.last + 1 === number) {
      last.last = number;
    } else this.#settled.push({ id, first: number, last: number, outcome, asGap });
    if (this.#settled.length >= writeNumbersMax) this.#write();
    else this.#writeSoon();
  }

  #writeSoon(): void {
    if (this.#writePlanned) return;
    this.#writePlanned = true;
    this.#options.clock.after(writeMs, () => {
      this.#writePlanned = false;
      if (!this.#write()) this.#writeSoon();
    });
  }

  /** False: the catalogue takes nothing now, and what is settled is kept for later. */
  #write(): boolean {
    if (this.#settled.length === 0) return true;
    if (this.#records === undefined) return false;
    try {
      this.#records.handedOn(this.#settled);
    } catch {
      // The disk is full or gone: the receiver says so.
      return false;
    }
    // What was counted meanwhile was counted without these.
    const written = new Set(this.#settled.map(({ id }) => id));
    for (const known of this.#known.values()) if (written.has(known.session.id)) known.dueCount = undefined;
    this.#settled = [];
    return true;
  }
}

function newlyKnown(session: HandingSession): Known {
  return { session, dueCount: undefined, source: undefined, changedFrom: Number.POSITIVE_INFINITY, lastTurn: 0 };
}

function keyOf({ device, source, session }: Origin): string {
  return `${device}\0${source}\0${session}`;
}
