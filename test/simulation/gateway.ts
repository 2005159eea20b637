/**
 * A chain of two receivers in one thread, from a seed: a camera, a gateway and its upstream, with the real pipelines
 * and real catalogues on a virtual clock and two virtual networks. Links are cut, each of the three is killed, the
 * camera begins again in new sessions, formats its card, and sends the newest first. When nothing goes wrong any more,
 * the upstream's catalogue has to say what the gateway's says.
 *
 * Files and catalogues are on the real disk, which never fails here: what a disk does is simulation.ts's matter.
 */
import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Gateway } from "../../src/pipeline/gateway.ts";
import { ReceiverHub } from "../../src/pipeline/receiver.ts";
import { Sending } from "../../src/pipeline/sending.ts";
import type { Clock, LinkHandlers } from "../../src/ports.ts";
import { DirectoryBacklog } from "../../src/sinks/directory/backlog.ts";
import type { Catalogue } from "../../src/sinks/directory/catalogue.ts";
import { DirectoryStore } from "../../src/sinks/directory/directory-store.ts";
import { openSqliteCatalogue } from "../../src/sinks/directory/sqlite-catalogue.ts";
import { openStoredFile } from "../../src/sinks/directory/stored-file.ts";
import { Layout, layoutDefault } from "../../src/sinks/store/layout.ts";
import { StoreSink } from "../../src/sinks/store/store-sink.ts";
import { nodeDisk } from "../../src/system/file-system.ts";
import { Random } from "../support/random.ts";
import { SimClock } from "./sim-clock.ts";
import { SimNetwork } from "./sim-network.ts";
import { type SimFile, type SimFolder, SimSource } from "./sim-source.ts";

export interface ChainReport {
  readonly frames: number;
  readonly kills: number;
  readonly sessions: number;
  readonly duplicates: number;
  readonly gaps: number;
}

/** Trouble happens before this, virtual; and the run must be over by then. */
const troubleMs = 15_000;
const patienceMs = 20 * 60_000;

/** What a catalogue says that must be the same all along a chain. Which of two twins has the name is each one's own. */
export const chainQueries: readonly string[] = [
  `SELECT device, source, session, sequence, name, bytes, crc32, CAST(captured AS TEXT) AS captured, notes, metadata
   FROM frames ORDER BY device, source, session, sequence, crc32`,
  `SELECT device, source, session, first, last, outcome FROM outcomes JOIN sessions ON id = session_id
   WHERE outcome IN ('duplicate', 'gap', 'refused', 'expired') ORDER BY session, source, first`,
  `SELECT device, source, session, sum(last - first + 1) AS numbers, max(last) AS last
   FROM outcomes JOIN sessions ON id = session_id WHERE outcome IN ('stored', 'conflict')
   GROUP BY session, source ORDER BY session, source`,
  `SELECT device, source, session, first_sequence, count, reason, name, detail FROM gaps
   ORDER BY session, source, first_sequence`,
  `SELECT device, source, session, account, frames, stored + conflicts AS kept, duplicates, refused, skipped
   FROM sessions WHERE ended IS NOT NULL ORDER BY session, source`,
];

