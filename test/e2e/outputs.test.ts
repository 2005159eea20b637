/** Standard output, archives, and several destinations at once, with the executable. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { compareNatural } from "../../src/names.ts";
import {
  differences,
  executable,
  filesBelow,
  makeMegabytes,
  openPlace,
  type Place,
  Running,
} from "../support/processes.ts";
import { canMount, mountSmall } from "../support/small-disk.ts";

const frames = mkdtempSync(join(tmpdir(), "framepipe-"));
const visible = join(frames, "vis");
const infrared = join(frames, "ir");
const pairCount = 60;

beforeAll(async () => {
  await makeFrameSet(visible, { kind: "jpeg", count: pairCount, bytes: 100_000 });
  await makeFrameSet(infrared, { kind: "png", count: pairCount, bytes: 15_000 });
}, 60_000);
afterAll(() => rmSync(frames, { recursive: true, force: true }));

/** A receiver in a shell, whose frames go through a pipe to `reader`. Its output ends with `status N`. */
async function receiveInto(place: Place, reader: string, words: readonly string[] = []) {
  const script = `"$0" "$@" | ${reader}; echo "status \${PIPESTATUS[0]}"`;
  const receiving = ["--receive", "127.0.0.1:0", "--out", "-", "--json", ...words];
  const running = new Running("bash", ["-c", script, await executable(), ...receiving]);
  place.onClose(() => running.signal("SIGTERM"));
  const { address } = await running.waitFor("listening");
  return { running, port: Number(String(address).split(":").at(-1)) };
}

/** The files of a directory, one behind the other, in the order in which they are sent. */
function sha256Of(dir: string): string {
  const hash = new Bun.CryptoHasher("sha256");
  for (const path of filesBelow(dir).toSorted(compareNatural)) hash.update(readFileSync(join(dir, path)));
  return hash.digest("hex");
}

/** What is in an archive, unpacked by the system's tar, which must not complain. */
function unpacked(place: Place, archive: string): string {
  const dir = place.path(`unpacked-${crypto.randomUUID()}`);
  mkdirSync(dir);
  const result = Bun.spawnSync(["tar", "-xf", archive, "-C", dir]);
  expect(result.stderr.toString()).toBe("");
  return dir;
}

test.concurrent(
  "--out - gives every byte of every frame, in order, to the next program",
  async () => {
    await using place = await openPlace();
    const { running, port } = await receiveInto(place, "sha256sum", ["--once"]);
    expect(await place.send(port, [visible]).status()).toBe(0);
    expect(await running.status()).toBe(0);
    expect(await running.stdout).toBe(`${sha256Of(visible)}  -\nstatus 0\n`);
    expect(running.all("session-ended")).toMatchObject([{ interrupted: false, storedFrames: pairCount }]);
  },
  60_000,
);

test.concurrent(
  "a reader that stalls for longer than the idle limit stops the sender, and cuts no connection",
  async () => {
    await using place = await openPlace();
    const dir = place.path("large");
    // More than the window, both pipes and a group hold.
    makeMegabytes(dir, 150);
    const { running, port } = await receiveInto(place, "(head -c 3000000; sleep 12; cat) | sha256sum", ["--once"]);
    const sender = place.send(port, [dir]);
    const startedMs = performance.now();
    expect(await sender.status()).toBe(0);
    expect(performance.now() - startedMs).toBeGreaterThan(11_000);
    expect(await running.status()).toBe(0);
    expect(await running.stdout).toBe(`${sha256Of(dir)}  -\nstatus 0\n`);
    expect([sender.count("connected"), sender.count("disconnected")]).toEqual([1, 0]);
    expect([running.count("session-started"), running.count("held")]).toEqual([1, 0]);
  },
  60_000,
);

