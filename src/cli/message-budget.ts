/**
 * How often the same kind of thing may be said, so that a log that nobody empties for a year can be read, and still
 * names every trouble within the hour: at most 20 lines an hour of each kind.
 *
 * The first of a kind are said at once. When there were many within the hour, they are counted, and what was counted
 * is said in sums: 2 s after the last line of this kind, then 5 s, and so on up to half an hour. The last one of a sum
 * is said in full, since it tells best how things are now. No timer runs while there is nothing to be summed up.
 * MESSAGES.md lists the kinds.
 */
import type { Clock } from "../ports.ts";
import { formatCount, formatDuration } from "./format.ts";
import type { Report } from "./report.ts";

const hourMs = 3_600_000;
/** Lines of a kind within an hour after which it is counted. With the sums, their one hint and the last sum: 20. */
const singleLinesMax = 12;
/**
 * From the last line to the next, by the account's step, or the number of sums within the hour if that is higher. A sum
 * is a step up, one that comes alone a step down, and at the bottom those that come are said one by one again.
 */
const sumAfterMs = [2_000, 5_000, 20_000, 120_000, 600_000, 1_800_000] as const;
const lastStep = sumAfterMs.length - 1;
/** Named in a sum, those with the most; and told apart at all. */
const partsNamedMax = 4;
const partsMax = 64;

const saidOnce: ReadonlySet<string> = new Set([
  "error",
  "listening",
  "http",
  "stopping",
  "summary",
  "sent",
  "lost",
  "left",
  "received",
]);

const kinds: Readonly<Record<string, string>> = {
  connected: "connection",
  disconnected: "connection",
  held: "storing",
  resumed: "storing",
  "connections-refused": "connection-refused",
  granted: "grant",
  withdrawn: "grant",
  "grants-unknown": "grants",
  "grants-known": "grants",
  "view-behind": "view",
  "view-resumed": "view",
  "view-ended": "view",
};

type Event = Report["event"];

/** Undefined: it cannot be said again and again. */
export function kindOf(event: Event): string | undefined {
  if (saidOnce.has(event.event)) return undefined;
  if (event.event === "problem") return `problem ${String(event["reason"])}`;
  return kinds[event.event] ?? event.event;
}

/** Whom it is about; empty: nobody in particular. */
function partOf({ device, source, place, peer }: Event): string {
  const origin = [device, source].filter((part) => typeof part === "string");
  if (origin.length > 0) return origin.join("/");
  if (typeof place === "string") return place;
  // Each connection has another port.
  return typeof peer === "string" ? peer.replace(/:\d+$/, "") : "";
}

/** What is known of one kind. */
interface Account {
  /** When lines of it were said within the last hour, sums included. */
  readonly lineTimesMs: number[];
  readonly sumTimesMs: number[];
  step: number;
  /** Counted and not yet said: how many, and how many frames (or what else one can be about) these were. */
  messages: number;
  count: number;
  last: Report | undefined;
  readonly parts: Map<string, number>;
  sinceMs: number;
  dueMs: number;
  hinted: boolean;
}

export interface MessageBudgetOptions {
  readonly clock: Pick<Clock, "nowMs" | "after">;
  readonly say: (report: Report) => void;
}

export class MessageBudget {
  readonly #options: MessageBudgetOptions;
  readonly #accounts = new Map<string, Account>();
  #timer: { readonly dueMs: number; readonly cancel: () => void } | undefined;

  constructor(options: MessageBudgetOptions) {
    this.#options = options;
  }

  /** Says it, or counts it. */
  report(report: Report): void {
    const kind = kindOf(report.event);
    const { say, clock } = this.#options;
    if (kind === undefined) return say(report);
    const nowMs = clock.nowMs();
    const account = this.#account(kind);
    const { lineTimesMs } = account;
    forget(lineTimesMs, nowMs);
    const lines = 1 + (report.hints?.length ?? 0);
    if (account.messages === 0 && account.step === 0 && lineTimesMs.length + lines <= singleLinesMax) {
      for (let line = 0; line < lines; line++) lineTimesMs.push(nowMs);
      return say(report);
    }
    this.#count(account, report, nowMs);
    if (account.dueMs <= nowMs) this.#sum(account);
    else this.#wakeAt(account.dueMs);
  }

