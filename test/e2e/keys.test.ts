/** Keys as their users meet them: the three lines of the README, and what may happen between and behind them. */
import { expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { differences, filesBelow, openPlace, type Place, type Receiver, type Running } from "../support/processes.ts";

/** Frames that have been quiet for long. */
function makeFrames(place: Place, count: number): string {
  const folder = place.path("vis");
  mkdirSync(folder, { recursive: true });
  for (let index = 0; index < count; index += 1) {
    const path = join(folder, `${index}.pgm`);
    writeFileSync(path, `P5 10 10 255\n${"x".repeat(100)}`);
    utimesSync(path, 1_700_000_000 + index, 1_700_000_000 + index);
  }
  return `visible=${folder}`;
}

const keyOf = (place: Place): string => place.path("recorder.key");
const devicesOf = (place: Place): string => place.path("recorder.key.devices");

function receive(place: Place, port = 0): Promise<Receiver> {
  return place.receive(place.path("captures"), { port, words: ["--key", keyOf(place)] });
}

/** Makes an invitation, and gives the file that holds it. */
async function invite(place: Place, device: string, port: number, words: readonly string[] = []): Promise<string> {
  const made = await place.run(["--invite", `${device}@127.0.0.1:${port}`, "--key", keyOf(place), ...words]);
  expect(made.status).toBe(0);
  expect(made.stdout).toMatch(/^FRAMEPIPE-INVITATION-1[A-Z\d]+ 127\.0\.0\.1:\d+\n$/);
  const path = place.path(`${device}.invitation`);
  writeFileSync(path, made.stdout);
  return path;
}

function send(place: Place, port: number, name: string, input: string, ...words: string[]): Running {
  return place.start(["--send", `127.0.0.1:${port}`, "--key", place.path(`${name}.key`), "--json", ...words, input]);
}

test("three lines on two machines, then the same command for ever", async () => {
  await using place = await openPlace();
  const frames = makeFrames(place, 5);
  const receiver = await receive(place);
  expect(receiver.count("no-devices")).toBe(1);
  expect(statSync(keyOf(place)).mode & 0o777).toBe(0o600);
  const invitation = await invite(place, "rig-7", receiver.port);
  const words = ["--join", invitation] as const;
  expect(await send(place, receiver.port, "rig", frames, ...words).status()).toBe(0);
  expect(differences(place.path("vis"), place.path("captures", "rig-7", "visible"))).toEqual([]);
  expect(statSync(place.path("rig.key")).mode & 0o777).toBe(0o600);
  await receiver.waitFor("granted", ({ device }) => device === "rig-7");

  // The invitation is used, and later gone; the command stays.
  expect(await send(place, receiver.port, "rig", frames, ...words).status()).toBe(0);
  rmSync(invitation);
  expect(await send(place, receiver.port, "rig", frames, ...words).status()).toBe(0);
  const [file = "", ...more] = readdirSync(devicesOf(place));
  expect(file).toMatch(/^rig-7\.fp1\w{58}\.device$/);
  expect(more).toEqual([]);
  // Both ends start again.
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  const again = await receive(place, receiver.port);
  expect(again.count("no-devices")).toBe(0);
  expect(await send(place, again.port, "rig", frames, ...words).status()).toBe(0);
});

test("a key without a grant stores nothing, makes nothing, and hears why", async () => {
  await using place = await openPlace();
  const frames = makeFrames(place, 2);
  const receiver = await receive(place);
  const key = String((await receiver.waitFor("key-made"))["key"]);
  const sender = send(place, receiver.port, "rig", frames, "--peer", key);
  const own = String((await sender.waitFor("key-made"))["key"]);
  expect(await sender.status()).toBe(3);
  expect(sender.stderr).toContain(`the key ${own} is not known here`);
  await receiver.until(() => receiver.stderr.includes(own), "the stranger's key is named");
  expect(readdirSync(place.path("captures"))).toEqual([".framepipe"]);

  // A file made by hand lets it in, at once.
  mkdirSync(devicesOf(place), { recursive: true, mode: 0o700 });
  writeFileSync(join(devicesOf(place), `rig-7.${own}.device`), "device=rig-7 sources=visible\n");
  expect(await send(place, receiver.port, "rig", frames, "--peer", key).status()).toBe(0);
  expect(filesBelow(place.path("captures"))).toHaveLength(2);
  // As another device it is refused, and both names are said.
  const other = send(place, receiver.port, "rig", frames, "--device", "rig-8");
  expect(await other.status()).toBe(3);
  expect(other.stderr).toContain(`the key ${own}, which is rig-7, may not write as rig-8`);
});

test("with a key at one end only, both ends say so", async () => {
  await using place = await openPlace();
  const frames = makeFrames(place, 1);
  const plain = await place.receive(place.path("plain"));
  const peer = "fp1xw0zl7ghvvzs0d4yyw6uuzzw9pw3lfjajwe7y7npjhfmh67f4c3sh6x7vx";
  const keyedSender = send(place, plain.port, "rig", frames, "--peer", peer, "--retry-for", "1s");
  const { reason } = await plain.waitFor("connection-refused");
  expect(reason).toContain("it speaks TLS, as a sender with a key does");
  expect(await keyedSender.status()).toBe(5);
  expect(keyedSender.stderr).toContain("as a receiver without --key does");
  const keyed = await receive(place);
  const lockstep = place.send(keyed.port, [frames], ["--lockstep", "--retry-for", "1s"]);
  expect(await lockstep.status()).toBe(5);
  expect(lockstep.stderr).toContain("a TLS server answers, as a receiver with a key does, and --lockstep has none");
}, 60_000);

test("a sender does not talk to a receiver with another key", async () => {
  await using place = await openPlace();
  const frames = makeFrames(place, 2);
  const receiver = await receive(place);
  await invite(place, "rig-7", receiver.port);
  const wanted = "fp1xw0zl7ghvvzs0d4yyw6uuzzw9pw3lfjajwe7y7npjhfmh67f4c3sh6x7vx";
  const sender = send(place, receiver.port, "rig", frames, "--peer", wanted, "--retry-for", "1s");
  expect(await sender.status()).toBe(5);
  const shown = String((await receiver.waitFor("key-made"))["key"]);
  expect(sender.stderr).toContain(wanted);
  expect(sender.stderr).toContain(shown);
  expect(sender.all("error").at(-1)?.["hints"]).toEqual([expect.stringContaining("let this device in anew")]);
  expect(filesBelow(place.path("captures"))).toEqual([]);
});

test("rm ends a connection, nothing more is stored, and what is put back lets it go on", async () => {
  await using place = await openPlace();
  const receiver = await receive(place);
  const invitation = await invite(place, "rig-7", receiver.port);
  const folder = place.path("vis");
  mkdirSync(folder);
  const sender = send(place, receiver.port, "rig", `visible=${folder}`, "--join", invitation, "--watch");
  await receiver.waitFor("session-started");
  const stored = place.path("captures", "rig-7", "visible");
  const appear = (name: string): void => {
    writeFileSync(join(folder, `${name}.part`), "P5 2 2 255\nxxxx");
    renameSync(join(folder, `${name}.part`), join(folder, name));
  };
  const isStored = async (name: string): Promise<void> => {
    while (!existsSync(join(stored, name))) await Bun.sleep(20);
  };
  appear("1.pgm");
  await isStored("1.pgm");

  const [file = ""] = readdirSync(devicesOf(place));
  renameSync(join(devicesOf(place), file), place.path(file));
  await receiver.waitFor("withdrawn");
  await sender.until(() => sender.stderr.includes("unauthorized"), "the refusal");
  expect(sender.all("disconnected").at(-1)?.["hint"]).toMatch(/devices folder.*asked again/);
  appear("2.pgm");
  await Bun.sleep(500);
  expect(sender.ended).toBe(false);
  expect(readdirSync(stored)).toEqual(["1.pgm"]);
  // It asks again after half a minute, or somewhat more.
  renameSync(place.path(file), join(devicesOf(place), file));
  await isStored("2.pgm");
  sender.signal("SIGTERM");
  expect(await sender.status()).toBe(0);
}, 150_000);

test("of two devices with one invitation one is in, and the other hears why", async () => {
  await using place = await openPlace();
  const frames = makeFrames(place, 3);
  const receiver = await receive(place);
  const invitation = await invite(place, "rig-7", receiver.port);
  const senders = ["a", "b", "c"].map((name) => send(place, receiver.port, name, frames, "--join", invitation));
  const statuses = await Promise.all(senders.map((sender) => sender.status()));
  expect(statuses.toSorted()).toEqual([0, 3, 3]);
  for (const [index, sender] of senders.entries()) {
    if (statuses[index] === 3) expect(sender.stderr).toContain("the invitation is used or has expired");
  }
  expect(readdirSync(devicesOf(place))).toHaveLength(1);
  expect(filesBelow(place.path("captures"))).toHaveLength(3);
});

test("an invitation that has expired lets nobody in", async () => {
  await using place = await openPlace();
  const frames = makeFrames(place, 1);
  const receiver = await receive(place);
  const invitation = await invite(place, "rig-7", receiver.port, ["--for", "1ms"]);
  await Bun.sleep(2);
  const sender = send(place, receiver.port, "rig", frames, "--join", invitation);
  expect(await sender.status()).toBe(3);
  expect(sender.stderr).toContain("the invitation is used or has expired");
  // A new one, for the key that there is by now.
  const second = await invite(place, "rig-7", receiver.port);
  expect(await send(place, receiver.port, "rig", frames, "--join", second).status()).toBe(0);
});

test("the receiver's key is replaced by its spare while senders are away", async () => {
  await using place = await openPlace();
  const frames = makeFrames(place, 2);
  const receiver = await receive(place);
  const invitation = await invite(place, "rig-7", receiver.port);
  expect(await send(place, receiver.port, "rig", frames, "--join", invitation).status()).toBe(0);
  receiver.signal("SIGTERM");
  await receiver.status();
  for (let change = 0; change < 2; change += 1) {
    renameSync(`${keyOf(place)}.spare`, keyOf(place));
    const next = await receive(place, receiver.port);
    expect(next.count("spare-made")).toBe(1);
    expect(await send(place, next.port, "rig", frames).status()).toBe(0);
    next.signal("SIGTERM");
    await next.status();
  }
  const [, line = ""] = readFileSync(place.path("rig.key"), "utf8").split("\n");
  expect(line.split(" ")).toHaveLength(4);
});

test("what is set up wrongly is said with what to do", async () => {
  await using place = await openPlace();
  const frames = makeFrames(place, 1);
  const none = await place.run(["--invite", "rig-7@localhost:1", "--key", keyOf(place)]);
  expect([none.status, none.stdout]).toEqual([2, ""]);
  expect(none.stderr).toContain("there is no key");
  const lonely = send(place, 1, "rig", frames);
  expect(await lonely.status()).toBe(2);
  expect(lonely.stderr).toContain("--join FILE");
  expect(existsSync(place.path("rig.key"))).toBe(false);
  const receiver = await receive(place);
  receiver.signal("SIGTERM");
  await receiver.status();
  chmodSync(keyOf(place), 0o644);
  const open = await place.run(["--receive", "0", "--out", place.path("captures"), "--key", keyOf(place)]);
  expect(open.status).toBe(1);
  expect(open.stderr).toContain("other users can read the key");
  expect(open.stderr).toContain("hint: chmod 600");
});

test("no secret is in arguments, variables, messages or what is stored", async () => {
  await using place = await openPlace();
  const frames = makeFrames(place, 2);
  const receiver = await receive(place);
  const invitation = await invite(place, "rig-7", receiver.port);
  const sender = send(place, receiver.port, "rig", frames, "--join", invitation, "--watch", "--verbose");
  await receiver.waitFor("session-started");
  const seedOf = (path: string): string => readFileSync(path, "utf8").split("\n")[0] ?? "";
  const code = readFileSync(invitation, "utf8").split(" ")[0] ?? "";
  const secrets = [keyOf(place), `${keyOf(place)}.spare`, place.path("rig.key")].map(seedOf).concat(code);
  for (const secret of secrets) expect(secret).toMatch(/^FRAMEPIPE-(?:KEY|INVITATION)-1[A-Z\d]{58}/);
  const places: [name: string, text: string][] = [];
  for (const { pid } of [receiver, sender]) {
    for (const name of ["cmdline", "environ", "comm"]) {
      try {
        places.push([name, readFileSync(`/proc/${pid}/${name}`, "latin1")]);
      } catch {
        // Another system; or its memory is hidden, and with it what only its user may read: then nobody else may.
      }
    }
  }
  sender.signal("SIGTERM");
  await sender.status();
  receiver.signal("SIGTERM");
  await receiver.status();
  places.push(["receiver", receiver.stderr], ["sender", sender.stderr]);
  for (const folder of [place.path("captures", ".framepipe"), devicesOf(place)]) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isFile()) places.push([entry.name, readFileSync(join(folder, entry.name), "latin1")]);
    }
  }
  expect(places.length).toBeGreaterThan(4);
  for (const [name, text] of places) {
    for (const secret of secrets) {
      // The code without its prefix and checksum: also part of it would be too much.
      const [, letters = ""] = /-1([A-Z\d]{40})/.exec(secret) ?? [];
      expect([name, text.toUpperCase().includes(letters)]).toEqual([name, false]);
    }
  }
});