test.concurrent(
  "a reader that goes away ends the receiver quietly, with status 0; nothing it lacks is acknowledged",
  async () => {
    await using place = await openPlace();
    const { running, port } = await receiveInto(place, "head -c 1000 | wc -c");
    const sender = place.send(port, [visible], ["--retry-for", "1s"]);
    expect(await running.status()).toBe(0);
    expect(await running.stdout).toBe("1000\nstatus 0\n");
    for (const event of ["error", "held", "rejected"]) expect(running.count(event), event).toBe(0);
    expect(running.lines).toEqual([]);
    // The sender has heard of no more frames than fit a pipe and the reader.
    expect(await sender.status()).toBe(5);
    const stored = Number(sender.all("summary")[0]?.["stored"]);
    expect(stored).toBeLessThan(5);
    const [received] = running.all("received");
    expect(received?.["frames"]).toBe(stored);
  },
  60_000,
);

/** A receiver that keeps frames in `captures`, and shows them to `reader`; its own status comes as a line. */
async function receiveBeside(place: Place, reader: string) {
  const captures = place.path("captures");
  const receiving = ["--receive", "127.0.0.1:0", "--out", captures, "--out", "-", "--json"];
  const script = `{ "$0" "$@" & echo $! >&2; wait $!; echo "status $?" >&2; } | ${reader}`;
  const running = new Running("bash", ["-c", script, await executable(), ...receiving]);
  const { address } = await running.waitFor("listening");
  const pid = Number(running.lines.find((line) => /^\d+$/.test(line)));
  place.onClose(() => running.lines.some((line) => line.startsWith("status")) || process.kill(pid, "SIGKILL"));
  /** Ends the receiver, and returns the line with its status. */
  const stop = async (): Promise<string | undefined> => {
    process.kill(pid, "SIGTERM");
    expect(await running.status()).toBe(0);
    return running.lines.find((line) => line.startsWith("status"));
  };
  return { running, captures, port: Number(String(address).split(":").at(-1)), stop };
}

test.concurrent(
  "a reader that is slow, beside a directory, is shown the last frames before the receiver ends",
  async () => {
    await using place = await openPlace();
    const dir = place.path("megabytes");
    makeMegabytes(dir, 8);
    const captures = place.path("captures");
    const { running, port } = await receiveInto(place, "(sleep 1; wc -c)", ["--out", captures, "--once"]);
    expect(await place.send(port, [dir]).status()).toBe(0);
    expect(await running.status()).toBe(0);
    expect(await running.stdout).toBe("8000000\nstatus 0\n");
    expect(running.count("view-ended")).toBe(0);
  },
  60_000,
);

test.concurrent(
  "a reader that is slow, beside a directory, is shown only some frames; the directory has all",
  async () => {
    await using place = await openPlace();
    const dir = place.path("large");
    const count = 40;
    // More than may wait for the reader.
    makeMegabytes(dir, count);
    const go = place.path("go");
    const reader = `(while [ ! -e '${go}' ]; do sleep 0.05; done; cat) | wc -c`;
    const { running, captures, port, stop } = await receiveBeside(place, reader);
    // The reader has read nothing, and nobody waits for it.
    expect(await place.send(port, [dir]).status()).toBe(0);
    expect(differences(dir, join(captures, "camera/large"))).toEqual([]);
    expect(running.all("view-behind")).toMatchObject([{ place: "-" }]);
    writeFileSync(go, "");
    let skipped: number | undefined;
    let look = 0;
    for (; skipped === undefined; look += 1) {
      expect(look).toBeLessThan(100);
      const sender = place.send(port, [`later${look}=${infrared}`]);
      expect(await sender.status()).toBe(0);
      skipped = running.all("view-resumed")[0]?.["skippedFrames"] as number | undefined;
    }
    expect(skipped).toBeGreaterThan(10);
    // Those that came while it caught up are left out too.
    expect(skipped).toBeLessThan(count + look * pairCount);
    expect(await stop()).toBe("status 0");
    expect(Number(await running.stdout)).toBeGreaterThan(16_000_000);
    expect([running.count("view-behind"), running.count("view-resumed"), running.count("held")]).toEqual([1, 1, 0]);
  },
  60_000,
);

