/**
 * `kill -9` of either end and of both, at moments drawn from a seed, and the same commands again: every frame arrives
 * once, none is ever seen half-written, and none that was acknowledged is sent again.
 *
 * A slow proxy stands between the two, so that the kills fall into the transfer, and listens in on both directions.
 */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { catalogueRows, differences, filesBelow, freePort, openPlace, setting } from "../support/processes.ts";
import { Random } from "../support/random.ts";
import { kinds, type Message, MessageReader } from "./wire-peer.ts";

type Victim = "receiver" | "sender" | "both";

/** What one connection says of frames: their names by source and number, and how each was answered. */
class Overheard {
  readonly #up = new MessageReader();
  readonly #down = new MessageReader();
  readonly #sources = new Map<number, string>();
  readonly #names = new Map<string, string>();
  /**
   * Frames, by source and number, that had been acknowledged when this connection offered them. Two connections carry
   * the same frame without fault when a dead sender's last bytes are still on the way while the next one sends.
   */
  readonly #acknowledgedBefore = new Set<string>();
  readonly #ledger: Ledger;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  hear(direction: "up" | "down", chunk: Uint8Array): void {
    for (const message of (direction === "up" ? this.#up : this.#down).push(chunk)) this.#hearMessage(message);
  }

  #hearMessage(message: Message): void {
    switch (message.kind) {
      case kinds.source: {
        const index = message.u16();
        this.#sources.set(index, message.text());
        return;
      }
      case kinds.offer: {
        const [index, count, first] = [message.u16(), message.u16(), message.u64()];
        for (let at = 0; at < count; at += 1) {
          this.#name(index, first + at, message.skip(16).text());
          if (this.#ledger.acknowledged.has(this.#nameOf(index, first + at))) {
            this.#acknowledgedBefore.add(`${index} ${first + at}`);
          }
        }
        return;
      }
      case kinds.frame: {
        const [index, sequence] = [message.u16(), message.skip(2).u64()];
        // Capture time, size, offset, checksum.
        this.#name(index, sequence, message.skip(8 + 8 + 8 + 4).text());
        this.#sent(index, sequence, message.payload.length);
        return;
      }
      case kinds.chunk: {
        const [index, sequence] = [message.u16(), message.skip(2).u64()];
        this.#sent(index, sequence, message.payload.length);
        return;
      }
      case kinds.want: {
        const [index, count, first] = [message.u16(), message.u16(), message.u64()];
        for (let at = 0; at < count; at += 1) {
          const verdict = message.u8();
          // With 5 there is an offset besides.
          message.skip(verdict === 5 ? 12 : 4);
          // 1 to 3: stored already.
          if (verdict >= 1 && verdict <= 3) this.#ledger.acknowledged.add(this.#nameOf(index, first + at));
        }
        return;
      }
      case kinds.ack: {
        const [index, ranges] = [message.u16(), message.u16()];
        message.skip(8);
        for (let range = 0; range < ranges; range += 1) {
          const [first, count] = [message.u64(), message.u32()];
          message.skip(4);
          for (let at = 0; at < count; at += 1) this.#ledger.acknowledged.add(this.#nameOf(index, first + at));
        }
        return;
      }
    }
  }

  #sent(index: number, sequence: number, bytes: number): void {
    const again = this.#acknowledgedBefore.has(`${index} ${sequence}`);
    this.#ledger.sent(this.#nameOf(index, sequence), bytes, again);
  }

  #name(index: number, sequence: number, name: string): void {
    this.#names.set(`${index} ${sequence}`, `${this.#sources.get(index)}/${name}`);
  }

  #nameOf(index: number, sequence: number): string {
    return this.#names.get(`${index} ${sequence}`) ?? `source ${index}, frame ${sequence}, never named`;
  }
}

/** The truth about all connections together. */
class Ledger {
  readonly acknowledged = new Set<string>();
  readonly sentAfterAck: string[] = [];
  /** Of frames that were sent, at least once. */
  readonly names = new Set<string>();
  payloadBytes = 0;

  /** `again`: it had been acknowledged before it was offered. */
  sent(name: string, bytes: number, again: boolean): void {
    this.names.add(name);
    this.payloadBytes += bytes;
    if (again) this.sentAfterAck.push(name);
  }
}

