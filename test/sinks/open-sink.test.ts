import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../src/errors.ts";
import { openSink, type OpenSinkOptions } from "../../src/sinks/open-sink.ts";
import { commit, frameOf, stage } from "./suite.ts";

const options: OpenSinkOptions = { layout: undefined, sync: "batch", frameBytesMax: 1000, minFreeBytes: 0 };

test("kinds that are not there yet are a usage error, never a directory of that name", () => {
  const parent = mkdtempSync(join(tmpdir(), "framepipe-"));
  const before = process.cwd();
  process.chdir(parent);
  try {
    for (const destination of ["-", "/dev/stdout", "x.tar", "x.MCAP", "s3://bucket/x", "nats://host:4222"]) {
      expect(() => openSink(destination, options)).toThrow(UserError);
      expect(() => openSink(destination, options)).toThrow("not supported yet");
    }
    expect(readdirSync(parent)).toEqual([]);
  } finally {
    process.chdir(before);
    rmSync(parent, { recursive: true });
  }
});

test("a directory is made with those above it, and a layout is used", async () => {
  const parent = mkdtempSync(join(tmpdir(), "framepipe-"));
  try {
    const sink = openSink(join(parent, "a/b/captures"), { ...options, layout: "{source}/{name}" });
    const results = stage(sink, frameOf("1.jpg", "one"), "one");
    expect(await commit(sink)).toBeUndefined();
    expect(results).toEqual(["stored"]);
    sink.dispose();
    expect(existsSync(join(parent, "a/b/captures/visible/1.jpg"))).toBe(true);
  } finally {
    rmSync(parent, { recursive: true });
  }
});

test("a bad layout is said for every destination", () => {
  expect(() => openSink("/dev/null", { ...options, layout: "{device}" })).toThrow("--layout '{device}'");
  expect(openSink("/dev/null", options).place).toBe("/dev/null");
});
