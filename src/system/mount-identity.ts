/**
 * Which mount a folder is on, where this kernel alone sets the times of change (ctime) of what is on it. FAT and exFAT
 * keep none, and on a network file system another machine sets them; so may one that had the disk in between, which is
 * why a mount has its own identity each time, and none that outlives the boot.
 */
import { ptr } from "bun:ffi";
import { readFileSync, statfsSync, statSync } from "node:fs";
import { openLibc } from "./libc.ts";

/** ext2 to ext4, XFS, btrfs, F2FS, tmpfs, ramfs, ZFS, bcachefs, UBIFS, JFFS2, NILFS. */
const ownTimes: ReadonlySet<number> = new Set([
  0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994, 0x858458f6, 0x2fc12fc1, 0xca451a4e, 0x24051905, 0x72b6,
  0x3434,
]);

const currentDirectory = -100; // AT_FDCWD
const mountNumberBit = 0x1000; // STATX_MNT_ID
const uniqueNumberBit = 0x4000; // STATX_MNT_ID_UNIQUE, from Linux 6.8 on: no later mount gets it
const statxBytes = 256;
const mountNumberAt = 0x90;

export interface MountIdentity {
  readonly boot: string;
  /** Of the mount in this boot. */
  readonly mount: string;
  /** As in the `dev` of its files. */
  readonly device: number;
}

/** Undefined: nothing that is remembered of its files would be sure to hold. Never throws. */
export function mountIdentityOf(path: string): MountIdentity | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    const { type, bsize, blocks } = statfsSync(path);
    // A number of 32 bits, which some systems give with a sign.
    if (!ownTimes.has(Number(type) >>> 0)) return undefined;
    const number = mountNumberOf(path);
    if (number === undefined) return undefined;
    const { dev: device } = statSync(path);
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return { boot, mount: `${number}-${type}-${device}-${bsize}-${blocks}`, device };
  } catch {
    return undefined;
  }
}

let systemNumber: ((path: string) => string | undefined) | undefined | "untried" = "untried";

function mountNumberOf(path: string): string | undefined {
  if (systemNumber === "untried") systemNumber = openStatx();
  return systemNumber?.(path);
}

function openStatx(): ((path: string) => string | undefined) | undefined {
  const libc = openLibc({ statx: { args: ["i32", "ptr", "i32", "u32", "ptr"], returns: "i32" } });
  if (libc === undefined) return undefined;
  const found = new DataView(new ArrayBuffer(statxBytes));
  const pointer = ptr(found);
  return (path) => {
    const name = Buffer.from(`${path}\0`);
    if (libc.statx(currentDirectory, ptr(name), 0, uniqueNumberBit | mountNumberBit, pointer) !== 0) return undefined;
    const mask = found.getUint32(0, true);
    if ((mask & (uniqueNumberBit | mountNumberBit)) === 0) return undefined;
    const kind = (mask & uniqueNumberBit) === 0 ? "m" : "u";
    return `${kind}${found.getBigUint64(mountNumberAt, true)}`;
  };
}
