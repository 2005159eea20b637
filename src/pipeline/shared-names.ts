/**
 * Two senders of one device that are live at once: cameras that were made from one card. What one sends under names of
 * the other is stored beside it, so nothing is lost; but nobody can tell the pictures apart any more, and only here
 * both can be seen. So it is said, once for each session, to both and here.
 *
 * A connection that was left behind by a sender that started anew looks like another sender until it is closed. So the
 * older one has to answer a ping that was sent when the newer one came. Two senders of one machine that send different
 * sources are in order.
 */

import { hostOf } from "../address.ts";

/** A connection whose peer has introduced itself. */
export interface NamedSender {
  readonly device: string;
  readonly sessionKey: string;
  /** That it has proven. */
  readonly key: string | undefined;
  /** Address and port. */
  readonly peer: string;
  /** Asks for a sign of life, and calls `alive` when it has come. */
  probe(alive: () => void): void;
  /** Tells its user that another live session has its device. */
  tellShared(): void;
}

/** Sessions that were told are remembered; if there are more, some are told again. */
const toldMax = 4096;

interface Entry {
  readonly sender: NamedSender;
  readonly address: string;
  /** In the order in which they came. */
  readonly order: number;
  readonly sources: Set<string>;
  /** It has lived when that one came. */
  livedAt: number;
}

export class SharedNames {
  readonly #onShared: (older: NamedSender, newer: NamedSender) => void;
  /** By device, in the order in which they came. */
  readonly #live = new Map<string, Entry[]>();
  /** Sessions. */
  readonly #told = new Set<string>();
  #order = 0;

  constructor(onShared: (older: NamedSender, newer: NamedSender) => void) {
    this.#onShared = onShared;
  }

  joined(sender: NamedSender): void {
    const order = ++this.#order;
    const address = hostOf(sender.peer);
    const entries = this.#live.get(sender.device) ?? [];
    for (const entry of entries) {
      entry.sender.probe(() => {
        entry.livedAt = Math.max(entry.livedAt, order);
        this.#look(sender.device);
      });
    }
    entries.push({ sender, address, order, sources: new Set(), livedAt: order });
    this.#live.set(sender.device, entries);
  }

  /** Its connection is gone, or another one has taken over. */
  left(sender: NamedSender): void {
    const entries = this.#live.get(sender.device)?.filter((entry) => entry.sender !== sender) ?? [];
    if (entries.length > 0) this.#live.set(sender.device, entries);
    else this.#live.delete(sender.device);
  }

  /** It sends this source. */
  sends(sender: NamedSender, source: string): void {
    const entries = this.#live.get(sender.device);
    entries?.find((entry) => entry.sender === sender)?.sources.add(source);
    if (entries !== undefined && entries.length > 1) this.#look(sender.device);
  }

  #look(device: string): void {
    const entries = this.#live.get(device) ?? [];
    for (const newer of entries) {
      for (const older of entries) {
        if (older.order >= newer.order || older.livedAt < newer.order || !collide(older, newer)) continue;
        const news = [this.#tell(older.sender), this.#tell(newer.sender)];
        if (news.includes(true)) this.#onShared(older.sender, newer.sender);
      }
    }
  }

  /** False: it was told. */
  #tell(sender: NamedSender): boolean {
    if (this.#told.has(sender.sessionKey)) return false;
    if (this.#told.size >= toldMax) this.#told.clear();
    this.#told.add(sender.sessionKey);
    sender.tellShared();
    return true;
  }
}

function collide(one: Entry, other: Entry): boolean {
  return one.address !== other.address || !one.sources.isDisjointFrom(other.sources);
}