test.concurrent(
  "a reader that goes away, beside a directory, is said; the receiver goes on",
  async () => {
    await using place = await openPlace();
    const { running, captures, port, stop } = await receiveBeside(place, "head -c 1000 | wc -c");
    expect(await place.send(port, [visible]).status()).toBe(0);
    await running.waitFor("view-ended");
    expect(await place.send(port, [infrared]).status()).toBe(0);
    expect(differences(visible, join(captures, "camera/vis"))).toEqual([]);
    expect(differences(infrared, join(captures, "camera/ir"))).toEqual([]);
    expect(await stop()).toBe("status 0");
    expect(await running.stdout).toBe("1000\n");
    expect(running.all("view-ended")).toMatchObject([{ place: "-", reason: "its reader has closed it" }]);
    for (const event of ["error", "held", "rejected", "view-behind"]) expect(running.count(event), event).toBe(0);
  },
  60_000,
);

test.concurrent(
  "a reader that stalls for ever does not keep the receiver from ending on a signal",
  async () => {
    await using place = await openPlace();
    const dir = place.path("large");
    makeMegabytes(dir, 30);
    const receiving = ["--receive", "127.0.0.1:0", "--out", "-", "--json"];
    const script = `"$0" "$@" & echo $! >&2; wait $!; echo "status $?" >&2`;
    const running = new Running("bash", ["-c", `{ ${script}; } | sleep 30`, await executable(), ...receiving]);
    const { address } = await running.waitFor("listening");
    const pid = Number(running.lines.find((line) => /^\d+$/.test(line)));
    const sender = place.send(Number(String(address).split(":").at(-1)), [dir], ["--retry-for", "1s"]);
    await sender.waitFor("connected");
    // Raw files have to be quiet for 2 s.
    await Bun.sleep(3_500);
    const startedMs = performance.now();
    process.kill(pid, "SIGTERM");
    while (!running.lines.some((line) => line.startsWith("status"))) {
      expect(performance.now() - startedMs).toBeLessThan(12_000);
      await Bun.sleep(50);
    }
    expect(running.lines).toContain("status 1");
    const [error] = running.all("error");
    expect(String(error?.["message"])).toMatch(/^-: takes nothing; gave up after 5 s, \d+ not stored$/);
    expect(await sender.status()).toBe(5);
    running.signal("SIGTERM");
  },
  60_000,
);

test.concurrent(
  "standard output that takes nothing holds the sender, and says so once",
  async () => {
    await using place = await openPlace();
    const script = `"$0" "$@" > /dev/full`;
    const receiving = ["--receive", "127.0.0.1:0", "--out", "-", "--json"];
    const running = new Running("bash", ["-c", `exec ${script}`, await executable(), ...receiving]);
    place.onClose(() => running.signal("SIGTERM"));
    const { address } = await running.waitFor("listening");
    const sender = place.send(Number(String(address).split(":").at(-1)), [visible]);
    await running.waitFor("held");
    await Bun.sleep(6_000);
    expect([running.count("held"), running.count("resumed")]).toEqual([1, 0]);
    expect([sender.ended, sender.count("disconnected")]).toEqual([false, 0]);
    sender.signal("SIGTERM");
    expect(await sender.status()).toBe(4);
  },
  60_000,
);

test.skipIf(!canMount()).concurrent.each(["tar", "mcap"])(
  "a full disk under a .%s file: held once, nothing is sent in vain",
  async (kind) => {
    await using place = await openPlace();
    const disk = place.path("disk");
    place.onClose(mountSmall(disk, 12 * 2 ** 20));
    const dir = place.path("large");
    makeMegabytes(dir, 20);
    writeFileSync(join(disk, "ballast"), new Uint8Array(2 * 2 ** 20));
    const receiver = await place.receive(join(disk, `day.${kind}`), { words: ["--min-free", "1Mi"] });
    const proxy = place.proxy({ targetPort: receiver.port });
    const sender = place.send(proxy.port, [dir]);
    await receiver.waitFor("held");
    await Bun.sleep(4_000);
    expect([receiver.count("held"), receiver.count("resumed"), sender.count("held")]).toEqual([1, 0, 1]);
    sender.signal("SIGTERM");
    expect(await sender.status()).toBe(4);
    expect(sender.all("problem").filter(({ reason }) => reason === "rejected")).toEqual([]);
    receiver.signal("SIGTERM");
    expect(await receiver.status()).toBe(0);
  },
  60_000,
);

