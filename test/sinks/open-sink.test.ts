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
  env: {},
};

async function inTemporaryFolder(run: (parent: string) => Promise<void> | void): Promise<void> {
  const parent = mkdtempSync(join(tmpdir(), "framepipe-"));
  try {
    await run(parent);
  } finally {
    rmSync(parent, { recursive: true });
  }
}

test("an address of a kind that is not there is a usage error, never a directory of that name", () =>
  inTemporaryFolder(async (parent) => {
    const before = process.cwd();
    process.chdir(parent);
    try {
      for (const destination of ["gs://bucket/x", "https://host/x"]) {
        const opening = openSinks([destination], options);
        await expect(opening).rejects.toThrow(`${destination}: there is no destination of this kind`);
      }
      expect(readdirSync(parent)).toEqual([]);
    } finally {
      process.chdir(before);
    }
  }));

test("where frames cannot be removed, --keep is refused, and so is a layout in a store", async () => {
  const keep = { keepMs: 1000, keepBytes: undefined, quotaOf: () => undefined };
  for (const destination of ["s3://bucket/x", "nats://host/x", "day.tar"]) {
    await expect(openSinks([destination], { ...options, keep })).rejects.toThrow("only from a directory");
  }
  for (const destination of ["s3://bucket/x", "nats://host/x"]) {
    const opening = openSinks([destination], { ...options, layout: "{source}/{name}" });
    await expect(opening).rejects.toThrow("--layout cannot be used");
  }
});

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
    const sink = await openSinks([directory, archive, "/dev/null"], options);
    expect(sink.place).toBe(`${directory}, ${archive}, /dev/null`);
    stage(sink, frameOf("1.jpg", "one"), "one");
    expect(await commit(sink)).toBeUndefined();
    sink.dispose();
    expect(existsSync(join(directory, "rig/visible/1.jpg"))).toBe(true);
    await expect(openSinks([archive, directory, join(parent, "no/day.tar")], options)).rejects.toThrow(UserError);
    // Both were given back.
    (await openSinks([archive, directory], options)).dispose();
    await expect(openSinks([archive, directory, archive], options)).rejects.toThrow(`--out ${archive} is given twice`);
    expect((await openSinks(["/dev/null"], options)).place).toBe("/dev/null");
    for (const inner of ["day.tar", "inner"]) {
      const within = join(directory, inner);
      await expect(openSinks([within, directory], options)).rejects.toThrow(
        `--out ${within} is within another destination`,
      );
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
      await expect(openSinks([one, other], options)).rejects.toThrow(`--out ${other} is given twice`);
    }
  }));

test("a bad layout is said for every destination", () => {
  expect(() => openSink("/dev/null", { ...options, layout: "{device}" })).toThrow("--layout '{device}'");
  expect(openSink("/dev/null", options).place).toBe("/dev/null");
});
