/** What people read of a code. */
import { expect, test } from "bun:test";
import {
  describe,
  describeNetwork,
  errorCode,
  isDamage,
  isDenied,
  isExhaustion,
  isFull,
  isNameError,
  lacksSharedMemory,
  passesByItself,
} from "../../src/system/errno.ts";

const coded = (code: unknown): Error => Object.assign(new Error("the error's own message"), { code });

test("a code becomes a sentence, and stands behind it to be looked up", () => {
  expect(describe(coded("ENOSPC"))).toBe("the disk is full (ENOSPC)");
  expect(describe(coded("SQLITE_IOERR_WRITE"))).toBe("the disk reports an input/output error (SQLITE_IOERR_WRITE)");
});

test("a caller's own words come first", () => {
  expect(describe(coded("ENOENT"), { ENOENT: "no longer there" })).toBe("no longer there (ENOENT)");
  expect(describe(coded("EACCES"), { ENOENT: "no longer there" })).toBe("permission denied (EACCES)");
});

test("a code without a word leaves the message, or what the caller says of such", () => {
  expect(describe(coded("EUNKNOWN"))).toBe("the error's own message");
  expect(describe(coded("EUNKNOWN"), {}, "cannot be read")).toBe("cannot be read (EUNKNOWN)");
  expect(describe(new Error("no code"), {}, "cannot be read")).toBe("no code");
  expect(describe("no error")).toBe("no error");
});

test("what goes wrong with a connection needs no code", () => {
  expect(describeNetwork(coded("ECONNREFUSED"))).toBe("connection refused");
  expect(describeNetwork(coded("ENOENT"))).toBe("the error's own message");
  expect(describeNetwork("no error")).toBe("no error");
});

test("only a text is a code", () => {
  expect([coded("EIO"), coded(5), new Error("none"), "EIO", undefined].map(errorCode)).toEqual(["EIO", "", "", "", ""]);
});

test("codes are told apart by what can be done", () => {
  const kinds = { isDamage, isDenied, isExhaustion, isFull, isNameError };
  const codes = ["SQLITE_NOTADB", "EACCES", "EPERM", "EMFILE", "ENOSPC", "SQLITE_FULL", "EINVAL", "EIO"];
  const found = codes.map((code) => Object.entries(kinds).flatMap(([kind, is]) => (is(coded(code)) ? [kind] : [])));
  const expected = ["isDamage", "isDenied", "isDenied", "isExhaustion", "isFull", "isFull", "isNameError"];
  expect(found).toEqual([...expected.map((kind) => [kind]), []]);
});

test.each([
  // Of the disk: a receiver that starts then waits.
  ["SQLITE_IOERR_SHMSIZE", { full: true, passes: true, shares: true }],
  ["SQLITE_IOERR_WRITE", { full: false, passes: true, shares: true }],
  ["EIO", { full: false, passes: true, shares: true }],
  ["EDQUOT", { full: true, passes: true, shares: true }],
  ["SQLITE_IOERR_SHMMAP", { full: false, passes: true, shares: false }],
  // Of what was asked for.
  ["EACCES", { full: false, passes: false, shares: true }],
  ["SQLITE_CANTOPEN", { full: false, passes: false, shares: true }],
])("%s: full, passing by itself, or of memory that cannot be shared", (code, { full, passes, shares }) => {
  const error = coded(code);
  expect([isFull(error), passesByItself(error), !lacksSharedMemory(error)]).toEqual([full, passes, shares]);
});