/** Looks into the archive again and again: whatever has a final name must be whole from the first look on. */
class Watcher {
  readonly halfWritten: string[] = [];
  looks = 0;
  readonly #seen = new Set<string>();
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(archive: string, sourceDirs: Readonly<Record<string, string>>) {
    this.#done = this.#watch(archive, sourceDirs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #watch(archive: string, sourceDirs: Readonly<Record<string, string>>): Promise<void> {
    while (!this.#stopped) {
      this.looks += 1;
      for (const path of filesBelow(archive)) {
        if (this.#seen.has(path)) continue;
        this.#seen.add(path);
        if (!isWhole(archive, path, sourceDirs)) this.halfWritten.push(path);
      }
      await Bun.sleep(10);
    }
  }
}

/** A frame that nobody sent is not whole either. */
function isWhole(archive: string, path: string, sourceDirs: Readonly<Record<string, string>>): boolean {
  const [, source = "", ...name] = path.split("/");
  const original = join(sourceDirs[source] ?? "", ...name);
  return existsSync(original) && readFileSync(join(archive, path)).equals(readFileSync(original));
}

test("kill -9 of either end and of both: every frame once, none half-written, none sent after its ack", async () => {
  const kills = setting("E2E_KILLS", 2);
  const frames = setting("E2E_FRAMES", 600);
  const seed = setting("E2E_SEED", Math.trunc(Math.random() * 1e9));
  const random = new Random(seed);
  await using place = await openPlace();
  const dirs = { visible: place.path("vis"), infrared: place.path("ir") };
  const visible = await makeFrameSet(dirs.visible, { kind: "jpeg", count: Math.ceil(frames / 3), bytes: 40_000 });
  const infrared = await makeFrameSet(dirs.infrared, {
    kind: "png",
    count: frames - visible.names.length,
    bytes: 6_000,
  });
  const totalBytes = visible.bytes + infrared.bytes;
  const archive = place.path("captures");
  const victims = (["receiver", "sender", "both"] as const).flatMap((victim) => Array<Victim>(kills).fill(victim));
  const order = victims.map((victim) => ({ victim, key: random.next() })).toSorted((a, b) => a.key - b.key);
  // When so many frames have been sent once. The last fifth is left alone, so that something is left after each kill.
  const moments = order.map(() => random.int(frames * 0.8)).toSorted((a, b) => a - b);

  const ledger = new Ledger();
  const connections = new Map<number, Overheard>();
  const port = freePort();
  const proxy = place.proxy({
    targetPort: port,
    bytesPerSecond: totalBytes / 3,
    tap: (connection, direction, chunk) => {
      const overheard = connections.get(connection) ?? new Overheard(ledger);
      connections.set(connection, overheard);
      overheard.hear(direction, chunk);
    },
  });
  const receive = () => place.receive(archive, { port });
  const send = () => place.send(proxy.port, [`visible=${dirs.visible}`, `infrared=${dirs.infrared}`]);

  let receiver = await receive();
  let sender = send();
  const watcher = new Watcher(archive, dirs);
  for (const [index, { victim }] of order.entries()) {
    const moment = moments[index] ?? 0;
    while (ledger.names.size < moment && !sender.ended) await Bun.sleep(2);
    await Bun.sleep(random.int(150));
    expect(sender.ended).toBe(false);
    if (victim !== "receiver") await sender.kill();
    if (victim !== "sender") await receiver.kill();
    if (random.chance(0.5)) await Bun.sleep(random.int(300));
    if (victim !== "sender") receiver = await receive();
    if (victim !== "receiver") sender = send();
  }
  expect(await sender.status()).toBe(0);
  await watcher.stop();
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);

  const sentAgain = ledger.payloadBytes - totalBytes;
  console.log(
    `${frames} frames, ${(totalBytes / 1e6).toFixed(1)} MB, ${order.length} kills, seed ${seed}: ` +
      `${proxy.connected} connections, ${(sentAgain / 1e6).toFixed(2)} MB of unacknowledged frames sent again, ` +
      `${ledger.sentAfterAck.length} of ${ledger.acknowledged.size} frames sent after their ack; ` +
      `the archive was looked at ${watcher.looks} times`,
  );
  expect(ledger.sentAfterAck).toEqual([]);
  expect(ledger.acknowledged.size).toBe(frames);
  // What is in flight at a kill is bounded by the window; here by all that there is.
  expect(sentAgain).toBeLessThan(order.length * Math.min(64 * 2 ** 20, totalBytes));
  // A kill may come before the connection after the one before it.
  expect(proxy.connected).toBeGreaterThan(order.length / 2);
  expect(watcher.halfWritten).toEqual([]);
  expect(watcher.looks).toBeGreaterThan(10);
  expect(differences(dirs.visible, join(archive, "camera", "visible"))).toEqual([]);
  expect(differences(dirs.infrared, join(archive, "camera", "infrared"))).toEqual([]);
  expect(filesBelow(archive)).toHaveLength(frames);
  const [row] = catalogueRows<{ frames: number; names: number }>(
    archive,
    "SELECT count(*) AS frames, count(DISTINCT source || '/' || name) AS names FROM frames",
  );
  expect(row).toEqual({ frames, names: frames });
  const verified = await place.run(["--verify", archive]);
  expect(verified.stdout).not.toContain("unended");
  expect(verified.status).toBe(0);
}, 600_000);
