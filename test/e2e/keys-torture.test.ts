/**
 * With keys, over a slow link that is cut: either end is killed, the device's file is removed and put back, the
 * receiver's key is replaced by its spare. Every frame arrives once, and the same commands are all it needs.
 */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { catalogueRows, differences, filesBelow, freePort, openPlace, setting } from "../support/processes.ts";
import { Random } from "../support/random.ts";

test("kills, cuts, a grant that comes and goes, and another key: every frame once", async () => {
  const seed = setting("E2E_SEED", Math.trunc(Math.random() * 1e9));
  const kinds = ["receiver", "sender", "cut", "grant", "key"] as const;
  const rounds = setting("E2E_ROUNDS", 2);
  const random = new Random(seed);
  await using place = await openPlace();
  const folder = place.path("vis");
  const frames = setting("E2E_FRAMES", 500);
  const { bytes } = await makeFrameSet(folder, { kind: "jpeg", count: frames, bytes: 30_000 });
  const archive = place.path("captures");
  const [port, key, aside] = [freePort(), place.path("recorder.key"), place.path("aside")];
  mkdirSync(aside);
  const proxy = place.proxy({ targetPort: port, bytesPerSecond: bytes / 4 });
  const receive = () => place.receive(archive, { port, words: ["--key", key] });
  let receiver = await receive();
  const made = await place.run(["--invite", `rig-7@127.0.0.1:${proxy.port}`, "--key", key]);
  const invitation = place.path("invitation");
  writeFileSync(invitation, made.stdout);
  const words = ["--key", place.path("rig.key"), "--join", invitation, "--json", `visible=${folder}`];
  const send = () => place.start(["--send", `127.0.0.1:${proxy.port}`, ...words]);
  let sender = send();

  const order = kinds.flatMap((kind) => Array.from({ length: rounds }, () => ({ kind, at: random.next() })));
  const stored = (): number => filesBelow(archive).length;
  const devices = `${key}.devices`;
  for (const [index, { kind }] of order.toSorted((one, other) => one.at - other.at).entries()) {
    // The last fifth is left alone, so that something is left after each of them.
    const moment = ((index + 1) / order.length) * frames * 0.8;
    while (stored() < moment && !sender.ended) await Bun.sleep(5);
    expect([seed, kind, sender.ended]).toEqual([seed, kind, false]);
    switch (kind) {
      case "receiver":
        await receiver.kill();
        receiver = await receive();
        break;
      case "sender":
        await sender.kill();
        sender = send();
        break;
      case "cut":
        proxy.cut();
        break;
      case "grant": {
        const [file = ""] = readdirSync(devices);
        renameSync(join(devices, file), join(aside, file));
        // A run that has an end ends; nothing of it is stored from now on.
        expect([seed, await sender.status()]).toEqual([seed, 3]);
        // What was complete may still be on its way to the disk while the first of these runs.
        expect(await send().status()).toBe(3);
        const before = stored();
        expect(await send().status()).toBe(3);
        expect(stored()).toBe(before);
        renameSync(join(aside, file), join(devices, file));
        sender = send();
        break;
      }
      case "key":
        await receiver.kill();
        renameSync(`${key}.spare`, key);
        receiver = await receive();
        // The next change needs the spare of this one to have been heard of.
        await receiver.waitFor("session-started");
        break;
    }
  }
  expect([seed, await sender.status()]).toEqual([seed, 0]);
  expect(differences(folder, join(archive, "rig-7", "visible"))).toEqual([]);
  const [rows] = catalogueRows<{ count: number }>(archive, "SELECT count(*) AS count FROM frames");
  expect(rows?.count).toBe(frames);
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  const verified = await place.run(["--verify", archive]);
  expect([seed, verified.status]).toEqual([seed, 0]);
}, 300_000);
