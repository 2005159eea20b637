/**
 * How often joins that come to nothing are looked at: guessing is hopeless in any case, but each costs a signature and
 * a look at the disk. An address that has not failed in this minute is always looked at: so a crowd that fails keeps no
 * new device out.
 */
import { addressGroup } from "../address.ts";
import { joinAddressesMax, joinsMax, joinsPerAddressMax } from "../limits.ts";

const minuteMs = 60_000;

export class JoinLimit {
  readonly #perAddress: boolean;
  /** Attempts of this minute that did not succeed, or not yet. */
  readonly #byAddress = new Map<string, number>();
  #attempts = 0;
  #sinceMs = Number.NEGATIVE_INFINITY;

  /** `perAddress` false: addresses say nothing, as behind a balancer. */
  constructor(perAddress: boolean) {
    this.#perAddress = perAddress;
  }

  /** Counts an attempt. False: there were too many in this minute. */
  take(host: string, nowMs: number): boolean {
    if (nowMs - this.#sinceMs >= minuteMs) {
      this.#sinceMs = nowMs;
      this.#attempts = 0;
      this.#byAddress.clear();
    }
    const group = this.#groupOf(host);
    const ofAddress = this.#byAddress.get(group) ?? 0;
    if (ofAddress === 0 ? this.#byAddress.size >= joinAddressesMax : this.#attempts >= joinsMax) return false;
    if (this.#perAddress && ofAddress >= joinsPerAddressMax) return false;
    this.#byAddress.set(group, ofAddress + 1);
    this.#attempts++;
    return true;
  }

  /** The attempt was one of a device that joined. */
  succeeded(host: string): void {
    const group = this.#groupOf(host);
    const ofAddress = this.#byAddress.get(group) ?? 0;
    if (ofAddress === 0) return;
    this.#byAddress.set(group, ofAddress - 1);
    this.#attempts--;
  }

  #groupOf(host: string): string {
    return this.#perAddress ? addressGroup(host) : "";
  }
}
