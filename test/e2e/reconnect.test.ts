/** Either end may come late, go, come back elsewhere, or lose the connection: the other one waits and carries on. */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { differences, filesBelow, freePort, openPlace } from "../support/processes.ts";
import { Random } from "../support/random.ts";

test.concurrent(
  "the receiver starts late, stops in the middle, and moves to another port: the sender stays",
  async () => {
    await using place = await openPlace();
    const [dir, out] = [place.path("vis"), place.path("captures")];
    const { bytes } = await makeFrameSet(dir, { kind: "jpeg", count: 300, bytes: 20_000 });
    const proxy = place.proxy({ targetPort: freePort(), bytesPerSecond: bytes / 3 });
    const sender = place.send(proxy.port, [dir]);
    await sender.waitFor("disconnected");
    await Bun.sleep(1_000);
    expect(sender.ended).toBe(false);

    const first = await place.receive(out, { port: proxy.targetPort });
    await sender.waitFor("connected");
    while (proxy.upBytes < bytes / 3) await Bun.sleep(5);
    first.signal("SIGTERM");
    expect(await first.status()).toBe(0);
    const storedByFirst = filesBelow(out).length;
    expect(storedByFirst).toBeGreaterThan(0);
    expect(storedByFirst).toBeLessThan(300);
    // Everything that has a final name is in the catalogue: the receiver tidied up before it went.
    const between = await place.run(["--verify", out]);
    expect(between.stdout).toContain("0 missing, 0 changed, 0 unknown, 0 gaps");
    expect(between.stdout).toContain("unended camera/vis");
    expect(between.status).toBe(0);
    expect(sender.count("disconnected")).toBe(2);

    const second = await place.receive(out, { words: ["--once"] });
    expect(second.port).not.toBe(first.port);
    proxy.targetPort = second.port;
    expect(await sender.status()).toBe(0);
    expect(await second.status()).toBe(0);
    expect(differences(dir, join(out, "camera", "vis"))).toEqual([]);
    expect((await place.run(["--verify", out])).status).toBe(0);
    const [summary] = sender.all("summary");
    expect(summary).toMatchObject({ frames: 300, refused: 0, skipped: 0, conflicts: 0 });
  },
  120_000,
);

test.concurrent(
  "a connection that is cut again and again costs time, not frames",
  async () => {
    await using place = await openPlace();
    const [dir, out] = [place.path("vis"), place.path("captures")];
    const { bytes } = await makeFrameSet(dir, { kind: "jpeg", count: 200, bytes: 20_000 });
    const receiver = await place.receive(out, { words: ["--once"] });
    const proxy = place.proxy({ targetPort: receiver.port, bytesPerSecond: bytes / 2 });
    const sender = place.send(proxy.port, [dir]);
    for (let cut = 1; cut <= 4; cut += 1) {
      // By the receiver, because a sender does not tell again of one that was cut before anything was settled.
      await receiver.until(() => receiver.count("session-started") >= cut, `connection ${cut}`);
      await Bun.sleep(150);
      proxy.cut();
    }
    expect(await sender.status()).toBe(0);
    expect(await receiver.status()).toBe(0);
    const starts = receiver.all("session-started");
    expect(starts.map(({ again }) => again)).toEqual([false, true, true, true, true]);
    expect(new Set(starts.map(({ session }) => session)).size).toBe(1);
    // Who it was that was lost is said, each time.
    expect(receiver.count("connection-lost")).toBeGreaterThan(0);
    for (const lost of receiver.all("connection-lost")) expect(lost["peer"]).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(receiver.count("session-ended")).toBe(1);
    expect(differences(dir, join(out, "camera", "vis"))).toEqual([]);
    expect((await place.run(["--verify", out])).status).toBe(0);
  },
  120_000,
);

test.concurrent(
  "a frame that takes longer than any connection lasts arrives, and little of it is sent twice",
  async () => {
    await using place = await openPlace();
    const [dir, out] = [place.path("vis"), place.path("captures")];
    mkdirSync(dir);
    const frame = new Random(11).bytes(6_000_000);
    writeFileSync(join(dir, "large.raw"), frame);
    const receiver = await place.receive(out, { words: ["--once"] });
    const proxy = place.proxy({ targetPort: receiver.port, bytesPerSecond: 1_500_000 });
    const sender = place.send(proxy.port, [dir]);
    const cutting = setInterval(() => proxy.cut(), 1_500);
    place.onClose(() => clearInterval(cutting));
    expect(await sender.status()).toBe(0);
    clearInterval(cutting);
    expect(await receiver.status()).toBe(0);
    expect(proxy.accepted).toBeGreaterThan(2);
    expect(readFileSync(join(out, "camera", "vis", "large.raw")).equals(frame)).toBe(true);
    expect(proxy.upBytes).toBeLessThan(2.5 * frame.length);
    expect(readdirSync(join(out, ".framepipe", "tmp"))).toEqual([]);
    expect((await place.run(["--verify", out])).status).toBe(0);
  },
  120_000,
);
