/**
 * Who may do what: the table made of all device files and of the list of revoked keys. A key has at most one grant.
 * What is in doubt grants nothing and is named: a bad line, one key in two files.
 */
import type { Admission, Grant } from "../ports.ts";
import { matchesDevice, parseDeviceFile, parseDeviceFileName } from "./device-file.ts";
import { FormatError } from "./format-error.ts";
import { hashOfFingerprint } from "./fingerprint.ts";

/** The file in the devices folder that lists revoked keys. */
export const revokedFileName = "revoked";

/** A file that grants nothing, or a line that is not heeded, and why. */
export interface GrantProblem {
  readonly file: string;
  readonly problem: string;
}

/** A file in the devices folder. The same object is the same file, unchanged. */
export interface DeviceFileText {
  readonly name: string;
  /** Or why it could not be read. */
  readonly text: string | FormatError;
}

export class Grants {
  readonly problems: readonly GrantProblem[];
  readonly #grants = new Map<string, Grant>();
  /** By device: the keys that write as it. */
  readonly #keys = new Map<string, string[]>();
  readonly #revoked: ReadonlySet<string>;

  /** Files that are no device files are passed over. Of `revoked` the first key of each line counts. */
  constructor(files: Iterable<DeviceFileText>, revoked = "") {
    const list = parseRevoked(revoked);
    this.#revoked = list.keys;
    const problems: GrantProblem[] = [...list.problems];
    const fileOf = new Map<string, string>();
    for (const file of files) {
      const { fingerprint, grant, problem } = parsedOnce(file);
      const other = fingerprint === undefined ? undefined : fileOf.get(fingerprint);
      if (fingerprint !== undefined && other !== undefined) {
        // Also for a third one, and if one of them is bad: whichever of them is read first must not count.
        this.#grants.delete(fingerprint);
        problems.push({ file: file.name, problem: `the same key as ${other}: neither counts` });
        continue;
      }
      if (fingerprint !== undefined) fileOf.set(fingerprint, file.name);
      if (grant !== undefined) this.#grants.set(grant.fingerprint, grant);
      if (problem !== undefined) problems.push({ file: file.name, problem });
    }
    for (const fingerprint of this.#revoked) this.#grants.delete(fingerprint);
    for (const { device, fingerprint } of this.#grants.values()) {
      this.#keys.set(device, [...(this.#keys.get(device) ?? []), fingerprint]);
    }
    this.problems = problems;
  }

  get size(): number {
    return this.#grants.size;
  }

  grantOf(fingerprint: string): Grant | undefined {
    return this.#grants.get(fingerprint);
  }

  isRevoked(fingerprint: string): boolean {
    return this.#revoked.has(fingerprint);
  }

  /** The keys that write as this device. */
  keysOf(device: string): readonly string[] {
    return this.#keys.get(device) ?? [];
  }

  /** What the device may have at the destination; of several lines the least. Undefined: as much as there is room. */
  quotaOf(device: string): number | undefined {
    const quotas = this.keysOf(device).flatMap((key) => this.#grants.get(key)?.quota ?? []);
    return quotas.length === 0 ? undefined : Math.min(...quotas);
  }

  /** Whether the key may write as `device`; an empty name asks for the key's own. */
  admit(fingerprint: string, device: string): Admission {
    const grant = this.#grants.get(fingerprint);
    if (grant === undefined) {
      const why = this.#revoked.has(fingerprint) ? "is revoked" : "is not known here";
      return { refused: `the key ${fingerprint} ${why}` };
    }
    if (device === "" || device === grant.device) return { device: grant.device, grant };
    const via = `${fingerprint}, which is ${grant.device},`;
    if (grant.gateway?.some((pattern) => matchesDevice(pattern, device)) !== true) {
      return { refused: `the key ${via} may not write as ${device}` };
    }
    // Who has a key of its own speaks for itself.
    if (this.#keys.has(device)) return { refused: `the gateway ${via} may not write as ${device}, which has a key` };
    return { device, grant };
  }

  /** What `before` did not grant to a key at all. */
  newSince(before: Grants): Grant[] {
    return [...this.#grants.values()].filter(({ fingerprint }) => !before.#grants.has(fingerprint));
  }

  /**
   * The keys for which `before` held something else that no longer holds: their connections have to end. A key that had
   * no grant before is not among them.
   */
  lostSince(before: Grants): string[] {
    const madeExact = [...this.#keys.keys()].filter((device) => !before.#keys.has(device));
    return [...before.#grants.values()]
      .filter((grant) => {
        const now = this.#grants.get(grant.fingerprint);
        if (now === undefined || !isSame(now, grant)) return true;
        return madeExact.some((device) => grant.gateway?.some((pattern) => matchesDevice(pattern, device)));
      })
      .map(({ fingerprint }) => fingerprint);
  }
}

/** What a file says: nothing at all if it is no device file. */
interface ParsedFile {
  readonly fingerprint?: string;
  readonly grant?: Grant;
  readonly problem?: string;
}

/** Of thousands of files one changes at a time. */
const parsed = new WeakMap<DeviceFileText, ParsedFile>();

function parsedOnce(file: DeviceFileText): ParsedFile {
  let known = parsed.get(file);
  if (known === undefined) parsed.set(file, (known = parse(file)));
  return known;
}

function parse({ name, text }: DeviceFileText): ParsedFile {
  let named: ReturnType<typeof parseDeviceFileName>;
  try {
    named = parseDeviceFileName(name);
    if (named === undefined) return {};
    if (text instanceof FormatError) throw text;
    if (!text.endsWith("\n")) throw new FormatError("it does not end with a line break, so it may be cut off");
    const grant = parseDeviceFile(text, named.fingerprint);
    // As people read it: some file systems compose letters anew.
    if (grant.device.normalize() !== named.device.normalize()) {
      throw new FormatError(`its name says ${named.device}, its line device=${grant.device}`);
    }
    return { fingerprint: named.fingerprint, grant };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { ...(named === undefined ? {} : { fingerprint: named.fingerprint }), problem: error.message };
  }
}

function isSame(one: Grant, other: Grant): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}

function parseRevoked(text: string): { keys: ReadonlySet<string>; problems: GrantProblem[] } {
  const keys = new Set<string>();
  const problems: GrantProblem[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s*(?:#|$)/.test(line)) continue;
    // Pasted as it comes: with its file's name, a comma, a remark before it.
    const [key = ""] = /fp1[0-9a-z]{58}/.exec(line) ?? [];
    if (hashOfFingerprint(key) !== undefined) keys.add(key);
    else
      problems.push({ file: revokedFileName, problem: `line ${index + 1} has no public key, or a mistyped one: fp1…` });
  }
  return { keys, problems };
}
