/** Destinations with a fault, as they are met: another mount, a largest file, read-only, changed by others. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { TortureDisk } from "../../scripts/torture/disk.ts";
import {
  differences,
  filesBelow,
  makeMegabytes,
  mountSmall,
  openPlace,
  type Place,
  type Running,
} from "../support/processes.ts";
import { canMount } from "../support/small-disk.ts";

/** A receiver that may write no file larger than so many KiB. */
async function receiveLimited(place: Place, out: string, kibibytes: number): Promise<Running & { port: number }> {
  const script = `ulimit -f ${kibibytes} && exec "$0" --receive 127.0.0.1:0 --json --out "$1"`;
  const receiver = place.startOther("bash", ["-c", script, place.executable, out]);
  const { address } = await receiver.waitFor("listening");
  return Object.assign(receiver, { port: Number(String(address).split(":").at(-1)) });
}

describe("a fault of one path", () => {
  test.skipIf(!canMount())(
    "a device's folder on another file system holds that device, and no other",
    async () => {
      await using place = await openPlace();
      const out = place.path("captures");
      const unmount = mountSmall(join(out, "camera"), 50e6);
      let mounted = true;
      const unmountOnce = (): void => {
        if (mounted) unmount?.();
        mounted = false;
      };
      place.onClose(unmountOnce);
      const [held, free] = [place.path("held"), place.path("free")];
      await makeFrameSet(held, { kind: "jpeg", count: 30, bytes: 20_000 });
      await makeFrameSet(free, { kind: "jpeg", count: 30, bytes: 20_000 });
      const receiver = await place.receive(out);
      const heldSender = place.send(receiver.port, [`vis=${held}`]);
      expect(await heldSender.waitFor("held")).toMatchObject({ source: "vis" });
      const freeSender = place.start([
        "--send",
        `127.0.0.1:${receiver.port}`,
        "--device",
        "other",
        "--json",
        `vis=${free}`,
      ]);
      expect(await freeSender.status()).toBe(0);
      expect(freeSender.count("held")).toBe(0);
      expect(differences(free, join(out, "other", "vis"))).toEqual([]);
      expect(receiver.all("held")).toEqual([
        expect.objectContaining({
          device: "camera",
          source: "vis",
          reason: expect.stringContaining(`${out}/camera/vis/`) as string,
        }),
      ]);
      expect(filesBelow(join(out, "camera"))).toEqual([]);
      unmountOnce();
      expect(await heldSender.status()).toBe(0);
      expect(differences(held, join(out, "camera", "vis"))).toEqual([]);
      await receiver.waitFor("resumed", ({ device }) => device === "camera");
      expect(heldSender.count("resumed")).toBe(1);
    },
    60_000,
  );

  test.each(["captures", "day.tar", "day.mcap"])(
    "a frame larger than %s may be is refused, the rest is stored",
    async (name) => {
      await using place = await openPlace();
      const dir = place.path("vis");
      makeMegabytes(dir, 3);
      writeFileSync(join(dir, "huge.raw"), new Uint8Array(6e6));
      const receiver = await receiveLimited(place, place.path(name), 4096);
      const sender = place.send(receiver.port, [`vis=${dir}`]);
      expect(await sender.status()).toBe(4);
      expect(sender.all("refused")).toEqual([
        expect.objectContaining({
          name: "huge.raw",
          reason: "storage",
          detail: expect.stringContaining("huge.raw") as string,
        }),
      ]);
      expect(receiver.all("gap")).toEqual([expect.objectContaining({ name: "huge.raw", reason: "refused" })]);
      expect(sender.all("summary")).toEqual([expect.objectContaining({ stored: 3, refused: 1 })]);
      expect(receiver.count("held")).toBe(0);
    },
  );

  test.each(["day.tar", "day.mcap"])(
    "%s has reached its largest size: held, said once, and nothing sent again",
    async (name) => {
      await using place = await openPlace();
      const dir = place.path("vis");
      makeMegabytes(dir, 8);
      const receiver = await receiveLimited(place, place.path(name), 4096);
      const sender = place.send(receiver.port, [`vis=${dir}`], ["--retry-for", "3s"]);
      expect(await sender.status()).toBe(5);
      expect(sender.count("held")).toBe(1);
      expect(sender.all("summary")).toEqual([expect.objectContaining({ stored: 4, refused: 0 })]);
      expect(Number(sender.all("sent")[0]?.["bytes"])).toBeLessThan(9e6);
      expect(receiver.count("held")).toBe(1);
    },
  );
});

