/** `--out 'hour-{date}T{hour}.tar'` as users have it: a border that comes while frames do, and `kill -9` around it. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { compileClockShim, JumpingClock } from "../../scripts/torture/clock.ts";
import { freePort, openPlace, setting } from "../support/processes.ts";
import { Random } from "../support/random.ts";

const seed = setting("ROTATION_SEED", Date.now() % 1_000_000);
const hourSeconds = 3600;

test.concurrent.each(["tar", "mcap"])(
  `a set of %s archives over an hour's end, killed again and again; seed ${seed}`,
  async (kind) => {
    const random = new Random(seed);
    await using place = await openPlace();
    const shim = compileClockShim(place.dir);
    // Without a compiler there is no clock to set: the rules are tried on a virtual one elsewhere.
    if (shim === undefined) return;
    const clock = new JumpingClock(shim, place.path("clock"));
    const dir = place.path("vis");
    await makeFrameSet(dir, { kind: "jpeg", count: 300, bytes: 20_000 });
    const set = place.path(`hour-{date}T{hour}.${kind}`);
    const port = await freePort();
    let receiver = await place.receive(set, { port, env: clock.env });
    const sender = place.send(port, [dir], ["--max-rate", "20Mbit"]);
    for (let kills = 1; kills <= 4 && !sender.ended; kills += 1) {
      await Bun.sleep(100 + random.int(400));
      if (random.chance(0.7)) clock.set(kills * hourSeconds);
      await Bun.sleep(random.int(100));
      await receiver.kill();
      expect((await place.run(["--verify", set])).status).toBe(0);
      receiver = await place.receive(set, { port, env: clock.env });
    }
    clock.set(9 * hourSeconds);
    expect(await sender.status()).toBe(0);
    receiver.signal("SIGTERM");
    expect(await receiver.status()).toBe(0);
    const archives = readdirSync(place.dir).filter((name) => name.startsWith("hour-"));
    expect(archives.length).toBeGreaterThan(1);
    const { status, stdout } = await place.run(["--verify", set, "--json"]);
    const [verified] = stdout.split("\n").flatMap((line) => (line.includes('"verified"') ? [JSON.parse(line)] : []));
    expect([status, verified]).toMatchObject([0, { frames: 300, changed: 0, unaccounted: 0, damaged: 0 }]);
  },
  60_000,
);