/** Throws an Error that names the seed, if the two ends of the chain differ. */
export function simulateChain(seed: number, log?: (line: string) => void): ChainReport {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-chain-"));
  try {
    return new Chain(seed, folder, log).run();
  } catch (cause) {
    throw new Error(`seed ${seed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One receiver, and what ends it. */
interface Node {
  readonly name: string;
  readonly incoming: SimNetwork;
  readonly outgoing: SimNetwork | undefined;
  kill: (() => void) | undefined;
}

class Chain {
  readonly #random: Random;
  readonly #clock = new SimClock();
  readonly #folder: string;
  readonly #log: ((line: string) => void) | undefined;
  readonly #nodes: readonly Node[];
  readonly #folders: readonly SimFolder[];
  readonly #order: "oldest" | "newest";
  /** The card before it was formatted. */
  #earlier: boolean;
  #sessions = 0;
  #kills = 0;
  #killCamera: (() => void) | undefined;
  #done = false;

  constructor(seed: number, folder: string, log: ((line: string) => void) | undefined) {
    const random = (this.#random = new Random(seed));
    this.#folder = folder;
    this.#log = log;
    const delayMsMax = random.pick([1, 20, 200]);
    const network = (): SimNetwork =>
      new SimNetwork(this.#clock, random, { delayMsMax, capacityBytes: random.pick([20_000, 500_000]), damage: 0 });
    const [near, far] = [network(), network()];
    this.#nodes = [
      { name: "gateway", incoming: near, outgoing: far, kill: undefined },
      { name: "upstream", incoming: far, outgoing: undefined, kill: undefined },
    ];
    this.#order = random.chance(0.4) ? "newest" : "oldest";
    this.#earlier = random.chance(0.4);
    this.#folders = Array.from({ length: 1 + random.int(2) }, (_, index) => this.#makeFolder(index));
  }

  #makeFolder(index: number): SimFolder {
    const random = this.#random;
    const files: SimFile[] = Array.from({ length: random.pick([0, 3, 40, 150]) }, (_, at) => {
      const bytes = random.bytes(random.pick([1, 200, 200, 3_000]));
      const file = {
        name: `${at}.jpg`,
        bytes,
        capturedNs: 1_790_000_000_000_000_000n + BigInt(at) * 1_000_000n,
        broken: random.chance(0.05),
      };
      if (!this.#earlier || file.broken || random.chance(0.7)) return file;
      return { ...file, earlier: bytes.with(0, (bytes[0] ?? 0) ^ 0xff) };
    });
    return { source: `source-${index}`, files, deleted: new Set() };
  }

  run(): ChainReport {
    const random = this.#random;
    for (const node of this.#nodes) {
      if (random.chance(0.5)) this.#start(node);
      else this.#clock.after(random.int(5_000), () => this.#start(node));
    }
    this.#startCamera();
    for (let count = random.int(14); count > 0; count -= 1) {
      this.#clock.after(random.int(random.pick([500, 4_000, troubleMs])), () => this.#trouble());
    }
    // Nothing goes wrong any more behind `troubleMs`.
    do {
      this.#clock.pass(1_000);
      if (this.#clock.nowMs() > patienceMs) throw new Error(`not handed on: ${this.#difference() ?? "an end"}`);
    } while (!this.#done || this.#clock.nowMs() < troubleMs || !this.#isHandedOn());
    const difference = this.#difference();
    if (difference !== undefined) throw new Error(difference);
    for (const { kill } of this.#nodes) kill?.();
    return this.#report();
  }

  // ---- processes

  #start(node: Node): void {
    if (node.kill !== undefined) return;
    const { name, incoming, outgoing } = node;
    const { clock, kill } = this.#clock.process();
    const directory = this.#place(name);
    const backlog =
      outgoing && new DirectoryBacklog({ clock, openFile: (path, bytes) => openStoredFile(directory, path, bytes) });
    let catalogue: Catalogue | undefined;
    let isDead = false;
    const sync = "never";
    const store = new DirectoryStore({
      directory,
      layout: new Layout(layoutDefault),
      sync,
      minFreeBytes: 0,
      disk: nodeDisk,
      takeLock: () => ({ release: () => undefined, inPlace: () => true }),
      openCatalogue: (...of) => {
        // What a commit that was cut goes on to do is done by nobody.
        if (isDead) throw new Error("the process is gone");
        return (catalogue = openSqliteCatalogue(...of));
      },
      clock,
      backlog,
    });
    const hub = new ReceiverHub({
      sink: new StoreSink(store, { sync, frameBytesMax: 1_000_000, clock }),
      clock,
      agent: name,
      frameBytesMax: 1_000_000,
      connectionsMax: 10,
      newSession: () => this.#newSession(),
      onEvent: (event) => this.#say(name, event),
      onFailure: (error) => {
        throw error;
      },
    });
    incoming.accept = (): LinkHandlers => hub.accept();
    if (outgoing !== undefined && backlog !== undefined) this.#startGateway(name, clock, outgoing, backlog);
    node.kill = () => {
      kill();
      isDead = true;
      incoming.accept = undefined;
      incoming.kill("receiver");
      outgoing?.kill("sender");
      // As the system does it; what the process had in memory alone is lost.
      catalogue?.close();
      node.kill = undefined;
    };
  }

  #startGateway(name: string, clock: Clock, { dial }: SimNetwork, backlog: DirectoryBacklog): void {
    const gateway = new Gateway({
      peer: "upstream",
      dial,
      clock,
      random: () => this.#random.next(),
      newSession: () => this.#newSession(),
      agent: name,
      backlog,
      onEvent: (event) => {
        this.#say(name, event);
        if (event.event === "upstream-differs") throw new Error(`${name}: the totals of ${event.source} differ`);
      },
    });
    gateway.start();
  }

  #startCamera(): void {
    const { clock, kill } = this.#clock.process();
    this.#killCamera = kill;
    const [near] = this.#nodes;
    const isEarlier = this.#earlier;
    const sending = new Sending({
      peer: "gateway",
      dial: near?.incoming.dial ?? (() => undefined),
      clock,
      random: () => this.#random.next(),
      session: this.#newSession(),
      device: "rig",
      agent: "camera",
      sources: this.#folders.map(
        (folder) =>
          new SimSource({
            folder: isEarlier ? { ...folder, files: earlierOf(folder.files) } : folder,
            random: this.#random,
            deleteSent: false,
            live: this.#order === "newest",
            onSettled: () => undefined,
          }),
      ),
      order: this.#order,
      rateMax: undefined,
      retryForMs: undefined,
      onEvent: (event) => this.#say("camera", event),
      onDone: () => {
        this.#killCamera = undefined;
        if (!isEarlier) return void (this.#done = true);
        this.#earlier = false;
        this.#clock.after(this.#random.int(2_000), () => this.#startCamera());
      },
    });
    sending.start();
  }

  #trouble(): void {
    const random = this.#random;
    const node = random.pick([...this.#nodes]);
    const kind = random.int(4);
    if (kind === 0) node.incoming.cut(random.chance(0.5));
    else if (kind <= 2 && node.kill !== undefined) {
      this.#say("trouble", `${node.name} killed`);
      this.#kills += 1;
      node.kill();
      this.#clock.after(random.int(4_000), () => this.#start(node));
    } else if (kind === 3 && this.#killCamera !== undefined) {
      this.#say("trouble", "camera killed");
      this.#kills += 1;
      this.#nodes[0]?.incoming.kill("sender");
      this.#killCamera();
      this.#killCamera = undefined;
      this.#clock.after(random.int(2_000), () => this.#startCamera());
    }
  }

  #newSession(): string {
    return (++this.#sessions).toString(16).padStart(32, "0");
  }

  // ---- checks

  #place(name: string): string {
    return join(this.#folder, name);
  }

  #isHandedOn(): boolean {
    if (this.#nodes.some(({ kill }) => kill === undefined)) return false;
    const { length } = this.#folders;
    const sql = `SELECT count(*) AS count FROM sessions
      WHERE ended IS NOT NULL AND session = (SELECT max(session) FROM sessions)`;
    const [last] = this.#rows<{ count: number }>("upstream", sql);
    return (last?.count ?? 0) === length && this.#difference() === undefined;
  }

  #rows<Row>(name: string, sql: string): Row[] {
    using database = new Database(join(this.#place(name), ".framepipe/catalogue.db"), { readonly: true });
    return database.query<Row, []>(sql).all();
  }

  #difference(): string | undefined {
    for (const sql of chainQueries) {
      const [here, there] = ["gateway", "upstream"].map((name) => this.#rows(name, sql));
      if (Bun.deepEquals(here, there)) continue;
      const [one = [], other = []] = [here, there];
      const at = one.findIndex((row, index) => !Bun.deepEquals(row, other[index]));
      const [row, mate] = [one.at(at), other.at(at)].map((found) => JSON.stringify(found));
      return `${row} at the gateway, ${mate} upstream (${one.length}, ${other.length})`;
    }
    return undefined;
  }

  #report(): ChainReport {
    const count = (sql: string, what = "count(*)"): number => {
      const [row] = this.#rows<{ count: number | null }>("upstream", `SELECT ${what} AS count FROM ${sql}`);
      return row?.count ?? 0;
    };
    return {
      frames: count("frames"),
      kills: this.#kills,
      sessions: count("(SELECT DISTINCT session FROM sessions)"),
      duplicates: count("outcomes WHERE outcome = 'duplicate'", "sum(last - first + 1)"),
      gaps: count("gaps"),
    };
  }

  #say(who: string, what: unknown): void {
    this.#log?.(`${this.#clock.nowMs().toFixed(1).padStart(10)} ms  ${who.padEnd(8)}  ${JSON.stringify(what)}`);
  }
}

function earlierOf(files: readonly SimFile[]): SimFile[] {
  return files.flatMap(({ earlier, ...file }) => (earlier === undefined ? [] : [{ ...file, bytes: earlier }]));
}
