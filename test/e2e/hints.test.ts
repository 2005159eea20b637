/** What goes wrong at a user's and looks like something else: said in words that lead to the cause, once. */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { filesBelow, openPlace, type Place } from "../support/processes.ts";
import { canMount, mountSmall, setReadOnly } from "../support/small-disk.ts";

function makeFrames(dir: string, count: number): void {
  mkdirSync(dir, { recursive: true });
  for (let index = 0; index < count; index++) writeFileSync(join(dir, `${index}.pgm`), `P5 1 1 255\n${index % 10}`);
}

async function listen(place: Place, words: readonly string[]) {
  const receiver = place.start(["--receive", "0", "--out", place.path("captures"), ...words]);
  const line = await receiver.waitForLine("listening on");
  return { receiver, port: Number(/:(\d+), storing/.exec(line)?.[1]) };
}

test.skipIf(!canMount())(
  "a disk with room and no inodes: named as such, and it goes on when files were removed",
  async () => {
    await using place = await openPlace();
    const [dir, disk] = [place.path("vis"), place.path("disk")];
    // With the fillers there is no room for all of them, without there is.
    makeFrames(dir, 44);
    place.onClose(mountSmall(disk, 16e6, 60));
    for (let index = 0; index < 20; index++) writeFileSync(join(disk, `filler-${index}`), "");
    const receiver = await place.receive(join(disk, "captures"), { words: ["--min-free", "0"] });
    const sender = place.send(receiver.port, [dir]);
    for (const running of [receiver, sender]) {
      const { reason } = await running.waitFor("held");
      expect(reason).toContain("room but no inodes left, so no file can be made");
    }
    for (const name of readdirSync(disk)) if (name.startsWith("filler")) rmSync(join(disk, name));
    await receiver.waitFor("resumed");
    sender.signal("SIGTERM");
    await sender.status();
    // With none left from the start it says so, too, and waits.
    await receiver.kill();
    for (let index = 0, full = false; !full; index++) {
      try {
        writeFileSync(join(disk, `filler-${index}`), "");
      } catch {
        full = true;
      }
    }
    const other = await place.receive(join(disk, "other"), { words: ["--min-free", "0"] });
    expect((await other.waitFor("held"))["reason"]).toContain("no inodes left");
  },
  60_000,
);

test.skipIf(!canMount())(
  "a card that is read-only: said before anything is sent, once, and nothing rests in vain",
  async () => {
    await using place = await openPlace();
    const card = place.path("card");
    place.onClose(mountSmall(card, 4e6));
    makeFrames(card, 50);
    setReadOnly(card, true);
    const { port } = await listen(place, []);
    const words = ["--send", `127.0.0.1:${port}`, "--device", "cam", "--delete-sent", `vis=${card}`];
    const sender = place.start(words);
    expect(await sender.status()).toBe(0);
    const about = sender.lines.filter((line) => line.includes("read-only"));
    expect(about).toEqual([
      expect.stringContaining("the file system is read-only (EROFS): its files are sent, and stay"),
    ]);
    expect(sender.lines.indexOf(about[0] ?? "")).toBeLessThan(
      sender.lines.findIndex((line) => line.startsWith("connected")),
    );
    expect(sender.lines).toContain(
      "hint: make it writable for this user and start again, which removes what is stored; or leave out --delete-sent",
    );
    expect(filesBelow(card).length).toBe(50);

    // A watching sender goes on trying, and says nothing for each file.
    const watching = place.start([...words.slice(0, -1), "--watch", "--unchanged-for", "0", `again=${card}`]);
    await watching.waitForLine("read-only");
    while (filesBelow(join(place.path("captures"), "cam", "again")).length < 50) await Bun.sleep(20);
    expect(watching.lines.filter((line) => line.includes("read-only")).length).toBe(1);
    setReadOnly(card, false);
    writeFileSync(join(card, "last.pgm"), "P5 1 1 255\n1");
    while (filesBelow(card).includes("last.pgm")) await Bun.sleep(20);
    watching.signal("SIGTERM");
    expect(await watching.status()).toBe(0);
  },
  60_000,
);

test("who can connect: this machine only, or from where", async () => {
  await using place = await openPlace();
  const alone = await listen(place, []);
  await alone.receiver.waitForLine("hint: only this machine can connect");
  await alone.receiver.kill();
  const open = await listen(place, ["--insecure"]);
  await open.receiver.waitForLine("hint: ");
  const hint = open.receiver.lines.find((line) => line.startsWith("hint: "));
  expect(hint).toMatch(/^hint: (?:from other machines: --send \S+:\d+|this machine has no network address now)/);
  if (hint?.includes("--send") === true) expect(hint).toContain(`:${open.port}`);
  await open.receiver.kill();
  const named = place.start(["--receive", "127.0.0.1:0", "--out", place.path("captures")]);
  await named.waitForLine("listening on");
  named.signal("SIGTERM");
  await named.status();
  expect(named.lines.some((line) => line.startsWith("hint:"))).toBe(false);
});
