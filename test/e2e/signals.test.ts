/** Signals and closed pipes: whoever is stopped finishes what is in hand, says what is left, and loses nothing. */
import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import {
  differences,
  executable,
  filesBelow,
  freePort,
  makeMegabytes,
  openPlace,
  type Place,
} from "../support/processes.ts";

const frames = 80;

/** A transfer that takes some seconds; some of it is stored. */
async function inTheMiddle(place: Place, words: readonly string[] = []) {
  const [dir, out] = [place.path("vis"), place.path("captures")];
  makeMegabytes(dir, frames);
  const receiver = await place.receive(out, { words });
  const proxy = place.proxy({ targetPort: receiver.port, bytesPerSecond: 25e6 });
  const sender = place.send(proxy.port, [dir]);
  await sender.waitFor("connected");
  while (filesBelow(out).length < 5) await Bun.sleep(5);
  return { dir, out, receiver, proxy, sender };
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  test(`${signal} at the sender: says what is left, status 4; the same command completes the run`, async () => {
    await using place = await openPlace();
    const { dir, out, receiver, sender } = await inTheMiddle(place);
    sender.signal(signal);
    expect(await sender.status()).toBe(4);
    expect(sender.all("finished")).toMatchObject([{ interrupted: true }]);
    const [left] = sender.all("left");
    const [summary] = sender.all("summary");
    expect(Number(left?.["frames"])).toBeGreaterThan(0);
    expect(left?.["frames"]).toBe(Number(summary?.["frames"]) - Number(summary?.["stored"]));
    await receiver.until(() => receiver.count("session-ended") + receiver.count("connection-lost") > 0, "the end");
    const stored = filesBelow(join(out, "camera", "vis")).length;
    expect(stored).toBeGreaterThan(0);
    expect(stored).toBeLessThan(frames);
    // What is stored and what the sender knows to be stored is the same: it waited for the acks.
    expect(summary?.["stored"]).toBe(stored);
    expect(receiver.all("session-ended")).toMatchObject([{ interrupted: true, storedFrames: stored }]);

    const second = place.send(receiver.port, [dir]);
    expect(await second.status()).toBe(0);
    expect(second.all("summary")).toMatchObject([{ frames: frames, duplicates: stored, stored: frames - stored }]);
    receiver.signal(signal);
    expect(await receiver.status()).toBe(0);
    expect(differences(dir, join(out, "camera", "vis"))).toEqual([]);
    expect((await place.run(["--verify", out])).status).toBe(0);
  }, 60_000);
}

test("a receiver with --once that sees an interrupted session ends with status 4", async () => {
  await using place = await openPlace();
  const { out, receiver, sender } = await inTheMiddle(place, ["--once"]);
  sender.signal("SIGINT");
  expect(await sender.status()).toBe(4);
  expect(await receiver.status()).toBe(4);
  const verified = await place.run(["--verify", out]);
  expect(verified.stdout).toContain("0 missing, 0 changed, 0 unknown, 0 gaps");
}, 60_000);

test("SIGTERM at the receiver: status 0, everything acknowledged is stored; the sender waits for it", async () => {
  await using place = await openPlace();
  const { dir, out, receiver, proxy, sender } = await inTheMiddle(place);
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  await sender.waitFor("disconnected");
  const stored = filesBelow(join(out, "camera", "vis")).length;
  const verified = await place.run(["--verify", out]);
  expect(verified.status).toBe(0);
  expect(verified.stdout).toContain(`${stored} frames`);
  expect(sender.ended).toBe(false);
  sender.signal("SIGTERM");
  expect(await sender.status()).toBe(4);
  // Nothing was acknowledged that is not there.
  expect(Number(sender.all("summary")[0]?.["stored"])).toBeLessThanOrEqual(stored);

  const again = await place.receive(out, { words: ["--once"] });
  proxy.targetPort = again.port;
  expect(await place.send(again.port, [dir]).status()).toBe(0);
  expect(await again.status()).toBe(0);
  expect(differences(dir, join(out, "camera", "vis"))).toEqual([]);
}, 60_000);

