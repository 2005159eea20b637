import { describe, expect, test } from "bun:test";
import { UserError } from "../../../src/errors.ts";
import { nameProblem } from "../../../src/names.ts";
import { FrameNames, frameNameDefault } from "../../../src/sources/stream/frame-names.ts";

const capturedNs = 1_795_444_205_123_456_789n;

describe("names of stream frames", () => {
  test("the default, and every field", () => {
    const name = (template: string) => new FrameNames(template, "0a1b2c3d", "ir/left").name(capturedNs, 42, "png");
    expect(name(frameNameDefault)).toBe("2026-11-23/20261123T143005.123Z-00000042-0a1b2c3d.png");
    expect(name("{source}/{run}x{sequence}")).toBe("ir/left/0a1b2c3dx00000042");
    expect(name("{run}{sequence}.jpg")).toBe("0a1b2c3d00000042.jpg");
    expect(nameProblem(name(frameNameDefault))).toBeUndefined();
  });

  test("numbers beyond eight digits, and times before the clock was set, still make names", () => {
    const names = new FrameNames(frameNameDefault, "0a1b2c3d", "s");
    expect(names.name(0n, 123_456_789, "jpg")).toBe("1970-01-01/19700101T000000.000Z-123456789-0a1b2c3d.jpg");
  });

  test("a template that could give one name twice, or one that is no name, is refused", () => {
    const complaint = (template: string): string => {
      try {
        return String(new FrameNames(template, "0a1b2c3d", "s"));
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        expect(error.hints.length).toBeGreaterThan(0);
        return error.message;
      }
    };
    expect(complaint("{sequence}.jpg")).toBe("--name needs the field {run}");
    expect(complaint("{time}-{run}.jpg")).toBe("--name needs the field {sequence}");
    expect(complaint("{sequence}-{run}-{camera}")).toBe("--name: there is no field {camera}");
    expect(complaint("../{sequence}-{run}")).toBe("--name does not make a safe name: `..` segment");
    expect(complaint("/{sequence}-{run}")).toStartWith("--name does not make a safe name: ");
  });
});
