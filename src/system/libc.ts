/**
 * Functions of the C library that neither Bun nor Node.js offers, called by FFI. Only on Linux, and only where the
 * library has them: each caller has another way, or does without. The first call takes 0.3 ms, so it is made when a
 * function is needed, not at the start.
 */
import { dlopen, type FFIFunction, type Library } from "bun:ffi";

/** glibc, then musl. */
const libraries = ["libc.so.6", "libc.so"];

/** Undefined: this system has no such functions. */
export function openLibc<Functions extends Record<string, FFIFunction>>(
  functions: Functions,
): Library<Functions>["symbols"] | undefined {
  if (process.platform !== "linux") return undefined;
  for (const library of libraries) {
    try {
      return dlopen(library, functions).symbols;
    } catch {
      // Another C library, or none that has them.
    }
  }
  return undefined;
}