/** The first word is what is about to be done when the process is killed; then the call, and which one of them. */
const receiverSteps: readonly (readonly [string, string, number])[] = [
  ["answer the handshake", "sendto", 1],
  ["take up the invitation", "rename", 1],
  ["make that durable", "fsync", 1],
  ["welcome", "sendto", 2],
];
const senderSteps: readonly (readonly [string, string, number])[] = [
  ["make its key durable", "fsync", 1],
  ["name its key", "renameat2", 1],
  ["begin the handshake", "sendto", 1],
  ["ask to join", "sendto", 2],
  ["remember its receiver", "rename", 1],
  ["send", "sendto", 3],
];

const tracing = (call: string, which: number): string[] => {
  return ["-f", "-qq", "-o", "/dev/null", "-e", `trace=${call}`, "-e", `inject=${call}:signal=KILL:when=${which}`];
};

const canTrace = process.platform === "linux" && Bun.which("strace") !== null && traces();

function traces(): boolean {
  return Bun.spawnSync(["strace", ...tracing("rename", 9), "true"]).exitCode === 0;
}

/** Whatever was killed: the same commands again, and exactly one device is in. */
async function comesIn(place: Place, sender: Running): Promise<void> {
  expect(await sender.status()).toBe(0);
  const files = readdirSync(devicesOf(place));
  expect(files).toHaveLength(1);
  expect(files[0]).toStartWith("rig-7.fp1");
  expect(readFileSync(place.path("rig.key"), "utf8").split("\n")).toHaveLength(3);
  expect(filesBelow(place.path("captures"))).toHaveLength(2);
}

