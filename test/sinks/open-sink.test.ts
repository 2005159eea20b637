import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../src/errors.ts";
import { openSink, openSinks, type OpenSinkOptions } from "../../src/sinks/open-sink.ts";
import { commit, frameOf, stage } from "./suite.ts";

const options: OpenSinkOptions = {
  layout: undefined,
  sync: "batch",
  frameBytesMax: 1000,
  minFreeBytes: 0,
  mustExist: false,
  outputIsTerminal: false,
  onClosed: () => {},
  onEvent: () => {},
};

async function inTemporaryFolder(run: (parent: string) => Promise<void> | void): Promise<void> {
  const parent = mkdtempSync(join(tmpdir(), "framepipe-"));
  try {
    await run(parent);
  } finally {
    rmSync(parent, { recursive: true });
  }
}

test("kinds that are not there yet are a usage error, never a directory of that name", () =>
  inTemporaryFolder((parent) => {
    const before = process.cwd();
    process.chdir(parent);
    try {
      for (const destination of ["s3://bucket/x", "nats://host:4222"]) {
        expect(() => openSink(destination, options)).toThrow(UserError);
        expect(() => openSink(destination, options)).toThrow("not supported yet");
      }
      expect(readdirSync(parent)).toEqual([]);
    } finally {
      process.chdir(before);
    }
  }));

test("a directory is made with those above it, and a layout is used", () =>
  inTemporaryFolder(async (parent) => {
    const sink = openSink(join(parent, "a/b/captures"), { ...options, layout: "{source}/{name}" });
    const results = stage(sink, frameOf("1.jpg", "one"), "one");
    expect(await commit(sink)).toBeUndefined();
    expect(results).toEqual(["stored"]);
    sink.dispose();
    expect(existsSync(join(parent, "a/b/captures/visible/1.jpg"))).toBe(true);
  }));

test("an archive is known by its name, in any case", () =>
  inTemporaryFolder(async (parent) => {
    for (const name of ["day.tar", "DAY.TAR"]) {
      const sink = openSink(join(parent, name), { ...options, layout: "{source}/{name}" });
      stage(sink, frameOf("1.jpg", "one"), "one");
      expect(await commit(sink)).toBeUndefined();
      sink.dispose();
      const listed = Bun.spawnSync(["tar", "-tf", join(parent, name)]);
      expect(listed.stdout.toString()).toBe("visible/1.jpg\n");
    }
    openSink(join(parent, "day.MCAP"), options).dispose();
    expect(readFileSync(join(parent, "day.MCAP"), "latin1")).toStartWith("\x89MCAP0\r\n");
  }));

test("several destinations are one sink; if one cannot be opened, none is", () =>
  inTemporaryFolder(async (parent) => {
    const [directory, archive] = [join(parent, "captures"), join(parent, "day.tar")];
    const sink = openSinks([directory, archive, "/dev/null"], options);
    expect(sink.place).toBe(`${directory}, ${archive}, /dev/null`);
    stage(sink, frameOf("1.jpg", "one"), "one");
    expect(await commit(sink)).toBeUndefined();
    sink.dispose();
    expect(existsSync(join(directory, "rig/visible/1.jpg"))).toBe(true);
    expect(() => openSinks([archive, directory, join(parent, "no/day.tar")], options)).toThrow(UserError);
    // Both were given back.
    openSinks([archive, directory], options).dispose();
    expect(() => openSinks([archive, directory, archive], options)).toThrow(`--out ${archive} is given twice`);
    expect(openSinks(["/dev/null"], options).place).toBe("/dev/null");
    for (const inner of ["day.tar", "inner"]) {
      const within = join(directory, inner);
      expect(() => openSinks([within, directory], options)).toThrow(`--out ${within} is within another destination`);
    }
    // By whatever name.
    symlinkSync(parent, join(parent, "link"));
    for (const [one, other] of [
      [archive, join(parent, "x", "..", "day.tar")],
      [archive, `${parent}/./day.tar`],
      [archive, join(parent, "link", "day.tar")],
      [join(parent, "new/day.tar"), join(parent, "link", "new/day.tar")],
      ["-", "/dev/stdout"],
      ["/dev/fd/1", "-"],
    ] as const) {
      expect(() => openSinks([one, other], options)).toThrow(`--out ${other} is given twice`);
    }
  }));

test("a bad layout is said for every destination", () => {
  expect(() => openSink("/dev/null", { ...options, layout: "{device}" })).toThrow("--layout '{device}'");
  expect(openSink("/dev/null", options).place).toBe("/dev/null");
});
