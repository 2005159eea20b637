/** The executable and unmodified programs of the article, in both directions. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { runArticleClient, startArticleServer } from "../support/lockstep-peers.ts";
import { differences, filesBelow, openPlace, setting } from "../support/processes.ts";

const picture = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

const manners = {
  "as written": {},
  "with continue and the next header in one write": { glue: true },
  "with each header in two writes": { splitHeaderMs: 30 },
  slow: { writeDelayMs: 20 },
  "reading one byte at a time": { readBytes: 2, noDelay: true },
} as const;

test("article clients, all at once: their frames are stored below lockstep, each as it was sent", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out);
  const names = ["1.jpg", "2.png", "10.jpg", "empty.jpg", "without-extension", "sub/folder/3.jpg"];
  const clients = Object.entries(manners).map(async ([, manner], index) => {
    const frames = names.map((name) => ({ name, bytes: picture(name === "empty.jpg" ? 0 : 30_000 + index) }));
    const directory = `folder-${index}`;
    const client = { port: receiver.port, format: "visible", directory, frames, ...manner };
    expect(await runArticleClient(client)).toBe(names.length);
    return { directory, frames };
  });
  for (const { directory, frames } of await Promise.all(clients)) {
    const stored = join(out, "lockstep", "visible", directory);
    // Sorted, because this is how the files are listed.
    expect(filesBelow(stored)).toEqual(names.toSorted());
    for (const { name, bytes } of frames) expect(readFileSync(join(stored, name)).equals(bytes)).toBe(true);
  }
  await receiver.until(() => receiver.count("session-ended") === clients.length, "every session over");
  expect(receiver.all("session-started").map(({ protocol }) => protocol)).toEqual(clients.map(() => "lockstep"));
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  expect((await place.run(["--verify", out])).status).toBe(0);
}, 60_000);

test("an article client that dies inside a payload: nothing of that frame, all of the others; and --once", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out, { words: ["--once"] });
  const frames = ["1.jpg", "2.jpg", "3.jpg", "4.jpg"].map((name) => ({ name, bytes: picture(90_000) }));
  const client = { port: receiver.port, format: "infrared", directory: "folder", frames };
  expect(await runArticleClient({ ...client, dieInFrame: 2 })).toBe(2);
  await receiver.waitFor("connection-lost");
  const stored = join(out, "lockstep", "infrared", "folder");
  expect(filesBelow(stored)).toEqual(["1.jpg", "2.jpg"]);
  expect(receiver.ended).toBe(false);

  expect(await runArticleClient(client)).toBe(4);
  expect(await receiver.status()).toBe(0);
  for (const { name, bytes } of frames) expect(readFileSync(join(stored, name)).equals(bytes)).toBe(true);
  expect(filesBelow(out)).toHaveLength(4);
  expect((await place.run(["--verify", out])).status).toBe(0);
}, 60_000);

/** The protocol takes a tenth of a second for a frame, a slow server more. */
const testMs = 600_000;

const servers = {
  "reads at once": {},
  "is busy after each frame": { busyMs: 40 },
  "reads slowly": { slowReadMs: 1 },
} as const;

const count = setting("E2E_LOCKSTEP_FRAMES", 15);
const frames = mkdtempSync(join(tmpdir(), "framepipe-"));
const [visible, infrared] = [join(frames, "vis"), join(frames, "ir")];

// Before any server runs: making pictures would keep them from reading in time.
beforeAll(async () => {
  await makeFrameSet(visible, { kind: "jpeg", count, bytes: 30_000 });
  await makeFrameSet(infrared, { kind: "png", count: 3, bytes: 2_000 });
  mkdirSync(join(visible, "sub"));
  writeFileSync(join(visible, "sub", "empty.jpg"), "");
}, 60_000);
afterAll(() => rmSync(frames, { recursive: true, force: true }));

for (const [name, options] of Object.entries(servers)) {
  test.concurrent(
    `--lockstep fills an article server of 1,024-byte reads that ${name}`,
    async () => {
      await using place = await openPlace();
      const stored = place.path("stored");
      const server = startArticleServer({ directory: stored, ...options });
      place.onClose(() => server.stop());
      const inputs = [`visible=${visible}`, `infrared/night=${infrared}`];
      const sender = place.send(server.port, inputs, ["--lockstep"]);
      expect(await sender.status(testMs - 10_000)).toBe(0);
      // The server said its last ok before it wrote the last frame.
      while (server.overs < inputs.length) await Bun.sleep(5);
      // One conversation for each, and one more where this machine stood still for a whole pause: two messages that
      // are read at once are lost, and all that is not confirmed comes again.
      const begun = server.sessions.filter((session, index) => session !== server.sessions[index - 1]);
      expect(begun).toEqual(["visible|visible", "infrared|night"]);
      expect(server.lost).toHaveLength(server.sessions.length - begun.length);
      expect(differences(visible, join(stored, "visible"))).toEqual([]);
      expect(differences(infrared, join(stored, "infrared"))).toEqual([]);
      const numbers = [...new Set(server.names)].slice(0, count).map((frame) => Number.parseInt(frame, 10));
      expect(numbers).toEqual(Array.from({ length: count }, (_, index) => index));
    },
    testMs,
  );
}
