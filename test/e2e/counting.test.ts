/** What both ends' displays, events and last lines say of a run, and what the catalogue says, is the same. */
import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../support/random.ts";
import { catalogueRows, filesBelow, openPlace } from "../support/processes.ts";

interface Counts {
  readonly stored: number;
  readonly duplicates: number;
  readonly conflicts: number;
  readonly refused: number;
  readonly skipped: number;
}

const kinds = ["stored", "duplicates", "conflicts", "refused", "skipped"] as const;

/** Of events that each have some of them. */
function sumOf(events: readonly object[]): Counts {
  const sum = { stored: 0, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
  for (const event of events) for (const kind of kinds) sum[kind] += (event as Counts)[kind];
  return sum;
}

test("a link that is cut again and again, names that are taken, frames that are there or refused", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const [first, second] = [place.path("first"), place.path("second")];
  for (const dir of [first, second]) mkdirSync(dir);
  const picture = (text: string, bytes: number): Uint8Array => {
    const head = Buffer.from(`P5 1 ${bytes} 255\n`);
    return Buffer.concat([head, Buffer.alloc(bytes, text)]);
  };
  for (let index = 0; index < 400; index++) writeFileSync(join(first, `${index}.pgm`), picture("one", 20_000 + index));
  for (let index = 0; index < 500; index++) {
    // A hundred have the names of others, a hundred are too large, and the rest is new.
    const kind = index < 100 ? "other" : "new";
    const name = index < 100 ? `${index}` : `new-${index}`;
    writeFileSync(join(second, `${name}.pgm`), picture(kind, index >= 400 ? 70_000 : 20_000 + index));
  }
  const receiver = await place.receive(out, { words: ["--max-frame", "60K", "--verbose"] });
  const proxy = place.proxy({ targetPort: receiver.port, bytesPerSecond: 6e6 });
  const random = new Random(15);
  let timer: Timer | undefined;
  const cutLater = (): void => {
    timer = setTimeout(
      () => {
        proxy.cut();
        cutLater();
      },
      50 + random.int(250),
    );
  };
  cutLater();
  place.onClose(() => clearTimeout(timer));

  const runs: Counts[] = [];
  const ended: Counts[] = [];
  for (const dir of [first, second, first]) {
    const sender = place.send(proxy.port, [`vis=${dir}`]);
    await sender.status();
    runs.push(sumOf(sender.all("summary")));
    const session = ended.length + 1;
    await receiver.until(
      () => new Set(receiver.all("session-ended").map((event) => event["session"])).size >= session,
      "an end",
    );
    const last = receiver.all("session-ended").at(-1);
    ended.push(sumOf([last?.["totals"] as object]));
    // Once for each frame that this run stored, whatever was sent again.
    const { stored, conflicts } = runs.at(-1) as Counts;
    expect(last).toMatchObject({ storedFrames: stored + conflicts });
  }
  clearTimeout(timer);
  expect(runs).toEqual([
    { stored: 400, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 },
    { stored: 300, duplicates: 0, conflicts: 100, refused: 100, skipped: 0 },
    { stored: 0, duplicates: 400, conflicts: 0, refused: 0, skipped: 0 },
  ]);
  expect(ended).toEqual(runs);

  const all = sumOf(runs);
  const { stored: _, ...rest } = all;
  const shown = { frames: all.stored + all.conflicts, ...rest };
  await receiver.until(
    () => Bun.deepMatch(shown, receiver.all("progress").at(-1) ?? {}),
    `${JSON.stringify(shown)} shown`,
  );
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  expect(receiver.all("received")).toMatchObject([shown]);
  // Each is an event once.
  expect(receiver.count("stored")).toBe(all.stored + all.conflicts);
  expect(receiver.count("conflict")).toBe(all.conflicts);

  expect(filesBelow(join(out, "camera", "vis")).length).toBe(all.stored + all.conflicts);
  const rows = catalogueRows<{ outcome: string; count: number }>(
    out,
    "SELECT outcome, sum(last - first + 1) AS count FROM outcomes GROUP BY outcome",
  );
  const inCatalogue = Object.fromEntries(rows.map(({ outcome, count }) => [outcome, count]));
  expect(inCatalogue).toEqual({
    stored: all.stored,
    duplicate: all.duplicates,
    conflict: all.conflicts,
    refused: all.refused,
  });
  const verified = await place.run(["--verify", out]);
  expect(verified.stdout).toContain(`${all.stored + all.conflicts} frames`);
  expect(verified.status).toBe(4);
}, 90_000);
