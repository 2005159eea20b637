/** The three lines of the README between two network namespaces, which have an address each and no other way. */
import { expect, test } from "bun:test";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { differences, openPlace } from "../support/processes.ts";

const ip = (...words: string[]): boolean => Bun.spawnSync(["ip", ...words]).success;

/** Not everybody may, and a container may forbid it even to root. */
function canIsolate(): boolean {
  if (process.platform !== "linux" || process.getuid?.() !== 0 || Bun.which("ip") === null) return false;
  const name = `fp-try-${process.pid}`;
  const made = ip("netns", "add", name);
  if (made) ip("netns", "del", name);
  return made;
}

test.skipIf(!canIsolate())(
  "three lines on two machines, with addresses of their own",
  async () => {
    await using place = await openPlace();
    const [near, far] = [`fp-a-${process.pid}`, `fp-b-${process.pid}`];
    place.onClose(() => {
      ip("netns", "del", near);
      ip("netns", "del", far);
    });
    for (const name of [near, far]) expect(ip("netns", "add", name)).toBe(true);
    expect(ip("link", "add", "fp0", "netns", near, "type", "veth", "peer", "name", "fp0", "netns", far)).toBe(true);
    for (const [name, address] of [
      [near, "10.77.0.1/24"],
      [far, "10.77.0.2/24"],
    ] as const) {
      expect(ip("-n", name, "addr", "add", address, "dev", "fp0")).toBe(true);
      expect(ip("-n", name, "link", "set", "fp0", "up")).toBe(true);
    }
    const folder = place.path("vis");
    mkdirSync(folder);
    for (let index = 0; index < 5; index += 1) {
      writeFileSync(join(folder, `${index}.pgm`), `P5 10 10 255\n${String(index).repeat(100)}`);
      utimesSync(join(folder, `${index}.pgm`), 1_700_000_000 + index, 1_700_000_000 + index);
    }
    const [key, invitation] = [place.path("recorder.key"), place.path("invitation")];
    const on = (name: string, ...words: string[]) =>
      place.startOther("ip", ["netns", "exec", name, place.executable, ...words]);

    const receiver = on(near, "--receive", "8000", "--out", place.path("captures"), "--key", key, "--json");
    await receiver.waitFor("listening");
    const inviting = on(near, "--invite", "rig-7@10.77.0.1:8000", "--key", key);
    expect(await inviting.status()).toBe(0);
    writeFileSync(invitation, await inviting.stdout);
    const words = ["--send", "10.77.0.1:8000", "--key", place.path("rig-7.key"), "--join", invitation];
    for (let run = 0; run < 2; run += 1) expect(await on(far, ...words, `visible=${folder}`).status()).toBe(0);
    expect(differences(folder, place.path("captures", "rig-7", "visible"))).toEqual([]);
    const { peer } = await receiver.waitFor("session-started");
    expect(peer).toMatch(/^10\.77\.0\.2:/);
  },
  60_000,
);
