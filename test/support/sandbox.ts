/**
 * Runs a program in a sandbox as systemd makes them: system calls that fail whatever they are asked for. What Linux
 * calls a seccomp filter lasts for ever, so this is a program of its own: `bun sandbox.ts RULE PROGRAM WORD...`.
 */
import { dlopen, ptr } from "bun:ffi";

/** Which calls fail, and with what. */
export type SandboxRule = "no-netlink" | "no-ipv6" | "no-shared-memory";

const noNewPrivileges = 38; // PR_SET_NO_NEW_PRIVS
const setSeccomp = 22; // PR_SET_SECCOMP
const filterMode = 2n;
const allow = 0x7fff_0000;
const fail = 0x0005_0000;
const [load, jumpIfEqual, jumpIfBit, answer] = [0x20, 0x15, 0x45, 0x06];
const numbers = process.arch === "arm64" ? { socket: 198, mmap: 222 } : { socket: 41, mmap: 9 };
/** Of the call's arguments, the lower half. */
const argument = (index: number): number => 16 + 8 * index;

/** [code, jumps if it holds, jumps if not, value]: fails a call when all of `tests` hold. */
function program(
  call: number,
  error: number,
  tests: readonly [from: number, code: number, value: number][],
): number[][] {
  const lines: number[][] = [];
  const all = [[0, jumpIfEqual, call] as const, ...tests];
  for (const [index, [from, code, value]] of all.entries()) {
    const left = (all.length - index - 1) * 2 + 1;
    lines.push([load, 0, 0, from], [code, 0, left, value]);
  }
  return [...lines, [answer, 0, 0, fail | error], [answer, 0, 0, allow]];
}

const { symbols: libc } = dlopen("libc.so.6", {
  prctl: { args: ["i32", "i64", "ptr", "i64", "i64"], returns: "i32" },
  execvp: { args: ["ptr", "ptr"], returns: "i32" },
});

const rules: Readonly<Record<SandboxRule, number[][]>> = {
  "no-netlink": program(numbers.socket, 97, [[argument(0), jumpIfEqual, 16]]),
  "no-ipv6": program(numbers.socket, 97, [[argument(0), jumpIfEqual, 10]]),
  // A file that is mapped to be written to: MAP_SHARED with a handle, as on file systems that cannot have it.
  "no-shared-memory": program(numbers.mmap, 19, [
    [argument(2), jumpIfBit, 2],
    [argument(3), jumpIfBit, 1],
  ]),
};

function enter(rule: SandboxRule): void {
  const lines = rules[rule];
  const filter = new DataView(new ArrayBuffer(lines.length * 8));
  for (const [index, [code = 0, holds = 0, not = 0, value = 0]] of lines.entries()) {
    filter.setUint16(index * 8, code, true);
    filter.setUint8(index * 8 + 2, holds);
    filter.setUint8(index * 8 + 3, not);
    filter.setUint32(index * 8 + 4, value, true);
  }
  const named = new DataView(new ArrayBuffer(16));
  named.setUint16(0, lines.length, true);
  named.setBigUint64(8, BigInt(ptr(filter)), true);
  libc.prctl(noNewPrivileges, 1n, null, 0n, 0n);
  if (libc.prctl(setSeccomp, filterMode, ptr(named), 0n, 0n) !== 0) throw new Error("there is no seccomp here");
}

/** This process becomes that program, so that whoever ends it ends that. */
function become(words: readonly string[]): never {
  const texts = words.map((word) => Buffer.from(`${word}\0`));
  const pointers = new BigUint64Array([...texts.map((text) => BigInt(ptr(text))), 0n]);
  libc.execvp(ptr(texts[0] ?? new Uint8Array(1)), ptr(pointers));
  throw new Error(`${words[0]} cannot be started`);
}

if (import.meta.main) {
  const [rule, ...words] = process.argv.slice(2);
  enter(rule as SandboxRule);
  become(words);
}
