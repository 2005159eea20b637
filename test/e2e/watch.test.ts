/** A directory as a camera's buffer: frames are sent as they are finished, and removed when they are stored. */
import { expect, test } from "bun:test";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { filesBelow, openPlace } from "../support/processes.ts";

test("frames that appear are sent and removed, the program stays, and a signal ends it in order", async () => {
  await using place = await openPlace();
  const [camera, made, out] = [place.path("camera"), place.path("made"), place.path("captures")];
  await makeFrameSet(made, { kind: "jpeg", count: 60, bytes: 8_000 });
  const frames = filesBelow(made);
  mkdirSync(camera);
  for (const name of frames.slice(0, 20)) renameSync(join(made, name), join(camera, name));

  const receiver = await place.receive(out, { words: ["--once"] });
  const sender = place.send(receiver.port, ["--watch", "--delete-sent", "--unchanged-for", "0", `visible=${camera}`]);
  const stored = (): number => filesBelow(join(out, "camera", "visible")).length;
  while (stored() < 20) await Bun.sleep(10);
  for (const name of frames.slice(20, 40)) renameSync(join(made, name), join(camera, name));
  mkdirSync(join(camera, "later"));
  for (const name of frames.slice(40)) renameSync(join(made, name), join(camera, "later", name));
  // Not finished: nobody knows what will become of it.
  writeFileSync(join(camera, "half.tmp"), "half");
  while (stored() < 60 || filesBelow(camera).length > 1) await Bun.sleep(10);
  expect(sender.ended).toBe(false);

  sender.signal("SIGINT");
  expect(await sender.status()).toBe(0);
  expect(await receiver.status()).toBe(0);
  expect(filesBelow(camera)).toEqual(["half.tmp"]);
  const verified = await place.run(["--verify", out]);
  expect([verified.status, verified.stdout]).toEqual([0, expect.stringContaining("60 frames, 0 missing, 0 changed")]);
  expect(verified.stdout).not.toContain("unended");
});

test("with the receiver away for a while the directory keeps the frames, and the newest goes first", async () => {
  await using place = await openPlace();
  const [camera, made, out] = [place.path("camera"), place.path("made"), place.path("captures")];
  await makeFrameSet(made, { kind: "jpeg", count: 40, bytes: 50_000 });
  const frames = filesBelow(made);
  mkdirSync(camera);
  const first = await place.receive(out);
  const proxy = place.proxy({ targetPort: first.port, bytesPerSecond: 500_000 });
  const sender = place.send(proxy.port, ["--watch", "--order", "newest", `visible=${camera}`]);
  await sender.waitFor("connected");
  await first.kill();
  await sender.waitFor("disconnected");
  for (const name of frames.slice(0, 39)) renameSync(join(made, name), join(camera, name));
  const second = await place.receive(out);
  proxy.targetPort = second.port;
  await sender.until(() => sender.count("connected") === 2, "the second connection");
  await Bun.sleep(300);
  const live = frames[39] ?? "";
  renameSync(join(made, live), join(camera, live));
  const stored = (): string[] => filesBelow(join(out, "camera", "visible"));
  while (!stored().includes(live)) await Bun.sleep(5);
  // Two megabytes of backlog take four seconds; the live frame was not behind them.
  expect(stored().length).toBeLessThan(35);
  while (stored().length < 40) await Bun.sleep(20);
  sender.signal("SIGTERM");
  expect(await sender.status()).toBe(0);
});