test.skipIf(!canTrace).each(receiverSteps)(
  "a receiver that is killed when it is about to %s",
  async (_, call, which) => {
    await using place = await openPlace();
    const frames = makeFrames(place, 2);
    const first = await receive(place);
    const invitation = await invite(place, "rig-7", first.port);
    first.signal("SIGTERM");
    await first.status();
    const words = ["--receive", `127.0.0.1:${first.port}`, "--out", place.path("captures"), "--key", keyOf(place)];
    // The destination is flushed too.
    const only = call === "fsync" ? ["-P", devicesOf(place)] : [];
    const killed = place.startOther("strace", [...tracing(call, which), ...only, place.executable, "--json", ...words]);
    await killed.waitFor("listening");
    const sender = send(place, first.port, "rig", frames, "--join", invitation);
    expect(await killed.status()).toBe(137);
    // The sender goes on trying, and the next receiver is there for it.
    await receive(place, first.port);
    await comesIn(place, sender);
  },
);

test.skipIf(!canTrace).each(senderSteps)("a sender that is killed when it is about to %s", async (_, call, which) => {
  await using place = await openPlace();
  const frames = makeFrames(place, 2);
  const receiver = await receive(place);
  const invitation = await invite(place, "rig-7", receiver.port);
  const words = ["--send", `127.0.0.1:${receiver.port}`, "--key", place.path("rig.key"), "--join", invitation, frames];
  const killed = place.startOther("strace", [...tracing(call, which), place.executable, "--json", ...words]);
  expect(await killed.status()).toBe(137);
  await comesIn(place, send(place, receiver.port, "rig", frames, "--join", invitation));
});