test.concurrent(
  "an archive: kill -9 of the receiver, the same command again, and every frame is in it once",
  async () => {
    await using place = await openPlace();
    const archive = place.path("day.tar");
    let receiver = await place.receive(archive);
    const { port } = receiver;
    const proxy = place.proxy({ targetPort: port, bytesPerSecond: 5e6 });
    const sender = place.send(proxy.port, [`visible=${visible}`, `infrared=${infrared}`]);
    await sender.waitFor("connected");
    for (const bytes of [500_000, 2_000_000]) {
      while (statSync(archive).size < bytes) await Bun.sleep(5);
      await receiver.kill();
      receiver = await place.receive(archive, { port, words: ["--once"] });
    }
    expect(await sender.status()).toBe(0);
    expect(await receiver.status()).toBe(0);
    const dir = unpacked(place, archive);
    expect(differences(visible, join(dir, "camera/visible"))).toEqual([]);
    expect(differences(infrared, join(dir, "camera/infrared"))).toEqual([]);
    expect(filesBelow(dir)).toHaveLength(2 * pairCount);
    // A member that is there twice would only show in the list.
    const listed = Bun.spawnSync(["tar", "-tf", archive]).stdout.toString().trimEnd().split("\n");
    expect(listed.filter((path) => path.startsWith("camera/"))).toHaveLength(2 * pairCount);
    expect(listed.filter((path) => path.startsWith(".framepipe/ends/")).length).toBeGreaterThan(0);

    const again = await place.receive(archive, { words: ["--once"] });
    const second = place.send(again.port, [`visible=${visible}`, `infrared=${infrared}`]);
    expect(await second.status()).toBe(0);
    expect(second.all("sent")).toMatchObject([{ bytes: 0 }]);
    expect(await again.status()).toBe(0);
  },
  60_000,
);

test.concurrent(
  "several destinations at once hold the same, and what one lacks is sent again",
  async () => {
    await using place = await openPlace();
    const [out, archive, mcap] = [place.path("captures"), place.path("day.tar"), place.path("day.mcap")];
    const words = ["--out", archive, "--out", mcap, "--out", "/dev/null", "--once"];
    const receiver = await place.receive(out, { words });
    expect(receiver.all("listening")).toMatchObject([{ out: [out, archive, mcap, "/dev/null"] }]);
    expect(await place.send(receiver.port, [visible]).status()).toBe(0);
    expect(await receiver.status()).toBe(0);
    expect(differences(visible, join(out, "camera/vis"))).toEqual([]);
    expect(differences(visible, join(unpacked(place, archive), "camera/vis"))).toEqual([]);
    expect(statSync(mcap).size).toBeGreaterThan(pairCount * 100_000);
    expect((await place.run(["--verify", out])).status).toBe(0);

    rmSync(archive);
    const second = await place.receive(out, { words: ["--out", archive, "--once"] });
    const sender = place.send(second.port, [visible]);
    expect(await sender.status()).toBe(0);
    expect(await second.status()).toBe(0);
    expect(sender.all("summary")).toMatchObject([{ frames: pairCount, stored: pairCount }]);
    expect(differences(visible, join(unpacked(place, archive), "camera/vis"))).toEqual([]);
    expect(filesBelow(out)).toHaveLength(pairCount);
    expect((await place.run(["--verify", out])).status).toBe(0);
  },
  60_000,
);

test.concurrent(
  "destinations that cannot be are said before anything is opened or made",
  async () => {
    await using place = await openPlace();
    const out = place.path("captures");
    const receive = (...outs: string[]) =>
      place.run(["--receive", "127.0.0.1:0", ...outs.flatMap((destination) => ["--out", destination])]);
    const twice = await receive(out, out);
    expect([twice.status, twice.stdout]).toEqual([2, ""]);
    expect(twice.stderr).toContain(`error: --out ${out} is given twice`);
    const missing = await receive(place.path("no/day.tar"));
    expect(missing.status).toBe(1);
    expect(missing.stderr).toContain("hint: make it: mkdir -p ");
  },
  60_000,
);
