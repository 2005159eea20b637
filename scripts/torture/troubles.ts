/** What is done to those who take part, one thing after another, each for a while. */
import { readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Random } from "../../test/support/random.ts";
import { type Camera, StreamCamera } from "./cameras.ts";
import type { Attached, TortureDisk } from "./disk.ts";
import type { Journal } from "./journal.ts";
import type { Program } from "./program.ts";
import { nameOf, type Receiver, type Stage } from "./stage.ts";

/** So long a process must have run to have kept all that is in its pipe. */
const keepingMs = 4_000;
const day = 86_400;
const endingSignals = ["SIGTERM", "SIGHUP", "SIGINT"] as const;

export class Troubles {
  readonly #stage: Stage;
  readonly #random: Random;
  readonly #journal: Journal;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();

  constructor(stage: Stage, random: Random, journal: Journal) {
    this.#stage = stage;
    this.#random = random;
    this.#journal = journal;
  }

  /** Does one thing. */
  next(): void {
    const random = this.#random;
    const { receivers, cameras, programs, card } = this.#stage;
    const receiver = random.pick(receivers);
    const camera = random.pick(cameras);
    const program = random.pick(programs);
    const { proxy, disk } = receiver;
    const ms = (least: number, most: number): number => least + random.int(most - least);
    const troubles: readonly (readonly [weight: number, run: () => void])[] = [
      [5, () => this.#link("cut", receiver, "", () => proxy.cut())],
      [2, () => this.#forTime("stall", receiver, ms(200, 4000), (time) => proxy.stall(time))],
      [2, () => this.#forTime("delay", receiver, ms(500, 5000), (time) => proxy.delay(ms(5, 300), time))],
      [2, () => this.#forTime("throttle", receiver, ms(500, 5000), (time) => proxy.throttle(ms(20, 500), time))],
      [2, () => this.#forTime("split", receiver, ms(100, 1500), (time) => proxy.split(time))],
      [2, () => this.#link("corrupt", receiver, ": one or two bits", () => proxy.damage(1 + random.int(2)))],
      [1, () => this.#forTime("swallow", receiver, ms(500, 13_000), (time) => proxy.swallow(time))],
      [3, () => void this.#killReceiver(receiver, ms(0, 2500))],
      [3, () => void this.#stopSender(camera, "SIGKILL")],
      [1, () => this.#endReceiver(receiver, random.pick(endingSignals))],
      [1, () => void this.#stopSender(camera, random.pick(endingSignals))],
      [2, () => this.#freeze(program, ms(200, 13_000))],
      [2, () => this.#fill(disk, ms(500, 4000))],
      [1, () => this.#attach("read-only", random.pick([card, disk]), ms(500, 6000))],
      [1, () => this.#attach("away", random.pick([card, disk]), ms(500, 9000))],
      [2, () => this.#stallLog(program, ms(1000, 9000))],
      [1, () => this.#jump(program)],
      [1, () => this.#removeStored()],
      [2, () => this.#visit(receiver)],
    ];
    const total = troubles.reduce((sum, [weight]) => sum + weight, 0);
    let at = random.int(total);
    for (const [weight, run] of troubles) {
      if (at < weight) return run();
      at -= weight;
    }
  }

  /** Ends all of it. */
  calm(): void {
    this.cancel();
    const { receivers, card, streams, programs, clocks } = this.#stage;
    for (const { proxy, disk } of receivers) {
      proxy.calm();
      disk.free();
      disk.attach("writable");
    }
    card.attach("writable");
    for (const stream of streams) stream.paused = false;
    for (const program of programs) {
      program.signal("SIGCONT");
      program.stalled = false;
      clocks.get(program)?.set(0);
    }
    this.#journal.over("all troubles: links, disks, clocks and logs are as they should be, and nothing more is made");
  }

  cancel(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #later(ms: number, run: () => void | Promise<void>): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void run();
    }, ms);
    this.#timers.add(timer);
  }

  #link(what: string, { program }: Receiver, text: string, run: () => void): void {
    this.#journal.did(what, `the link of ${program.name}${text}`);
    run();
  }

  #forTime(what: string, receiver: Receiver, ms: number, run: (ms: number) => void): void {
    this.#link(what, receiver, ` for ${ms} ms`, () => run(ms));
    this.#later(ms, () => this.#journal.over(`${what} of the link of ${receiver.program.name}`));
  }

  async #killReceiver(receiver: Receiver, downMs: number): Promise<void> {
    const { program } = receiver;
    if (!program.running) return;
    this.#journal.did("kill", `${program.name}, back in ${downMs} ms`);
    receiver.downUntilMs = performance.now() + downMs;
    await program.kill();
  }

  #endReceiver({ program }: Receiver, signal: NodeJS.Signals): void {
    if (!program.running) return;
    this.#journal.did("end", `${program.name} by ${signal}`);
    program.signal(signal);
  }

  async #stopSender(camera: Camera, signal: NodeJS.Signals): Promise<void> {
    const program = this.#random.pick(camera.programs);
    const stop = (): void => {
      this.#journal.did(signal === "SIGKILL" ? "kill" : "end", `${program.name} by ${signal}`);
      program.signal(signal);
    };
    if (!program.running) return;
    if (camera.mayBeKilled) return stop();
    // What a process has read of a pipe and not kept dies with it: so it is given time to keep it, if it keeps any, and
    // nothing more comes until it has ended.
    if (!(camera instanceof StreamCamera) || camera.device !== "spooled" || camera.paused) return;
    camera.paused = true;
    this.#later(keepingMs, async () => {
      if (camera.isDrained && program.running && performance.now() - program.runsSinceMs >= keepingMs) {
        stop();
        await program.ended();
      }
      camera.paused = false;
    });
  }

  #freeze(program: Program, ms: number): void {
    if (!program.running) return;
    this.#journal.did("freeze", `${program.name} for ${ms} ms`);
    program.signal("SIGSTOP");
    this.#later(ms, () => {
      this.#journal.over(`freeze of ${program.name}`);
      program.signal("SIGCONT");
    });
  }

  #fill(disk: TortureDisk, ms: number): void {
    if (!disk.fill()) return;
    this.#journal.did("full disk", `${nameOf(disk)} for ${ms} ms`);
    this.#later(ms, () => {
      disk.free();
      this.#journal.over(`${nameOf(disk)} has room again`);
    });
  }

  #attach(how: Exclude<Attached, "writable">, disk: TortureDisk, ms: number): void {
    if (!disk.isOwn || disk.attached !== "writable") return;
    this.#journal.did(how === "away" ? "unmount" : "read-only", `${nameOf(disk)} for ${ms} ms`);
    disk.attach(how);
    this.#later(ms, () => {
      disk.attach("writable");
      this.#journal.over(`${nameOf(disk)} is mounted to be written again`);
    });
  }

  #stallLog(program: Program, ms: number): void {
    this.#journal.did("stalled log", `what ${program.name} says is not read for ${ms} ms`);
    program.stalled = true;
    this.#later(ms, () => {
      program.stalled = false;
      this.#journal.over(`stalled log of ${program.name}`);
    });
  }

  /** Half of the jumps go back to the right time. */
  #jump(program: Program): void {
    const clock = this.#stage.clocks.get(program);
    if (clock === undefined) return;
    const far = this.#random.pick([3, 3600, day, 400 * day, 9000 * day]);
    const seconds = this.#random.pick([0, 0, far, -far]);
    const where = seconds === 0 ? "to the right time" : `to ${Math.abs(seconds)} s ${seconds < 0 ? "behind" : "ahead"}`;
    this.#journal.did("clock jump", `of ${program.name} ${where}`);
    clock.set(seconds);
  }

  /** As somebody's `find -delete` does; they are sent again, because their camera still has them. */
  #removeStored(): void {
    const [first] = this.#stage.receivers;
    const folder = join(first?.out[0] ?? "", "rolls");
    let names: string[] = [];
    try {
      names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".pgm"));
    } catch {
      return;
    }
    const removed = names.filter(() => this.#random.chance(3 / Math.max(3, names.length)));
    if (removed.length === 0) return;
    this.#journal.did("retention", `somebody removed ${removed.length} stored files of rolls`);
    for (const name of removed) rmSync(join(folder, name), { force: true });
  }

  /** Health checks, port scanners, browsers. */
  #visit({ program, proxy }: Receiver): void {
    const say = this.#random.pick(["", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\u0016\u0003\u0001", "SSH-2.0-x\r\n"]);
    const count = 1 + this.#random.int(20);
    this.#journal.did("visit", `${count} strangers at ${program.name}, who say ${JSON.stringify(say.slice(0, 14))}`);
    for (let at = 0; at < count; at++) {
      const socket = connect(proxy.targetPort, "127.0.0.1", () => socket.end(say));
      socket.on("error", () => undefined);
    }
  }
}
