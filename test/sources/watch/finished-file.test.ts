import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { appendFileSync, closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspectFile, settleMs } from "../../../src/sources/watch/finished-file.ts";
import { hasLeases } from "./leases.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function put(content: Uint8Array | string): string {
  const path = join(root, "frame");
  writeFileSync(path, content);
  return path;
}

const jpeg = Buffer.concat([Buffer.from("ffd8ffe0", "hex"), Buffer.alloc(5000, 1), Buffer.from("ffd9", "hex")]);
const png = Buffer.concat([
  Buffer.from("89504e470d0a1a0a", "hex"),
  Buffer.alloc(5000, 1),
  Buffer.from("0000000049454e44ae426082", "hex"),
]);

describe("the trailer", () => {
  const cases: [string, Uint8Array | string, string][] = [
    ["a JPEG", jpeg, "present"],
    ["a JPEG with a few bytes of the camera behind it", Buffer.concat([jpeg, Buffer.alloc(50)]), "present"],
    ["a JPEG without its last byte", jpeg.subarray(0, -1), "missing"],
    ["the first bytes of a JPEG", jpeg.subarray(0, 20), "missing"],
    ["a JPEG that ended long ago: a thumbnail", Buffer.concat([jpeg, Buffer.alloc(100)]), "missing"],
    ["a PNG", png, "present"],
    ["a PNG without its last byte", png.subarray(0, -1), "missing"],
    ["an empty file", "", "missing"],
    ["one byte", "x", "without"],
    ["something else", "P6 640 480 255 ...", "without"],
    ["something else with the end of a JPEG", Buffer.from("0000ffd9", "hex"), "without"],
  ];
  test.each(cases)("of %s", (_what, content, trailer) => {
    expect(inspectFile(put(content), "unknown").trailer).toBe(trailer as "present");
  });
});

describe.skipIf(!hasLeases())("who writes", () => {
  test("is seen while a file is open for writing, in this process or another", () => {
    const path = put("half");
    expect(inspectFile(path, "unknown").writers).toBe("none");
    const writer = openSync(path, "a");
    expect(inspectFile(path, "unknown").writers).toBe("open");
    writeSync(writer, " and half");
    expect(inspectFile(path, "unknown").writers).toBe("open");
    closeSync(writer);
    expect(inspectFile(path, "unknown").writers).toBe("none");
    const reader = openSync(path, "r");
    expect(inspectFile(path, "unknown").writers).toBe("none");
    closeSync(reader);
  });

  test("asking does not disturb a writer, nor end this program", async () => {
    const path = put("");
    const script = 'i=0; while [ $i -lt 3000 ]; do echo $i >> "$0" || exit 9; i=$((i+1)); done';
    const writer = Bun.spawn(["sh", "-c", script, path], { stderr: "inherit" });
    const seen = new Set<string>();
    for (let over = false; !over; await Bun.sleep(0)) {
      for (let asked = 0; asked < 200; asked += 1) seen.add(inspectFile(path, "unknown").writers);
      over = writer.exitCode !== null;
    }
    expect(writer.exitCode).toBe(0);
    expect((await Bun.file(path).text()).trim().split("\n")).toEqual(Array.from({ length: 3000 }, (_, i) => `${i}`));
    expect(seen.has("none")).toBe(true);
    expect(seen.has("unknown")).toBe(false);
  });
});

test("a file that cannot be inspected is an error of the file system", () => {
  expect(() => inspectFile(join(root, "gone"), "unknown")).toThrow("ENOENT");
});

test("the better the evidence the shorter the wait; what is open and has no end is never finished", () => {
  const trailers = ["present", "without", "missing"] as const;
  for (const writers of ["none", "unknown", "open"] as const) {
    const waits = trailers.map((trailer) => settleMs({ trailer, writers }, "unknown"));
    expect(waits).toEqual(waits.toSorted((a, b) => a - b));
    for (const trailer of trailers) {
      expect(settleMs({ trailer, writers }, "whole")).toBeLessThanOrEqual(
        writers === "none" ? 2 : (waits[0] as number),
      );
    }
  }
  expect(settleMs({ trailer: "without", writers: "open" }, "unknown")).toBe(Infinity);
  expect(settleMs({ trailer: "missing", writers: "open" }, "unknown")).toBe(Infinity);
  // What the user is promised: within about 100 ms after the trailer.
  expect(settleMs({ trailer: "present", writers: "unknown" }, "unknown")).toBeLessThan(100);
});

test("what has rested is finished at once if nobody writes, or if nobody knows but its trailer is there", () => {
  for (const trailer of ["present", "without", "missing"] as const) {
    expect(settleMs({ trailer, writers: "none" }, "rested")).toBe(0);
    expect(settleMs({ trailer, writers: "open" }, "rested")).toBe(settleMs({ trailer, writers: "open" }, "unknown"));
  }
  expect(settleMs({ trailer: "present", writers: "unknown" }, "rested")).toBe(0);
  // A time alone does not decide.
  expect(settleMs({ trailer: "without", writers: "unknown" }, "rested")).toBeGreaterThan(1000);
  expect(settleMs({ trailer: "missing", writers: "unknown" }, "rested")).toBeGreaterThan(1000);
});

test("a file that grows between two looks is judged anew", () => {
  const path = put(jpeg.subarray(0, 100));
  expect(inspectFile(path, "unknown").trailer).toBe("missing");
  appendFileSync(path, jpeg.subarray(100));
  expect(inspectFile(path, "unknown").trailer).toBe("present");
});