test("a second signal ends either end at once", async () => {
  await using place = await openPlace();
  const dir = place.path("vis");
  mkdirSync(dir);
  writeFileSync(join(dir, "1.jpg"), "one");
  // A receiver that never answers the sender's last words: full disk.
  const receiver = await place.receive(place.path("captures"), { words: ["--min-free", "1000000G"] });
  const sender = place.send(receiver.port, [dir]);
  await sender.waitFor("held");
  sender.signal("SIGINT");
  await sender.waitFor("stopping");
  expect(sender.ended).toBe(false);
  sender.signal("SIGINT");
  expect(await sender.status()).toBe(130);

  // A receiver that is never given the time to stop: its peer's connection does not end.
  // It waits for that for half a second, which a busy machine may take for the second signal: then once more.
  let stopping = receiver;
  let status = 0;
  for (let attempt = 0; status === 0 && attempt < 5; attempt += 1) {
    if (attempt > 0) stopping = await place.receive(place.path("captures"), { words: ["--min-free", "1000000G"] });
    const waiting = place.send(stopping.port, [dir]);
    await waiting.waitFor("held");
    waiting.signal("SIGSTOP");
    stopping.signal("SIGTERM");
    await stopping.waitFor("stopping");
    stopping.signal("SIGTERM");
    status = await stopping.status();
  }
  expect(status).toBe(143);
}, 60_000);

test("a sender that waits for its receiver ends at once on a signal, and so does an idle receiver", async () => {
  await using place = await openPlace();
  const dir = place.path("vis");
  mkdirSync(dir);
  writeFileSync(join(dir, "1.jpg"), "one");
  const sender = place.send(freePort(), [dir]);
  await sender.waitFor("disconnected");
  const startedMs = performance.now();
  sender.signal("SIGTERM");
  expect(await sender.status()).toBe(4);
  const receiver = await place.receive(place.path("captures"));
  receiver.signal("SIGINT");
  expect(await receiver.status()).toBe(0);
  expect(performance.now() - startedMs).toBeLessThan(4_000);
}, 60_000);

test("a reader of standard error or standard output that goes away never ends a run", async () => {
  await using place = await openPlace();
  const [dir, out] = [place.path("vis"), place.path("captures")];
  await makeFrameSet(dir, { kind: "jpeg", count: 30, bytes: 5_000 });
  const program = await executable();
  const port = freePort();
  // `true` reads nothing and is gone before anything is said.
  const shell = (line: string) => Bun.spawn(["bash", "-c", line], { stdio: ["ignore", "pipe", "pipe"] });
  const status = 'echo "${PIPESTATUS[0]}"';
  const receiver = shell(
    `'${program}' --receive 127.0.0.1:${port} --out '${out}' --once --verbose 2>&1 >/dev/null | true; ${status}`,
  );
  const sender = shell(
    `'${program}' --send 127.0.0.1:${port} --device camera --json '${dir}' 2>&1 >/dev/null | true; ${status}`,
  );
  expect((await new Response(sender.stdout).text()).trim()).toBe("0");
  expect((await new Response(receiver.stdout).text()).trim()).toBe("0");
  expect(differences(dir, join(out, "camera", "vis"))).toEqual([]);

  for (const words of ["--help", "--version", `--verify '${out}'`]) {
    const closed = shell(`'${program}' ${words} | true; ${status}`);
    expect((await new Response(closed.stdout).text()).trim(), words).toBe("0");
    expect(await new Response(closed.stderr).text(), words).toBe("");
  }
  // Closed descriptors, as some service managers leave them.
  const bare = shell(`'${program}' --verify '${out}' >&- 2>&-; echo "$?"`);
  expect((await new Response(bare.stdout).text()).trim()).toMatch(/^[01]$/);
}, 60_000);
