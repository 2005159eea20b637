/** Keys and invitations that were made without this program; see the file. */
import vectors from "../vectors/security.json" with { type: "json" };

export interface Key {
  readonly seed: string;
  readonly spki: string;
  readonly line: string;
  readonly fingerprint: string;
}

export const keys: readonly Key[] = vectors.keys;
const [zero, one, two, last] = vectors.keys as [Key, Key, Key, Key];
export const keyZero: Key = zero;
export const keyOne: Key = one;
export const keyTwo: Key = two;
export const keyLast: Key = last;

export const invitations: readonly (typeof vectors.invitations)[number][] = vectors.invitations;
