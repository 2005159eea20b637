/**
 * Functions of the C library that neither Bun nor Node.js offers, called by FFI. Only on the systems that the caller
 * knows them of, and only where the library has them: each caller has another way, or does without. The first call
 * takes 0.3 ms, so it is made when a function is needed, not at the start.
 */
import { dlopen, type FFIFunction, type Library } from "bun:ffi";

/** On Linux glibc, then musl. */
const libraries = { linux: ["libc.so.6", "libc.so"], darwin: ["libSystem.B.dylib"] } as const;
type System = keyof typeof libraries;

/** Undefined: this system has no such functions. */
export function openLibc<Functions extends Record<string, FFIFunction>>(
  functions: Functions,
  systems: readonly System[] = ["linux"],
): Library<Functions>["symbols"] | undefined {
  const system = systems.find((one) => one === process.platform);
  for (const library of system === undefined ? [] : libraries[system]) {
    try {
      return dlopen(library, functions).symbols;
    } catch {
      // Another C library, or none that has them.
    }
  }
  return undefined;
}