/** Elsewhere cores go to a program that keeps them, or to a folder for all. */
const coresAreFiles =
  process.platform === "linux" && readFileSync("/proc/sys/kernel/core_pattern", "utf8").startsWith("core");

test.skipIf(!coresAreFiles)("a process with a key leaves no core, whatever the limits are", async () => {
  await using place = await openPlace();
  mkdirSync(place.path("here"));
  const words = ["--receive", "127.0.0.1:0", "--out", place.path("captures"), "--key", keyOf(place), "--json"];
  const script = 'ulimit -c unlimited 2>/dev/null; exec "$0" "$@"';
  const receiver = place.startOther("sh", ["-c", script, place.executable, ...words], { cwd: place.path("here") });
  await receiver.waitFor("listening");
  process.kill(receiver.pid, "SIGQUIT");
  await receiver.status();
  expect(readdirSync(place.path("here"))).toEqual([]);
});

test("a quota: without --keep the device waits and others go on, with it the oldest frames go", async () => {
  await using place = await openPlace();
  const frames = makeFrames(place, 6);
  const before = await receive(place);
  const invitation = await invite(place, "rig-7", before.port);
  expect(await send(place, before.port, "rig", frames, "--join", invitation).status()).toBe(0);
  before.signal("SIGTERM");
  await before.status();
  const file = readdirSync(devicesOf(place)).find((name) => name.endsWith(".device")) ?? "";
  // What it has, and room for two more.
  const bytes = statSync(join(place.path("vis"), "0.pgm")).size + 4096;
  writeFileSync(join(devicesOf(place), file), `device=rig-7 quota=${8 * bytes}\n`);
  const receiver = await receive(place, before.port);
  const more = place.path("more");
  mkdirSync(more);
  for (let index = 0; index < 4; index += 1) {
    writeFileSync(join(more, `${index}.pgm`), `P5 10 10 255\n${"y".repeat(100)}`);
    utimesSync(join(more, `${index}.pgm`), 1_600_000_000 + index, 1_600_000_000 + index);
  }
  const sender = send(place, receiver.port, "rig", `more=${more}`);
  const held = await receiver.waitFor("held");
  expect(held).toMatchObject({ device: "rig-7", reason: expect.stringContaining("rig-7 has a quota of") });
  await sender.waitFor("held");
  receiver.signal("SIGTERM");
  await receiver.status();
  expect(filesBelow(place.path("captures", "rig-7", "more"))).toHaveLength(2);
  const keeping = await place.receive(place.path("captures"), {
    port: receiver.port,
    words: ["--key", keyOf(place), "--keep", "30d"],
  });
  expect(await sender.status()).toBe(0);
  expect(filesBelow(place.path("captures", "rig-7", "more"))).toHaveLength(4);
  expect((await place.run(["--verify", place.path("captures")])).status).toBe(0);
  keeping.signal("SIGTERM");
  await keeping.status();
  expect(filesBelow(place.path("captures", "rig-7", "visible"))).toHaveLength(4);
});
