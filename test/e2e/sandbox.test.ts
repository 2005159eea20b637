/** Sandboxes as services have them: what the system refuses to do for every program in them. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openPlace, type Place, type Running } from "../support/processes.ts";
import type { SandboxRule } from "../support/sandbox.ts";

const sandbox = join(import.meta.dir, "..", "support", "sandbox.ts");

function start(place: Place, rule: SandboxRule, words: readonly string[]): Running {
  return place.startOther(process.execPath, [sandbox, rule, place.executable, ...words, "--json"]);
}

function verify(place: Place, rule: SandboxRule, out: string): Running {
  return start(place, rule, ["--verify", out]);
}

/** A receiver for every interface, and what it says first. */
async function receive(place: Place, rule: SandboxRule, out: string) {
  const receiver = start(place, rule, ["--receive", ":0", "--insecure", "--out", out]);
  const listening = await receiver.waitFor("listening");
  const port = Number(String(listening["address"]).split(":").at(-1));
  return { receiver, address: String(listening["address"]), hints: listening["hints"], port };
}

async function sendOne(place: Place, rule: SandboxRule, port: number): Promise<void> {
  const dir = place.path("vis");
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "1.raw"), "one");
  const sender = start(place, rule, ["--send", `localhost:${port}`, dir]);
  expect(await sender.status()).toBe(0);
}

describe.skipIf(process.platform !== "linux")("a sandbox", () => {
  test.each<[SandboxRule, RegExp]>([
    ["no-netlink", /^(?:\[::\]|0\.0\.0\.0):\d+$/],
    ["no-ipv6", /^0\.0\.0\.0:\d+$/],
  ])("with %s: the receiver listens, and a sender comes in", async (rule, expected) => {
    await using place = await openPlace();
    const { receiver, address, port } = await receive(place, rule, place.path("captures"));
    expect(address).toMatch(expected);
    await sendOne(place, rule, port);
    receiver.signal("SIGTERM");
    expect(await receiver.status()).toBe(0);
  });

  test("with no shared memory: the catalogue is for the receiver alone while it runs, which is said", async () => {
    await using place = await openPlace();
    const [rule, out] = ["no-shared-memory" as const, place.path("captures")];
    const { receiver, port } = await receive(place, rule, out);
    await receiver.waitFor("destination", ({ what }) => what === "unshared");
    await sendOne(place, rule, port);
    const during = verify(place, rule, out);
    expect(await during.status()).toBe(1);
    expect(during.all("error")).toEqual([expect.objectContaining({ hints: ["end the receiver first"] })]);
    receiver.signal("SIGTERM");
    expect(await receiver.status()).toBe(0);
    expect(await verify(place, rule, out).status()).toBe(0);
    expect((await place.run(["--verify", out])).status).toBe(0);
  }, 30_000);
});
