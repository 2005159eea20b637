/** `--keep-size` and `--keep`, as users have them: the disk stays as full as it may be, and the account holds. */
import { expect, test } from "bun:test";
import { readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { catalogueRows, freePort, openPlace, type Place, setting } from "../support/processes.ts";
import { Random } from "../support/random.ts";

const seed = setting("KEEPING_SEED", Date.now() % 1_000_000);
const keepBytes = 2_000_000;

/** Of the frames that are there. */
function keptBytes(out: string): number {
  const files = readdirSync(out, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".jpg"));
  return files.reduce((sum, path) => sum + (statSync(join(out, path), { throwIfNoEntry: false })?.size ?? 0), 0);
}

/**
 * Nothing is missing, changed or without an account. A killed commit may leave files that nobody was told of, which are
 * taken up when their frames come again; never one of a frame that has expired.
 */
async function expectHolds(place: Place, out: string): Promise<void> {
  const { status, stdout } = await place.run(["--verify", out, "--quiet"]);
  expect(status, stdout).toBe(0);
  const lines = stdout.split("\n").filter((line) => line !== "" && !line.startsWith("unended "));
  for (const line of lines) {
    const number = /^unconfirmed camera\/vis\/(\d+)\.jpg: /.exec(line)?.[1];
    expect(number, stdout).toBeDefined();
    const known = catalogueRows(out, `SELECT outcome FROM outcomes WHERE ${number} BETWEEN first AND last`);
    expect(known, line).toEqual([]);
  }
}

test.concurrent(
  "what has expired is not sent again, is no reason to remove a file, and leaves its name to other bytes",
  async () => {
    await using place = await openPlace();
    const [dir, out] = [place.path("vis"), place.path("captures")];
    await makeFrameSet(dir, { kind: "jpeg", count: 60, bytes: 60_000 });
    const receiver = await place.receive(out, { words: ["--keep-size", String(keepBytes)] });
    expect(await place.send(receiver.port, [dir]).status()).toBe(0);
    const kept = new Set(catalogueRows<{ name: string }>(out, "SELECT name FROM frames").map(({ name }) => name));
    expect(kept.size).toBeGreaterThan(20);
    expect(kept.size).toBeLessThan(40);
    expect((await place.run(["--verify", out])).status).toBe(0);

    const again = place.send(receiver.port, [dir], ["--delete-sent", "--unchanged-for", "0"]);
    expect(await again.status()).toBe(0);
    const end = again.events.find(({ event }) => event === "source-ended");
    expect(end?.["totals"]).toMatchObject({ frames: 60, duplicates: kept.size, expired: 60 - kept.size });
    const left = readdirSync(dir);
    expect(left.filter((name) => kept.has(name))).toEqual([]);
    expect(left).toHaveLength(60 - kept.size);

    // The same name, size and time, and other bytes: a card that was formatted in a camera without a clock.
    const [name = ""] = left;
    const path = join(dir, name);
    const { mtime } = statSync(path);
    const other = new Uint8Array(await Bun.file(path).arrayBuffer()).map((byte, at) => (at === 5000 ? byte ^ 1 : byte));
    writeFileSync(path, other);
    utimesSync(path, mtime, mtime);
    expect(await place.send(receiver.port, [dir], ["--compare", "always"]).status()).toBe(0);
    const rows = catalogueRows(out, `SELECT path FROM frames WHERE name = '${name}'`);
    expect(rows).toEqual([{ path: `camera/vis/${name}` }]);
    expect((await place.run(["--verify", out])).status).toBe(0);
  },
  60_000,
);

test.concurrent(
  `kill -9 of a receiver that removes frames leaves an account that holds, at any moment; seed ${seed}`,
  async () => {
    const random = new Random(seed);
    await using place = await openPlace();
    const [dir, out] = [place.path("vis"), place.path("captures")];
    await makeFrameSet(dir, { kind: "jpeg", count: 600, bytes: 40_000 });
    const port = await freePort();
    const words = ["--keep-size", String(keepBytes), "--keep", "1h"];
    let receiver = await place.receive(out, { port, words });
    const sender = place.send(port, [dir], ["--max-rate", "40Mbit"]);
    for (let kills = 0; kills < 8 && !sender.ended; kills += 1) {
      await Bun.sleep(100 + random.int(500));
      await receiver.kill();
      await expectHolds(place, out);
      receiver = await place.receive(out, { port, words });
      await expectHolds(place, out);
    }
    expect(await sender.status()).toBe(0);
    // A commit is told before what it has brought too much has gone.
    receiver.signal("SIGTERM");
    await receiver.status();
    expect(keptBytes(out)).toBeLessThanOrEqual(keepBytes);
    expect((await place.run(["--verify", out])).status).toBe(0);
    const counts = catalogueRows<{ outcome: string; count: number }>(
      out,
      "SELECT outcome, sum(last - first + 1) AS count FROM outcomes GROUP BY outcome ORDER BY outcome",
    );
    expect(counts.map(({ outcome }) => outcome)).toEqual(["expired", "stored"]);
    expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(600);
  },
  120_000,
);
