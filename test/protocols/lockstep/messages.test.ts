import { describe, expect, test } from "bun:test";
import { ProtocolError } from "../../../src/errors.ts";
import { lockstepReadBytes } from "../../../src/limits.ts";
import {
  decodeFrameHeader,
  decodeSessionHeader,
  encodeFrameHeader,
  encodeSessionHeader,
  endsItself,
  headerProblem,
  lockstepMayBegin,
  selfEndingExtensions,
  sessionHeaderFor,
  sourceOf,
} from "../../../src/protocols/lockstep/messages.ts";
import { frameHeaders, prefixes, sessionHeaders } from "../../vectors/lockstep.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** What `read` gives, or the code of the ProtocolError it throws. */
function outcome<T>(read: () => T): T | { code: number } {
  try {
    return read();
  } catch (error) {
    if (error instanceof ProtocolError) return { code: error.code };
    throw error;
  }
}

describe("session headers", () => {
  for (const { text, expected } of sessionHeaders) {
    test(JSON.stringify(text.slice(0, 40)), () => {
      const found = outcome(() => {
        const header = decodeSessionHeader(utf8(text));
        return header === undefined ? "more" : sourceOf(header);
      });
      expect(found).toEqual(expected);
    });
  }

  test("a character cut in two is waited for", () => {
    expect(decodeSessionHeader(utf8("visible|été").subarray(0, -1))).toBeUndefined();
  });

  test("every source can be said and is understood", () => {
    const longest = `${`${"x".repeat(255)}/`.repeat(3)}${"y".repeat(255)}/`.slice(0, -1);
    for (const source of ["visible", "visible/left", "a/b/c", "été", "z".repeat(255), longest]) {
      const encoded = encodeSessionHeader(sessionHeaderFor(source));
      const header = decodeSessionHeader(encoded);
      expect(header && sourceOf(header)).toBe(source.includes("/") ? source : `${source}/${source}`);
    }
    expect(longest.length).toBe(1023);
  });
});

describe("frame headers", () => {
  for (const { bytes, expected } of frameHeaders) {
    test(JSON.stringify(Buffer.from(bytes).toString("latin1").slice(0, 40)), () => {
      const found = outcome(() => {
        const header = decodeFrameHeader(bytes);
        return header === undefined ? "more" : { ...header, atOnce: endsItself(header.name) };
      });
      expect(found).toEqual(expected);
    });
  }

  test("no extension that is complete at once begins another", () => {
    for (const one of selfEndingExtensions) {
      expect(endsItself(`17${one}`)).toBe(true);
      expect(selfEndingExtensions.filter((other) => other !== one && other.startsWith(one))).toEqual([]);
    }
  });

  test("a prefix of a header never is a header that is complete at once", () => {
    const whole = frameHeaders.filter(({ expected }) => typeof expected !== "string" && !("code" in expected));
    expect(whole.length).toBeGreaterThan(1);
    for (const { bytes } of whole) {
      for (let cut = 0; cut < bytes.length; cut++) {
        const header = decodeFrameHeader(bytes.subarray(0, cut));
        expect(header !== undefined && endsItself(header.name)).toBe(false);
      }
    }
  });

  test("what can be said is understood, what cannot is named", () => {
    for (const name of ["17.jpg", "left/17.jpg", "été.png", "a|b"]) {
      expect(headerProblem(name, 5)).toBeUndefined();
      expect(decodeFrameHeader(encodeFrameHeader({ bytes: 5, name }))).toEqual({ bytes: 5, name });
    }
    const longest = "x".repeat(lockstepReadBytes - 2);
    expect(headerProblem(longest, 5)).toBeUndefined();
    expect(headerProblem(longest, 10)).toBe("lockstep header of 1025 bytes, limit 1024");
    expect(headerProblem("", 5)).toBe("empty name");
    expect(headerProblem("a\nb", 5)).toBe("control character in the name");
  });
});

describe("first bytes", () => {
  for (const { bytes, expected } of prefixes) {
    test(`${expected}: ${JSON.stringify(Buffer.from(bytes).toString("latin1").slice(0, 40))}`, () => {
      expect(lockstepMayBegin(bytes)).toBe(expected);
    });
  }
});
