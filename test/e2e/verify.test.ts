/** `--verify`: finds what is missing, changed, unknown and never came, says so, and disturbs nobody. */
import { expect, test } from "bun:test";
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { filesBelow, openPlace, type Place } from "../support/processes.ts";

async function archiveOf(place: Place, count: number): Promise<string> {
  const [dir, out] = [place.path("vis"), place.path("captures")];
  await makeFrameSet(dir, { kind: "jpeg", count, bytes: 2_000 });
  const receiver = await place.receive(out, { words: ["--once"] });
  expect(await place.send(receiver.port, [dir]).status()).toBe(0);
  expect(await receiver.status()).toBe(0);
  return out;
}

test.concurrent(
  "each difference is found by name, and the status is 6 until it is put right",
  async () => {
    await using place = await openPlace();
    const out = await archiveOf(place, 20);
    const stored = join(out, "camera", "vis");
    const clean = await place.run(["--verify", out]);
    expect(clean).toMatchObject({ status: 0, stderr: "" });
    expect(clean.stdout).toContain("20 frames, 0 missing, 0 changed, 0 unknown, 0 gaps");

    const bytes = await Bun.file(join(stored, "3.jpg")).bytes();
    const faults: readonly { make: () => void; line: string; sums: string; undo: () => void }[] = [
      {
        make: () => rmSync(join(stored, "3.jpg")),
        line: "missing camera/vis/3.jpg",
        sums: "1 missing, 0 changed, 0 unknown",
        undo: () => writeFileSync(join(stored, "3.jpg"), bytes),
      },
      {
        make: () => writeFileSync(join(stored, "3.jpg"), bytes.toReversed()),
        line: "changed camera/vis/3.jpg: ",
        sums: "0 missing, 1 changed, 0 unknown",
        undo: () => writeFileSync(join(stored, "3.jpg"), bytes),
      },
      {
        make: () => appendFileSync(join(stored, "3.jpg"), "more"),
        line: "changed camera/vis/3.jpg: ",
        sums: "0 missing, 1 changed, 0 unknown",
        undo: () => writeFileSync(join(stored, "3.jpg"), bytes),
      },
      {
        make: () => writeFileSync(join(stored, "stranger\n.jpg"), "not from us"),
        line: "unknown camera/vis/stranger\\x0a.jpg",
        sums: "0 missing, 0 changed, 1 unknown",
        undo: () => rmSync(join(stored, "stranger\n.jpg")),
      },
    ];
    for (const { make, line, sums, undo } of faults) {
      make();
      const found = await place.run(["--verify", out]);
      expect(found.status, line).toBe(6);
      expect(found.stdout, line).toContain(line);
      expect(found.stdout, line).toContain(sums);
      const quiet = await place.run(["--verify", out, "--quiet"]);
      expect(quiet.status, line).toBe(6);
      expect(quiet.stdout.trim().split("\n"), line).toHaveLength(1);
      undo();
      expect((await place.run(["--verify", out])).status, line).toBe(0);
    }
  },
  60_000,
);

test.concurrent(
  "it only reads: nothing in the archive changes",
  async () => {
    await using place = await openPlace();
    const out = await archiveOf(place, 5);
    // SQLite may put its two journal files beside a catalogue that is only read.
    const files = (): string[] =>
      readdirSync(out, { recursive: true, encoding: "utf8" })
        .filter((path) => !/-(?:wal|shm)$/.test(path))
        .toSorted();
    const before = files();
    const catalogue = await Bun.file(join(out, ".framepipe", "catalogue.db")).bytes();
    expect((await place.run(["--verify", out])).status).toBe(0);
    expect(files()).toEqual(before);
    expect(await Bun.file(join(out, ".framepipe", "catalogue.db")).bytes()).toEqual(catalogue);
  },
  60_000,
);

test.concurrent(
  "a directory that is no archive: an error and a hint",
  async () => {
    await using place = await openPlace();
    mkdirSync(place.path("empty"));
    for (const dir of [place.path("empty"), place.path("missing")]) {
      const { status, stdout, stderr } = await place.run(["--verify", dir]);
      expect([status, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(/^error: .*\nhint: .+/);
      expect(stderr).toContain(dir);
    }
    expect(readdirSync(place.path("empty"))).toEqual([]);
  },
  60_000,
);

test.concurrent(
  "while a receiver is receiving: no false alarm, and the transfer goes on",
  async () => {
    await using place = await openPlace();
    const [dir, out] = [place.path("vis"), place.path("captures")];
    const { bytes } = await makeFrameSet(dir, { kind: "jpeg", count: 300, bytes: 20_000 });
    const receiver = await place.receive(out, { words: ["--once"] });
    const proxy = place.proxy({ targetPort: receiver.port, bytesPerSecond: bytes / 4 });
    const sender = place.send(proxy.port, [dir]);
    while (filesBelow(out).length === 0) await Bun.sleep(10);
    let runs = 0;
    while (!sender.ended) {
      const { status, stdout, stderr } = await place.run(["--verify", out]);
      expect(stderr).toBe("");
      expect(stdout).toContain("0 missing, 0 changed, 0 unknown, 0 gaps");
      expect(status).toBe(0);
      runs += 1;
    }
    expect(runs).toBeGreaterThan(1);
    expect(await sender.status()).toBe(0);
    expect(await receiver.status()).toBe(0);
    expect(sender.count("disconnected")).toBe(0);
    expect((await place.run(["--verify", out])).stdout).toContain("300 frames, 0 missing");
  },
  60_000,
);

test.concurrent(
  "--sha256 writes what sha256sum reads, of the files that are as they were stored, or nothing",
  async () => {
    await using place = await openPlace();
    const out = await archiveOf(place, 12);
    writeFileSync(join(out, "camera/vis/3.jpg"), "other bytes");
    rmSync(join(out, "camera/vis/4.jpg"));
    const manifest = place.path("manifest");
    writeFileSync(manifest, "of yesterday");
    expect((await place.run(["--verify", out, "--sha256", manifest])).status).toBe(6);
    const check = (): unknown => {
      const { exitCode, stdout } = Bun.spawnSync(["sha256sum", "-c", manifest], { cwd: out });
      return [exitCode, stdout.toString().trim().split("\n").toSorted()];
    };
    const sound = filesBelow(out).filter((path) => !path.endsWith("/3.jpg"));
    expect(sound).toHaveLength(10);
    expect(check()).toEqual([0, sound.map((path) => `${path}: OK`).toSorted()]);
    appendFileSync(join(out, "camera/vis/5.jpg"), "more");
    expect(check()).toMatchObject([1, expect.arrayContaining(["camera/vis/5.jpg: FAILED"])]);

    const before = readFileSync(manifest, "utf8");
    const refused = async (file: string, destination = out): Promise<{ status: number; said: string }> => {
      const { status, stderr } = await place.run(["--verify", destination, "--sha256", file]);
      return { status, said: stderr };
    };
    expect(await refused(join(out, "manifest"))).toMatchObject({
      status: 2,
      said: expect.stringContaining("a file in ") as unknown as string,
    });
    expect(await refused(place.path("gone", "manifest"))).toMatchObject({
      status: 1,
      said: expect.stringContaining("cannot write ") as unknown as string,
    });
    expect((await refused(manifest, place.path("vis"))).said).toContain("has no catalogue");
    expect((await refused(manifest, "s3://bucket/prefix")).said).toContain("--sha256 is for a directory");
    expect(readFileSync(manifest, "utf8")).toBe(before);
    expect(readdirSync(place.dir).filter((name) => name.startsWith("."))).toEqual([]);
  },
  60_000,
);
