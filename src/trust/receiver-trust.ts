/** A receiver's key, its devices folder, and the joining of new devices. */
import { renameSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { ExitStatus, UserError } from "../errors.ts";
import type { TrustEvent } from "../events.ts";
import { KiB } from "../limits.ts";
import type { Admission, Clock, Grant, Identity, ReceiverTrust } from "../ports.ts";
import { identityOf } from "../security/certificate.ts";
import { deviceFileName } from "../security/device-file.ts";
import { FormatError } from "../security/format-error.ts";
import type { GrantProblem, Grants } from "../security/grants.ts";
import { inviteFileEnd, type KeptInvitation, parseInviteFile } from "../security/invitation.ts";
import { verifyJoin } from "../security/join-proof.ts";
import { hashOfFingerprint } from "../security/fingerprint.ts";
import { spkiHash } from "../security/key-pair.ts";
import { describe, errorCode } from "../system/errno.ts";
import { nodeDisk } from "../system/file-system.ts";
import { readSmallFile } from "../system/small-file.ts";
import type { WatchFolder } from "../system/watch-folder.ts";
import { DevicesFolder } from "./devices-folder.ts";
import { readOrMakeReceiverKey } from "./key-files.ts";

/** As a device file. */
export const inviteFileBytesMax: number = 64 * KiB;

export interface ReceiverTrustOptions {
  readonly keyPath: string;
  readonly clock: Pick<Clock, "nowMs" | "after" | "wallNs">;
  readonly watch: WatchFolder;
  readonly onEvent: (event: TrustEvent) => void;
}

export function devicesPath(keyPath: string): string {
  return `${keyPath}.devices`;
}

/** Throws UserError for what must be put right before the receiver starts. */
export function openReceiverTrust(options: ReceiverTrustOptions): ReceiverTrust {
  return new FolderTrust(options);
}

class FolderTrust implements ReceiverTrust {
  readonly identity: Identity;
  readonly pins: readonly string[];
  readonly #options: ReceiverTrustOptions;
  readonly #path: string;
  readonly #hash: Uint8Array;
  readonly #folder: DevicesFolder;
  #onLost: (fingerprint: string) => void = () => {};
  /** Has been said. */
  #problems: ReadonlySet<string> = new Set();
  #started = false;

  constructor(options: ReceiverTrustOptions) {
    this.#options = options;
    const { keyPath, clock, watch, onEvent } = options;
    const { pair, pins, made, madeSpare } = readOrMakeReceiverKey(keyPath);
    if (made) onEvent({ event: "key-made", path: keyPath, key: pair.fingerprint });
    if (madeSpare !== undefined) onEvent({ event: "spare-made", path: madeSpare, key: pins[1] });
    this.identity = identityOf(pair);
    this.pins = pins;
    this.#hash = spkiHash(pair.spki);
    this.#path = devicesPath(keyPath);
    this.#folder = new DevicesFolder({
      path: this.#path,
      clock,
      watch,
      onGrants: (now, before) => this.#granted(now, before),
      onTrouble: (problem) => this.#troubled(problem),
    });
    const { trouble } = this.#folder;
    if (trouble !== undefined) {
      this.#folder.dispose();
      throw new UserError(
        `who may send is not known: ${trouble}`,
        ["the devices folder must be readable for the user that framepipe runs as, and writable for no other"],
        ExitStatus.failure,
      );
    }
    if (this.#folder.grants.size === 0) onEvent({ event: "no-devices", folder: this.#path });
    this.#started = true;
  }

  get trouble(): string | undefined {
    return this.#folder.trouble;
  }

  grantOf(fingerprint: string): Grant | undefined {
    return this.#grantsFor(fingerprint).grantOf(fingerprint);
  }

  admit(fingerprint: string, device: string): Admission {
    return this.#grantsFor(fingerprint).admit(fingerprint, device);
  }

  quotaOf(device: string): number | undefined {
    return this.#folder.grants.quotaOf(device);
  }

  watch(lost: (fingerprint: string) => void): void {
    this.#onLost = lost;
  }

  dispose(): void {
    this.#folder.dispose();
  }

  /** A file that was put there just now counts for who comes just now. */
  #grantsFor(fingerprint: string): Grants {
    if (this.#folder.grants.grantOf(fingerprint) === undefined) this.#folder.lookAgain();
    return this.#folder.grants;
  }

  async join({ proof, exporter, fingerprint }: Parameters<ReceiverTrust["join"]>[0]): Promise<Admission> {
    const deviceSpkiHash = hashOfFingerprint(fingerprint);
    const id =
      deviceSpkiHash === undefined
        ? undefined
        : verifyJoin({ proof, exporter, receiverSpkiHash: this.#hash, deviceSpkiHash });
    if (id === undefined) return { refused: "the invitation is not proven" };
    try {
      return await this.#joinWith(id, fingerprint);
    } catch (error) {
      return { refused: `the invitation cannot be taken up now: ${describe(error)}` };
    }
  }

  async #joinWith(id: string, fingerprint: string): Promise<Admission> {
    const path = join(this.#path, `${id}${inviteFileEnd}`);
    const own = this.admit(fingerprint, "");
    const invitation = this.#readInvitation(path, id);
    if (own.refused === undefined) {
      if (typeof invitation === "string") return own;
      const { device } = own;
      if (invitation.device !== device) {
        this.#options.onEvent({ event: "invitation-left", device, invited: invitation.device });
        return { ...own, remark: `this key is ${device} already, so the invitation for ${invitation.device} is left` };
      }
      // It joined before and did not hear of it, or it was invited again: nobody else is to come in by this one.
      await this.#remove(path);
      return own;
    }
    if (typeof invitation === "string") return { refused: invitation };
    const { grants, trouble } = this.#folder;
    // The key might be revoked, and its grant would not count: the invitation stays as it is.
    if (trouble !== undefined) return { refused: "the invitation cannot be taken up now: who may send is not known" };
    if (grants.isRevoked(fingerprint)) return own;
    const name = deviceFileName(invitation.device, fingerprint);
    if (nodeDisk.look(join(this.#path, name)) !== "absent") {
      return { refused: `the key ${fingerprint} has a device file that does not count: see the receiver's messages` };
    }
    // The one step that uses up the invitation and grants: of all who try, on any receiver, one succeeds.
    try {
      renameSync(path, join(this.#path, name));
    } catch (error) {
      if (errorCode(error) === "ENOENT") return { refused: usedOrExpired };
      throw error;
    }
    await this.#sync();
    this.#folder.look();
    return this.#folder.grants.admit(fingerprint, "");
  }

  /** Or why nobody can come in by it. */
  #readInvitation(path: string, id: string): KeptInvitation | string {
    let kept: KeptInvitation;
    try {
      kept = parseInviteFile(readSmallFile(path, inviteFileBytesMax).text);
    } catch (error) {
      if (errorCode(error) === "ENOENT") return usedOrExpired;
      if (error instanceof FormatError) return `the receiver's file of this invitation is damaged: ${error.message}`;
      throw error;
    }
    if (kept.id !== id) return "the receiver's file of this invitation is another's";
    return this.#options.clock.wallNs() < BigInt(kept.untilMs) * 1_000_000n ? kept : usedOrExpired;
  }

  async #remove(path: string): Promise<void> {
    try {
      unlinkSync(path);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
    }
    await this.#sync();
  }

  #sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      nodeDisk.syncDirectories([this.#path], (failure) => {
        if (failure === undefined) resolve();
        else reject(failure);
      });
    });
  }

  #granted(now: Grants, before: Grants): void {
    const { onEvent } = this.#options;
    this.#sayProblems(now.problems);
    for (const fingerprint of now.lostSince(before)) {
      const { device = "" } = before.grantOf(fingerprint) ?? {};
      if (now.grantOf(fingerprint) === undefined) onEvent({ event: "withdrawn", device, key: fingerprint });
      this.#onLost(fingerprint);
    }
    // At the start they are counted, not listed.
    if (!this.#started) return;
    for (const { device, fingerprint } of now.newSince(before)) {
      onEvent({ event: "granted", device, key: fingerprint });
    }
  }

  #sayProblems(problems: readonly GrantProblem[]): void {
    const texts = new Set<string>();
    for (const { file, problem } of problems) {
      const text = `${file}: ${problem}`;
      texts.add(text);
      if (!this.#problems.has(text)) {
        this.#options.onEvent({ event: "bad-device-file", path: join(this.#path, file), problem });
      }
    }
    this.#problems = texts;
  }

  #troubled(problem: string | undefined): void {
    if (!this.#started) return;
    if (problem === undefined) this.#options.onEvent({ event: "grants-known", folder: this.#path });
    else this.#options.onEvent({ event: "grants-unknown", problem });
  }
}

const usedOrExpired = "the invitation is used or has expired";