  /** Says what was only counted. */
  sumUp(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const account of this.#accounts.values()) if (account.messages > 0) this.#sum(account);
  }

  #account(kind: string): Account {
    let account = this.#accounts.get(kind);
    if (account === undefined) {
      account = {
        lineTimesMs: [],
        sumTimesMs: [],
        step: 0,
        messages: 0,
        count: 0,
        last: undefined,
        parts: new Map(),
        sinceMs: 0,
        dueMs: 0,
        hinted: false,
      };
      this.#accounts.set(kind, account);
    }
    return account;
  }

  #count(account: Account, report: Report, nowMs: number): void {
    const { parts, lineTimesMs, sumTimesMs } = account;
    if (account.messages === 0) {
      forget(sumTimesMs, nowMs);
      const step = Math.max(account.step, Math.min(sumTimesMs.length, lastStep));
      account.sinceMs = nowMs;
      account.dueMs = (lineTimesMs.at(-1) ?? Number.NEGATIVE_INFINITY) + (sumAfterMs[step] as number);
    }
    const { count = 1 } = report.event;
    const about = typeof count === "number" ? count : 1;
    account.messages++;
    account.count += about;
    account.last = report;
    const part = partOf(report.event);
    const counted = parts.get(part);
    if (counted !== undefined || parts.size < partsMax) parts.set(part, (counted ?? 0) + about);
  }

  #wakeAt(dueMs: number): void {
    if (this.#timer !== undefined && this.#timer.dueMs <= dueMs) return;
    this.#timer?.cancel();
    const { clock } = this.#options;
    const cancel = clock.after(dueMs - clock.nowMs(), () => {
      this.#timer = undefined;
      this.#sumDue();
    });
    this.#timer = { dueMs, cancel };
  }

  #sumDue(): void {
    const nowMs = this.#options.clock.nowMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const account of this.#accounts.values()) {
      if (account.messages === 0) continue;
      if (account.dueMs <= nowMs) this.#sum(account);
      else nextMs = Math.min(nextMs, account.dueMs);
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#wakeAt(nextMs);
  }

  #sum(account: Account): void {
    const { messages, count, last, parts, sinceMs, lineTimesMs, sumTimesMs } = account;
    if (last === undefined) return;
    const nowMs = this.#options.clock.nowMs();
    account.messages = account.count = 0;
    account.last = undefined;
    sumTimesMs.push(nowMs);
    lineTimesMs.push(nowMs);
    const { level, event, text } = last;
    const more = `${formatCount(count)} more in ${formatDuration(nowMs - sinceMs)}${partsText(parts, count)}`;
    parts.clear();
    // One that was only late is said as it is.
    account.step = messages === 1 ? Math.max(0, account.step - 1) : Math.min(lastStep, account.step + 1);
    if (messages === 1) return this.#options.say({ level, event, text });
    const hints = account.hinted ? [] : ["--json says each of them"];
    account.hinted = true;
    lineTimesMs.push(...hints.map(() => nowMs));
    this.#options.say({ level, event, text: `${more}, the last: ${text}`, hints });
  }
}

function partsText(parts: ReadonlyMap<string, number>, count: number): string {
  if (parts.size < 2) return "";
  const named = [...parts].filter(([part]) => part !== "").toSorted(([, one], [, other]) => other - one);
  const shown = named.slice(0, partsNamedMax);
  const rest = count - shown.reduce((sum, [, of]) => sum + of, 0);
  const texts = shown.map(([part, of]) => `${formatCount(of)} of ${part}`);
  if (rest > 0) texts.push(`${formatCount(rest)} of others`);
  return ` (${texts.join(", ")})`;
}

/** Drops times that are over an hour old. */
function forget(timesMs: number[], nowMs: number): void {
  const old = timesMs.findIndex((ms) => nowMs - ms < hourMs);
  timesMs.splice(0, old === -1 ? timesMs.length : old);
}