async function stop(receiver: Running): Promise<void> {
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
}

test.skipIf(!canMount())("inputs that are mounted later are watched from then on", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out);
  const [card, empty, there] = [place.path("card"), place.path("empty"), place.path("there")];
  mkdirSync(empty);
  await makeFrameSet(there, { kind: "jpeg", count: 3, bytes: 20_000 });
  const inputs = [`card=${card}/DCIM`, `empty=${empty}`, `there=${there}`];
  const sender = place.send(receiver.port, ["--watch", ...inputs]);
  const stored = (): string[] => filesBelow(out).filter((path) => path.endsWith(".jpg"));
  while (stored().length < 3) await Bun.sleep(20);
  await sender.waitFor("problem", ({ reason }) => reason === "missing");
  for (const disk of [card, empty]) place.onClose(mountSmall(disk, 5e6) ?? (() => undefined));
  for (const folder of [`${card}/DCIM`, empty]) {
    await makeFrameSet(folder, { kind: "jpeg", count: 3, bytes: 20_000 });
  }
  while (stored().length < 9) await Bun.sleep(20);
  sender.signal("SIGTERM");
  expect(await sender.status()).toBe(0);
  expect(sender.all("summary").map((each) => each["stored"])).toEqual([3, 3, 3]);
});

describe("a destination that others change", () => {
  test("a catalogue that is deleted while frames come is named, with what to do, and no frame is lost", async () => {
    await using place = await openPlace();
    const out = place.path("captures");
    const dir = place.path("vis");
    makeMegabytes(dir, 3);
    const receiver = await place.receive(out);
    await receiver.waitFor("destination", ({ what }) => what === "begun");
    expect(await place.send(receiver.port, [`vis=${dir}`]).status()).toBe(0);
    for (const name of readdirSync(join(out, ".framepipe"))) rmSync(join(out, ".framepipe", name), { recursive: true });
    const held = await receiver.waitFor("held");
    expect(held["reason"]).toContain("its catalogue (.framepipe/catalogue.db) is gone");
    expect(held["hints"]).toContainEqual(`make it anew from the files: framepipe --verify '${out}' --rebuild`);
    expect(existsSync(join(out, ".framepipe", "catalogue.db"))).toBe(false);
    expect(receiver.count("held")).toBe(1);

    const rebuilt = await place.run(["--verify", out, "--rebuild"]);
    expect(rebuilt.stdout).toContain("was put back from what the receiver had open: nothing is lost");
    expect(rebuilt.status).toBe(0);
    const again = place.send(receiver.port, [`vis=${dir}`]);
    expect(await again.status()).toBe(0);
    expect(again.all("summary")).toEqual([expect.objectContaining({ stored: 0, duplicates: 3 })]);
  });

  test("a lost catalogue is made anew; damaged files are set aside, with a receiver or without", async () => {
    await using place = await openPlace();
    const out = place.path("captures");
    const dir = place.path("vis");
    await makeFrameSet(dir, { kind: "jpeg", count: 30, bytes: 20_000 });
    let receiver = await place.receive(out);
    const sendAll = async (): Promise<unknown[]> => {
      const sender = place.send(receiver.port, [`vis=${dir}`]);
      expect(await sender.status()).toBe(0);
      return sender.all("summary");
    };
    await sendAll();
    await stop(receiver);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(join(out, `.framepipe/catalogue.db${suffix}`), { force: true });
    const rebuilt = await place.run(["--verify", out, "--rebuild"]);
    expect(rebuilt.stdout).toContain(`${out}: its catalogue was made anew from 30 files of 1 source\n`);
    expect(rebuilt.stdout).toContain("account lost camera/vis: 30 frames of session ");
    expect(rebuilt.status).toBe(4);

    receiver = await place.receive(out);
    expect(await sendAll()).toEqual([expect.objectContaining({ stored: 0, duplicates: 30 })]);
    const stored = filesBelow(out).filter((path) => path.endsWith(".jpg"));
    for (const running of [true, false]) {
      if (!running) await stop(receiver);
      const path = stored[running ? 3 : 7] ?? "";
      const bytes = readFileSync(join(out, path));
      bytes[1000] = (bytes[1000] ?? 0) ^ 1;
      writeFileSync(join(out, path), bytes);
      const replaced = await place.run(["--verify", out, "--replace", "--json"]);
      expect(replaced.status).toBe(6);
      const events = replaced.stdout.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as object]));
      expect(events).toContainEqual({ event: "set-aside", path, movedTo: `.framepipe/damaged/${path}` });
      if (!running) receiver = await place.receive(out);
      expect(await sendAll()).toEqual([expect.objectContaining({ stored: 1, duplicates: 29 })]);
      expect(differences(dir, join(out, "camera", "vis"))).toEqual([]);
      expect((await place.run(["--verify", out])).status).toBe(4);
    }
  });

  test.each(["captures", "day.tar", "day.mcap"])("--no-create begins nothing at %s", async (name) => {
    await using place = await openPlace();
    const out = place.path(name);
    const words = ["--receive", "127.0.0.1:0", "--out", out, "--no-create"];
    const { status, stderr } = await place.run(words);
    expect(status).toBe(1);
    expect(stderr).toContain(`error: ${out} `);
    expect(stderr).toContain("--no-create does not begin");
    expect(existsSync(out)).toBe(false);
  });

  test.skipIf(!canMount()).each(["captures", "day.tar", "day.mcap"])(
    "a disk that is read-only when the receiver starts holds %s",
    async (name) => {
      await using place = await openPlace();
      const disk = place.path("disk");
      place.onClose(mountSmall(disk, 20e6) ?? (() => undefined));
      const dir = place.path("vis");
      makeMegabytes(dir, 3);
      Bun.spawnSync(["mount", "-o", "remount,ro", disk]);
      const receiver = await place.receive(join(disk, name), { words: ["--min-free", "0"] });
      await receiver.waitFor("held", ({ reason }) => String(reason).includes("the file system is read-only (EROFS)"));
      const sender = place.send(receiver.port, [`vis=${dir}`]);
      await sender.waitFor("held");
      Bun.spawnSync(["mount", "-o", "remount,rw", disk]);
      expect(await sender.status()).toBe(0);
      expect(sender.all("summary")).toEqual([expect.objectContaining({ stored: 3 })]);
      expect(receiver.all("destination")).toEqual([expect.objectContaining({ what: "begun" })]);
    },
  );
});

