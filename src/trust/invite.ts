/** A new invitation, made at the receiver's machine beside the receiver that runs there. */
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { ExitStatus, UserError } from "../errors.ts";
import { FormatError } from "../security/format-error.ts";
import { invitationSecretBytes, inviteFileEnd, makeInvitation, parseInviteFile } from "../security/invitation.ts";
import { deviceFileName } from "../security/device-file.ts";
import { describe, errorCode, isDenied } from "../system/errno.ts";
import { createPrivateFile, type Owner, readSmallFile } from "../system/small-file.ts";
import { systemClock } from "../system/system-clock.ts";
import { DevicesFolder } from "./devices-folder.ts";
import { readKey } from "./key-files.ts";
import { devicesPath, inviteFileBytesMax } from "./receiver-trust.ts";

export interface InviteOptions {
  readonly keyPath: string;
  readonly device: string;
  /** `HOST:PORT` where the device will find the receiver. */
  readonly address: string;
  /** How long it may be used. */
  readonly forMs: number;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

export interface MadeInvitation {
  /** Secret: for standard output alone. */
  readonly line: string;
  readonly untilMs: number;
  /** Files by which the same device comes in besides: keys, and invitations that were not used yet. */
  readonly staysValid: readonly string[];
}

/** Throws UserError. */
export function invite({ keyPath, device, address, forMs, nowMs }: InviteOptions): MadeInvitation {
  const opened = readKey(keyPath);
  const spare = opened?.file.spare;
  if (opened === undefined || spare === undefined) {
    const problem =
      opened === undefined ? "there is no key" : "it is not the key of a receiver, or of one that never ran:";
    throw new UserError(`${problem} ${keyPath}`, [
      `a receiver makes it when it starts: framepipe --receive PORT --out DEST --key ${keyPath}`,
    ]);
  }
  const folder = devicesPath(keyPath);
  const untilMs = nowMs + forMs;
  try {
    const owner = provideFolder(folder, keyPath);
    const staysValid = waysIn(folder, device, nowMs);
    const { line, id, file } = makeInvitation({
      secret: Uint8Array.from(randomBytes(invitationSecretBytes)),
      device,
      address,
      pins: [opened.pair.fingerprint, spare],
      untilMs,
    });
    createPrivateFile(join(folder, `${id}${inviteFileEnd}`), file, owner);
    return { line, untilMs, staysValid };
  } catch (error) {
    if (error instanceof FormatError) throw new UserError(`cannot invite this device: ${error.message}`, []);
    if (error instanceof UserError) throw error;
    // The receiver has to read the file and to rename it: whoever cannot give it to its user makes a dead one.
    const hints = isDenied(error)
      ? ["run it as the user that the receiver runs as: sudo -u USER framepipe --invite …"]
      : [];
    throw new UserError(`cannot write to ${folder}: ${describe(error)}`, hints, ExitStatus.failure);
  }
}

/** Makes the devices folder where there is none, for whoever has the key. Whose it is. */
function provideFolder(folder: string, keyPath: string): Owner {
  try {
    mkdirSync(folder, { mode: 0o700 });
    const { uid, gid } = statSync(keyPath);
    const made = statSync(folder);
    if (uid !== made.uid || gid !== made.gid) chownSync(folder, uid, gid);
    chmodSync(folder, 0o700);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  }
  return statSync(folder);
}

/** Names of files. Invitations whose time has passed are removed on the way. */
function waysIn(folder: string, device: string, nowMs: number): string[] {
  const devices = new DevicesFolder({
    path: folder,
    clock: systemClock,
    watch: () => () => {},
    onGrants: () => {},
    onTrouble: () => {},
  });
  devices.dispose();
  const files = devices.grants.keysOf(device).map((key) => deviceFileName(device, key));
  for (const name of readdirSync(folder)) {
    if (!name.endsWith(inviteFileEnd) || name.startsWith(".")) continue;
    try {
      const path = join(folder, name);
      const kept = parseInviteFile(readSmallFile(path, inviteFileBytesMax).text);
      if (kept.untilMs <= nowMs) unlinkSync(path);
      else if (kept.device === device) files.push(name);
    } catch {
      // Nobody comes in by a file that cannot be read, or is gone by now.
    }
  }
  return files;
}
