/**
 * What tells this machine from every other one, as a few digits that say nothing else about it: its id, hashed with a
 * key of this program, as machine-id(5) wants it. On a board with a serial number that is in it as well, because
 * cameras are made by copying one card, machine-id and all.
 */
import { readFileSync } from "node:fs";

/** This program's own; `systemd-id128 machine-id --app-specific=` with it gives the same digits without a serial. */
export const applicationId = "5e0f0a3c9d7b4c1e8a52d6f1b3c4e797";
const shownDigits = 12;

/** Undefined: the system does not say. */
export function machineId(platform: NodeJS.Platform = process.platform): string | undefined {
  return hashedId(platform === "linux" ? linuxIdentity() : otherIdentity(platform));
}

/** `id`: 32 hexadecimal digits. */
interface Identity {
  readonly id: string | undefined;
  /** Of the hardware. */
  readonly serial: string | undefined;
}

export function hashedId({ id, serial = "" }: Identity): string | undefined {
  if (id === undefined && serial === "") return undefined;
  // Not from node:crypto, which would be loaded at each start.
  const hasher = new Bun.CryptoHasher("sha256", Buffer.from(id ?? "", "hex"));
  return hasher.update(Buffer.from(applicationId, "hex")).update(serial).digest("hex").slice(0, shownDigits);
}

function linuxIdentity(): Identity {
  const id = idIn(textOf("/etc/machine-id")) ?? idIn(textOf("/var/lib/dbus/machine-id"));
  const serial = textOf("/proc/device-tree/serial-number").replaceAll("\0", "").trim();
  return { id, serial: serial === "" ? undefined : serial };
}

/** Both are the hardware's own, or made when the system was installed. */
function otherIdentity(platform: NodeJS.Platform): Identity {
  const commands: Readonly<Record<string, readonly string[]>> = {
    darwin: ["ioreg", "-rd1", "-c", "IOPlatformExpertDevice"],
    win32: ["reg", "query", String.raw`HKLM\SOFTWARE\Microsoft\Cryptography`, "/v", "MachineGuid"],
  };
  const command = commands[platform];
  if (command === undefined || Bun.which(command[0] ?? "") === null) return { id: undefined, serial: undefined };
  return { id: idIn(Bun.spawnSync([...command]).stdout.toString()), serial: undefined };
}

/** The first that looks like one: as 32 digits, or as a UUID. A system that was never started says `uninitialized`. */
export function idIn(text: string): string | undefined {
  const [found] = /\b[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}\b/i.exec(text) ?? [];
  const id = found?.replaceAll("-", "").toLowerCase();
  return id === undefined || /^0+$/.test(id) ? undefined : id;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