test.skipIf(!canMount())(
  "a disk that is full at the start and then away: nothing is begun in its mount point",
  async () => {
    await using place = await openPlace();
    const disk = new TortureDisk(place.path("disk"), 50e6);
    place.onClose(() => disk.close());
    const [before, after] = [place.path("before"), place.path("after")];
    await makeFrameSet(before, { kind: "jpeg", count: 5, bytes: 20_000 });
    await makeFrameSet(after, { kind: "jpeg", count: 7, bytes: 20_000 });
    const outs = ["captures", "day.tar", "day.mcap"].map((name) => join(disk.path, name));
    const others = outs.slice(1).flatMap((out) => ["--out", out]);
    const words = [...others, "--min-free", "0"];
    const [out = ""] = outs;
    const first = await place.receive(out, { words });
    expect(await place.send(first.port, [`vis=${before}`]).status()).toBe(0);
    first.signal("SIGTERM");
    expect(await first.status()).toBe(0);

    expect(disk.fill()).toBe(true);
    const receiver = await place.receive(out, { words });
    const sender = place.send(receiver.port, [`vis=${after}`]);
    await sender.waitFor("held");
    disk.attach("away");
    disk.free();
    // It looks each second whether it can begin by now.
    await Bun.sleep(2500);
    expect(readdirSync(disk.path)).toEqual([]);
    disk.attach("writable");
    expect(await sender.status()).toBe(0);
    receiver.signal("SIGTERM");
    expect(await receiver.status()).toBe(0);
    expect(disk.hidden()).toEqual([]);
    const stored = join(disk.inside, "captures", "camera", "vis");
    expect([...filesBelow(stored)]).toHaveLength(7);
  },
  60_000,
);
