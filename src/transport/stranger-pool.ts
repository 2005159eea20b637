/**
 * Connections whose peers have not been admitted: a pool of their own, so that a crowd at the door takes nothing from
 * those who are in. When it is full the oldest of the busiest address goes. Where that would be somebody who just came,
 * it is the new one that is sent away, unless its address has less than the busiest: then a flood from few addresses
 * keeps nobody else out, however fast it is.
 */
import { addressGroup } from "../address.ts";

/** Younger ones are still busy with their handshake. */
const youngMs = 250;

/** One connection's place; its own to give back. */
export interface Place {
  readonly group: string;
  readonly atMs: number;
  /** Ends the connection: its place is needed. */
  readonly evict: () => void;
}

export interface StrangerPoolOptions {
  readonly placesMax: number;
  /** Of one IPv4 address, or of one IPv6 network of 64 bits. 0: addresses say nothing, as behind a balancer. */
  readonly perAddressMax: number;
  readonly nowMs: () => number;
}

export class StrangerPool {
  readonly #options: StrangerPoolOptions;
  /** By address, the oldest first. */
  readonly #groups = new Map<string, Set<Place>>();
  #places = 0;

  constructor(options: StrangerPoolOptions) {
    this.#options = options;
  }

  get places(): number {
    return this.#places;
  }

  /** A place, if need be another's; undefined: there is none. */
  enter(address: string, evict: () => void): Place | undefined {
    const { placesMax, perAddressMax, nowMs } = this.#options;
    const group = perAddressMax === 0 ? "" : addressGroup(address);
    const atMs = nowMs();
    const own = this.#groups.get(group);
    const ownPlaces = own?.size ?? 0;
    const ownFull = perAddressMax > 0 && ownPlaces >= perAddressMax;
    if (ownFull || this.#places >= placesMax) {
      const crowd = ownFull ? own : this.#busiest();
      const [oldest] = crowd ?? [];
      if (crowd === undefined || oldest === undefined) return undefined;
      if (crowd.size <= ownPlaces + 1 && atMs - oldest.atMs < youngMs) return undefined;
      this.leave(oldest);
      oldest.evict();
    }
    const place = { group, atMs, evict };
    this.#groupOf(group).add(place);
    this.#places++;
    return place;
  }

  /** Admitted, or gone. More than once is as once. */
  leave(place: Place): void {
    const group = this.#groups.get(place.group);
    if (group?.delete(place) !== true) return;
    this.#places--;
    if (group.size === 0) this.#groups.delete(place.group);
  }

  #groupOf(name: string): Set<Place> {
    let group = this.#groups.get(name);
    if (group === undefined) this.#groups.set(name, (group = new Set()));
    return group;
  }

  /** A few hundred places at most, and looked for only when there is none left. */
  #busiest(): Set<Place> | undefined {
    let busiest: Set<Place> | undefined;
    for (const group of this.#groups.values()) if (group.size > (busiest?.size ?? 0)) busiest = group;
    return busiest;
  }
}
