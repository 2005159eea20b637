/** A receiver's trust without files: the grants are real, and joining ends when the test says so. */
import type { Admission, Grant, Identity, ReceiverTrust } from "../../src/ports.ts";
import { Grants } from "../../src/security/grants.ts";
import { keyPairFromSeed } from "../../src/security/key-pair.ts";

/** A fingerprint that is always the same. */
export function keyOf(number: number): string {
  return keyPairFromSeed(new Uint8Array(32).fill(number)).fingerprint;
}

export class FakeTrust implements ReceiverTrust {
  readonly identity: Identity = { fingerprint: keyOf(200), certificate: "", privateKey: "" };
  readonly pins: readonly string[] = [keyOf(200), keyOf(201)];
  readonly trouble = undefined;
  grants: Grants = new Grants([]);
  /** Joins that were asked for; resolving them is the test's. */
  readonly joins: { readonly key: string; readonly end: (admission: Admission) => void }[] = [];
  #lost: (fingerprint: string) => void = () => undefined;

  /** `line` is that of a device file. */
  grant(...lines: readonly (readonly [key: string, line: string])[]): void {
    const before = this.grants;
    this.grants = new Grants(
      lines.map(([key, line]) => ({ name: `${/device=(\S+)/.exec(line)?.[1]}.${key}.device`, text: `${line}\n` })),
    );
    if (this.grants.problems.length > 0) throw new Error(JSON.stringify(this.grants.problems));
    for (const key of this.grants.lostSince(before)) this.#lost(key);
  }

  grantOf(fingerprint: string): Grant | undefined {
    return this.grants.grantOf(fingerprint);
  }
  admit(fingerprint: string, device: string): Admission {
    return this.grants.admit(fingerprint, device);
  }
  join({ fingerprint: key }: Parameters<ReceiverTrust["join"]>[0]): Promise<Admission> {
    const { promise, resolve } = Promise.withResolvers<Admission>();
    this.joins.push({ key, end: resolve });
    return promise;
  }
  quotaOf(device: string): number | undefined {
    return this.grants.quotaOf(device);
  }

  watch(lost: (fingerprint: string) => void): void {
    this.#lost = lost;
  }
  dispose(): void {}
}
