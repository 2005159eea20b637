/**
 * One run of the whole product in one thread, from a seed: the real sender and receiver pipelines and one of the real
 * stores, on a virtual clock, network and disk. Things go wrong for a while (connections are cut on one side or both,
 * processes are killed, power is lost, the disk is full, answers get lost), then they stop going wrong, and the run
 * must come to its end with every frame stored exactly once. In some runs one source cannot be stored until all others
 * have been, and a frame is larger than any file may be. A violation names the seed that shows it again.
 *
 * What is checked while it runs: a final name never has incomplete bytes; when the sender is told that a frame is
 * stored, the frame is on the disk and in the catalogue, and would be after a power loss; neither end breaks the
 * protocol.
 * What is checked at the end: files = frames, catalogue = files, totals = truth.
 */
import { crc32 } from "../../src/bytes/checksum.ts";
import { UserError } from "../../src/errors.ts";
import type { ReceiverEvent, SenderEvent } from "../../src/events.ts";
import { type Origin, type Outcome, sharesTotals, type SourceTotals } from "../../src/frame.ts";
import { ReceiverHub } from "../../src/pipeline/receiver.ts";
import { Sending, type SenderResult } from "../../src/pipeline/sending.ts";
import type { Clock, Sink } from "../../src/ports.ts";
import type { SendingOrder } from "../../src/protocols/source-ledger.ts";
import { type AccountOutcome, noOutcomes, totalsOf } from "../../src/outcomes.ts";
import { numberedPath } from "../../src/sinks/store/numbered-path.ts";
import { StoreSink } from "../../src/sinks/store/store-sink.ts";
import { Random } from "../support/random.ts";
import type { Contents } from "./archive-readers.ts";
import { type Destination, type Lie, makeDestination, storeKinds, type StoreKind } from "./destinations.ts";
import { SimClock } from "./sim-clock.ts";
import { SimNetwork } from "./sim-network.ts";
import { type SimFile, type SimFolder, SimSource } from "./sim-source.ts";
import { intrude, receiverKey, senderKey, SimGrants, SimSenderTrust } from "./sim-trust.ts";

export interface SimulationOptions {
  readonly seed: number;
  /** What the receiver stores in; the seed says unless it is given. */
  readonly store?: StoreKind;
  /** Replaces the sink's behaviour, to show that a broken rule is caught. */
  readonly wrapSink?: (sink: Sink) => Sink;
  /** A disk that says it has synced and has not. */
  readonly lie?: Lie;
  /** Says what happens, line by line. */
  readonly log?: (line: string) => void;
}

export interface SimulationReport {
  readonly seed: number;
  readonly store: StoreKind;
  readonly frames: number;
  readonly connections: number;
  readonly receiverCrashes: number;
  readonly senderCrashes: number;
  readonly powerLosses: number;
  readonly fullDisks: number;
  /** Sources that could not be stored before the others. */
  readonly deniedFolders: number;
  /** Frames that were refused for their size. */
  readonly tooLarge: number;
  readonly damagedPieces: number;
  /** With keys: how often the device's grant was taken away, and how often others tried to be it. */
  readonly withdrawals: number;
  readonly intrusions: number;
  /** Frames that were removed to make room, or for their age. */
  readonly expired: number;
  /** Answers of a destination that came never, or got lost. */
  readonly lostAnswers: number;
  readonly virtualMs: number;
}

const device = "device";
/** Trouble happens before this, virtual. */
const troubleMs = 20_000;
/**
 * What a connection may end with: the network, a process that dies, a destination that cannot record a gap, and of two
 * connections that overtake each other on their way, the one that is heard of first.
 */
const ordinaryEnds = new RegExp(
  "(?:^|: )(?:cut(?: late)?|connection (?:refused|reset)|closed by the peer|the destination failed; say it again|" +
    "another connection of this session has taken over|the key \\w+ is not known here|" +
    "the grant of (?:device \\(\\w+\\)|\\w+) was taken back)$",
);
/** Where there is one, no file may be larger: more than most frames have. */
const fileBytesMax = 650_000;
/** The run must be over by then, virtual. */
const patienceMs = 30 * 60_000;

/** Throws an Error that names the seed, if any promise is broken. */
export function simulate(options: SimulationOptions): SimulationReport {
  try {
    return new Simulation(options).run();
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`seed ${options.seed}: ${what}`, { cause });
  }
}

class Simulation {
  readonly #seed: number;
  readonly #options: SimulationOptions;
  readonly #random: Random;
  readonly #clock = new SimClock();
  readonly #network: SimNetwork;
  readonly #store: StoreKind;
  readonly #destination: Destination;
  readonly #damaging: boolean;
  /** Undefined: links are plain. */
  readonly #grants: SimGrants | undefined;
  /** For what happens with keys alone. */
  readonly #keyRandom: Random;
  /** Not in the receiver's hands yet: the device has an invitation. */
  readonly #joins: boolean;
  #withdrawals = 0;
  #intrusions = 0;
  readonly #folders: readonly SimFolder[];
  /** The card before it was formatted, until all of it is stored. Undefined: it was, or there was none. */
  #earlierFolders: readonly SimFolder[] | undefined;
  /** By path below the archive. */
  readonly #truth = new Map<string, SimFile>();
  /** Most of what is stored is removed again: undefined in most runs. */
  readonly #keepBytes: number | undefined;
  readonly #deleteSent: boolean;
  /** Frames are sent without an offer, as a camera's are. */
  readonly #live: boolean;
  readonly #order: SendingOrder;
  readonly #rateMax: number | undefined;
  /** Ends the process. Undefined: it is not running. */
  #killReceiverProcess: (() => void) | undefined;
  #killSenderProcess: (() => void) | undefined;
  /** The receiver is about to end, in the middle of something. */
  #endOfReceiver: "power" | "process" | undefined;
  #result: SenderResult | undefined;
  #session = "";
  #sessions = 0;
  #receiverCrashes = 0;
  /** What the receiver said of the last session at its end. */
  #ended: SourceTotals | undefined;
  #senderCrashes = 0;
  #powerLosses = 0;
  #fullDisks = 0;
  /** The source that cannot be stored for now, and those that must have ended by then. */
  #denied: string | undefined;
  #deniedFolders = 0;
  readonly #unended = new Set<string>();
  /** How often the sender of this run was told that a frame is stored, by path. */
  readonly #settled = new Map<string, number>();
  #checkFinalFilesIn = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#seed = options.seed;
    const random = (this.#random = new Random(options.seed));
    const delayMsMax = random.pick([1, 5, 50, 300]);
    this.#keyRandom = new Random(options.seed ^ 0x6b6579);
    const keyed = options.seed % 3 === 0;
    this.#joins = this.#keyRandom.chance(0.5);
    this.#grants = keyed ? new SimGrants(device, this.#joins) : undefined;
    // What is damaged within TLS does not arrive.
    const damage = random.chance(0.2) && !keyed ? 0.002 : 0;
    this.#damaging = damage > 0;
    this.#network = new SimNetwork(this.#clock, random, {
      delayMsMax,
      // Not slower than a bad mobile link, or nothing would come to its end.
      capacityBytes: Math.max(delayMsMax * 100, random.pick([1_000, 20_000, 300_000, 4_000_000])),
      damage,
      keys: keyed ? { sender: senderKey, receiver: receiverKey } : undefined,
    });
    this.#store = options.store ?? storeOf(options.seed);
    const keepRandom = new Random(options.seed ^ 0x6b6570);
    const keeps = this.#store === "directory" && options.lie === undefined && keepRandom.chance(0.25);
    this.#keepBytes = keeps ? keepRandom.pick([20_000, 100_000, 1_000_000]) : undefined;
    const keepMs = keepRandom.pick([undefined, 500, 5_000]);
    this.#destination = makeDestination(this.#store, {
      random,
      keep: keeps ? { keepBytes: this.#keepBytes, keepMs, quotaOf: () => undefined } : undefined,
      after: (delayMs, run) => this.#clock.after(delayMs, run),
      lie: options.lie,
      troubleMs,
    });
    this.#deleteSent = random.chance(0.4);
    this.#live = random.chance(0.3);
    this.#order = random.chance(0.3) ? "newest" : "oldest";
    this.#rateMax = random.chance(0.1) ? 1 + random.int(5_000) : undefined;
    this.#folders = this.#makeFolders();
    this.#deny();
    const earlier = this.#folders.map(({ source, files }) => ({ source, files: earlierFiles(files) }));
    if (earlier.some(({ files }) => files.length > 0))
      this.#earlierFolders = earlier.map((folder) => ({ ...folder, deleted: new Set() }));
  }

  /** One source waits for all others, who must not wait for it. */
  #deny(): void {
    const random = new Random(this.#seed + 2e9);
    const withFiles = this.#folders.filter(({ files }) => files.length > 0);
    if (this.#store !== "directory" || withFiles.length < 2 || !random.chance(0.3)) return;
    this.#denied = random.pick(withFiles).source;
    this.#deniedFolders = 1;
    for (const { source } of this.#folders) if (source !== this.#denied) this.#unended.add(source);
    this.#destination.denied = `${device}/${this.#denied}`;
  }

  #sourceEnded(source: string): void {
    this.#unended.delete(source);
    if (this.#denied === undefined || this.#unended.size > 0) return;
    this.#log("trouble", `${this.#denied} can be stored`);
    this.#denied = undefined;
    this.#destination.denied = undefined;
  }

  #makeFolders(): SimFolder[] {
    const random = this.#random;
    const folders: SimFolder[] = [];
    // A frame that is given up because it arrives damaged would leave its number to the other.
    const reformats =
      this.#destination.outlivesReceiver && !this.#damaging && random.chance(0.2) && this.#keepBytes === undefined;
    const sources = 1 + random.int(3);
    // Mostly small ones; in some runs enough large ones for several of them to be cut in the middle.
    const largeShare = this.#seed % 5 === 0 ? 0.2 : 0.02;
    for (let index = 0; index < sources; index++) {
      const files: SimFile[] = [];
      // Now and then more than a sender lists ahead: not for a store that is slow, or looks through all it has.
      const many = random.chance(0.01) && !/later|memory/.test(this.#store);
      const count = many ? 9000 : random.pick([0, 1, 5, 40, 40, 120]);
      for (let at = 0; at < count; at++) {
        const size = many
          ? at % 20
          : random.chance(largeShare)
            ? 200_000 + random.int(400_000)
            : random.pick([0, 1, 100, 2_000, 9_000]);
        const bytes = random.bytes(Math.min(size, 64));
        const padded = new Uint8Array(size).fill(at % 251);
        padded.set(bytes, 0);
        const name = random.chance(0.2) ? `sub ${at % 3}/${at}.jpg` : `${at}.jpg`;
        const capturedNs = 1_790_000_000_000_000_000n + BigInt(at) * 33_333_333n;
        const broken = random.chance(0.01);
        const file = { name, bytes: padded, capturedNs, broken };
        if (!reformats || broken || size === 0 || random.chance(0.5)) files.push(file);
        else files.push({ ...file, earlier: padded.with(0, (padded[0] ?? 0) ^ 0xff) });
      }
      if (this.#store === "directory" && !reformats && random.chance(0.1)) {
        const bytes = new Uint8Array(fileBytesMax + 1 + random.int(100_000));
        files.push({ name: `${files.length}.raw`, bytes, capturedNs: 1n, broken: false, tooLarge: true });
        this.#destination.fileBytesMax = fileBytesMax;
      }
      const source = `source-${index}`;
      folders.push({ source, files, deleted: new Set() });
      for (const file of files) {
        if (file.broken || file.tooLarge === true) continue;
        const path = `${device}/${source}/${file.name}`;
        if (file.earlier !== undefined) this.#truth.set(path, { ...file, bytes: file.earlier });
        this.#truth.set(file.earlier === undefined ? path : numberedPath(path, 2), file);
      }
    }
    return folders;
  }

  run(): SimulationReport {
    const random = this.#random;
    if (random.chance(0.5)) this.#startReceiver();
    else this.#clock.after(random.int(5000), () => this.#startReceiver());
    this.#startSender();
    for (let count = random.int(12); count > 0; count--) {
      // Most runs are over in a second of virtual time, so most trouble comes early.
      const atMs = random.int(random.pick([300, 3000, troubleMs]));
      this.#clock.after(atMs, () => this.#trouble());
    }
    if (this.#grants !== undefined) this.#troubleWithKeys(this.#grants);
    while (this.#result === undefined) {
      if (!this.#clock.step()) throw new Error("nothing is left to happen, and the sender has not finished");
      this.#watch();
      if (this.#clock.nowMs() > patienceMs)
        throw new Error(`not finished after ${patienceMs / 60_000} virtual minutes`);
    }
    this.#checkEnd(this.#result);
    if (this.#keepBytes !== undefined) this.#checkKept(this.#keepBytes);
    return {
      seed: this.#seed,
      store: this.#store,
      frames: this.#truth.size,
      connections: this.#network.opened,
      receiverCrashes: this.#receiverCrashes,
      senderCrashes: this.#senderCrashes,
      powerLosses: this.#powerLosses,
      fullDisks: this.#fullDisks,
      deniedFolders: this.#deniedFolders,
      tooLarge: this.#folders.flatMap(({ files }) => files.filter(({ tooLarge }) => tooLarge)).length,
      damagedPieces: this.#network.damaged,
      withdrawals: this.#withdrawals,
      intrusions: this.#intrusions,
      expired: this.#destination.expired?.().frames.size ?? 0,
      lostAnswers: this.#destination.lostAnswers,
      virtualMs: this.#clock.nowMs(),
    };
  }

  // ---- processes

  /** As a service manager does: a receiver that cannot start, because the disk is full, is started again later. */
  #startReceiver(): void {
    const { clock, kill } = this.#clock.process();
    let sink: Sink;
    try {
      sink = this.#openSink(clock);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.#log("receiver", `cannot start: ${error.message}`);
      this.#clock.after(1000, () => this.#startReceiver());
      return;
    }
    this.#killReceiverProcess = kill;
    const hub = new ReceiverHub({
      sink: this.#options.wrapSink?.(sink) ?? sink,
      clock,
      agent: "receiver",
      frameBytesMax: 1_000_000,
      connectionsMax: 10,
      newSession: () => this.#newSession(),
      trust: this.#grants?.open(clock, this.#keyRandom),
      onEvent: (event) => {
        this.#log("receiver", event);
        this.#checkRules(event);
        if (event.event === "session-ended" && event.session === this.#session) this.#ended = event.totals;
      },
      onFailure: (error) => {
        throw error;
      },
    });
    this.#network.accept = () => hub.accept();
  }

  #openSink(clock: Clock): Sink {
    const sync = this.#seed % 4 === 0 ? "each" : "batch";
    const store = this.#destination.openStore(clock, sync);
    return new StoreSink(store, { sync, frameBytesMax: 1_000_000, clock });
  }

  #startSender(): void {
    this.#session = this.#newSession();
    const { clock, kill } = this.#clock.process();
    this.#killSenderProcess = kill;
    this.#settled.clear();
    const sender = new Sending({
      peer: "sim:1",
      dial: this.#network.dial,
      clock,
      random: () => this.#random.next(),
      session: this.#session,
      device: this.#grants === undefined ? device : "",
      trust: this.#grants === undefined ? undefined : new SimSenderTrust(this.#joins),
      goesOn: true,
      agent: "sender",
      sources: (this.#earlierFolders ?? this.#folders).map(
        (folder) =>
          new SimSource({
            folder,
            random: this.#random,
            deleteSent: this.#deleteSent,
            live: this.#live,
            onSettled: (source, name, outcome) => this.#checkAck(source, name, outcome),
          }),
      ),
      order: this.#order,
      rateMax: this.#rateMax,
      retryForMs: undefined,
      onEvent: (event) => {
        this.#log("sender", event);
        this.#checkRules(event);
        if (event.event === "source-ended") this.#sourceEnded(event.source);
        if (event.event !== "totals-differ") return;
        throw new Error(`the receiver does not share the totals of ${event.source}`);
      },
      onDone: (result) => {
        if (this.#earlierFolders === undefined) this.#result = result;
        else this.#formatCard();
      },
    });
    sender.start();
  }

  /** The camera begins again: the same names, sizes and times, and other pictures. */
  #formatCard(): void {
    this.#log("trouble", "card formatted");
    this.#earlierFolders = undefined;
    this.#killSenderProcess?.();
    this.#killSenderProcess = undefined;
    this.#clock.after(this.#random.int(3000), () => this.#startSender());
  }

  #newSession(): string {
    return (++this.#sessions).toString(16).padStart(32, "0");
  }

  #trouble(): void {
    const random = this.#random;
    const kind = random.int(this.#destination.outlivesReceiver ? 7 : 5);
    if (kind <= 2) {
      const oneSided = kind === 0;
      this.#log("trouble", oneSided ? "cut where the sender sees it" : "cut");
      this.#network.cut(oneSided);
    } else if (kind === 3) {
      this.#log("trouble", "disk full");
      this.#fullDisks++;
      this.#destination.full = true;
      this.#clock.after(random.int(10_000), () => {
        this.#destination.full = false;
      });
    } else if (kind === 4) {
      this.#killSender();
    } else {
      this.#killReceiver(kind === 6);
    }
  }

  /** The device file is removed, and put back; others try to be the device. */
  #troubleWithKeys(grants: SimGrants): void {
    const random = this.#keyRandom;
    const soon = (run: () => void): void =>
      void this.#clock.after(random.int(random.pick([300, 3000, troubleMs])), run);
    for (let count = random.int(4); count > 0; count--) {
      soon(() => {
        if (!grants.granted) return;
        this.#log("trouble", "device file removed");
        this.#withdrawals++;
        grants.granted = false;
        this.#clock.after(random.int(10_000), () => {
          grants.granted = true;
        });
      });
    }
    for (let count = random.int(6); count > 0; count--) {
      soon(() => {
        if (this.#result !== undefined) return;
        this.#intrusions++;
        intrude((key) => this.#network.dialAs(key), device, this.#session, random.chance(0.5));
      });
    }
  }

  #killSender(): void {
    if (this.#killSenderProcess === undefined) return;
    this.#log("trouble", "sender killed");
    this.#senderCrashes++;
    this.#network.kill("sender");
    this.#killSenderProcess();
    this.#killSenderProcess = undefined;
    this.#clock.after(this.#random.int(3000), () => this.#startSender());
  }

  #killReceiver(power: boolean): void {
    if (this.#killReceiverProcess === undefined || this.#endOfReceiver !== undefined) return;
    // Either now, between two things, or in the middle of what it does to the disk next.
    this.#endOfReceiver = power ? "power" : "process";
    if (this.#random.chance(0.5)) this.#destination.crashIn(this.#random.int(30));
    else this.#buryReceiver();
  }

  #buryReceiver(): void {
    const power = this.#endOfReceiver === "power";
    this.#endOfReceiver = undefined;
    this.#log("trouble", power ? "power lost at the receiver" : "receiver killed");
    this.#receiverCrashes++;
    if (power) this.#powerLosses++;
    this.#killReceiverProcess?.();
    this.#killReceiverProcess = undefined;
    this.#network.accept = undefined;
    this.#network.kill("receiver");
    this.#destination.crash(power ? "power" : "process");
    this.#checkFinalFiles();
    this.#clock.after(this.#random.int(4000), () => this.#startReceiver());
  }

  // ---- checks

  /** Called after every step: what a person would see when looking into the directory at any moment. */
  #watch(): void {
    if (this.#destination.dead) this.#buryReceiver();
    if (this.#checkFinalFilesIn-- > 0) return;
    // Looking at all of many files takes its time.
    this.#checkFinalFilesIn = (50 + this.#truth.size) * this.#destination.lookCost;
    this.#checkFinalFiles();
  }

  #checkFinalFiles(): void {
    for (const [path, bytes] of this.#destination.finalFiles()) {
      const file = this.#truth.get(path);
      if (file === undefined) throw new Error(`${path} is not a frame of the sender`);
      if (!equal(bytes, file.bytes))
        throw new Error(`${path} has ${bytes.length} bytes that are not the frame's ${file.bytes.length}`);
    }
  }

  /** Where no byte was damaged, neither end says of the other that it broke the protocol. */
  #checkRules(event: SenderEvent | ReceiverEvent): void {
    if (this.#network.damaged > 0 || !("reason" in event)) return;
    const { event: what, reason } = event;
    const isEnd = what === "disconnected" || what === "connection-lost" || what === "connection-refused";
    if (isEnd && !ordinaryEnds.test(reason)) throw new Error(`an end of a connection for no good reason: ${reason}`);
  }

  /** The sender has been told: now the frame must survive anything. */
  #checkAck(source: string, name: string, outcome: Outcome | undefined): void {
    if (outcome === undefined) return;
    const folders = this.#earlierFolders ?? this.#folders;
    const sent = folders.find((folder) => folder.source === source)?.files.find((file) => file.name === name);
    const isSecond = sent?.earlier !== undefined;
    const path = numberedPath(`${device}/${source}/${name}`, isSecond ? 2 : 1);
    const times = (this.#settled.get(path) ?? 0) + 1;
    this.#settled.set(path, times);
    if (times > 1) throw new Error(`${path} was settled ${times} times in one session`);
    // With many frames each look at the disk takes its time, so only some are looked at.
    if (this.#truth.size > 1000 && times === 1 && this.#settled.size % 100 !== 0) return;
    if (outcome === "conflict" && !isSecond) throw new Error(`${path} was stored as a conflict with itself`);
    const isExpired = this.#keepBytes !== undefined && this.#isExpired(path);
    if (outcome === "expired" && !isExpired) throw new Error(`${path} was told to have expired and has not`);
    if (isExpired) return;
    const file = this.#truth.get(path);
    const { files, rows } = this.#destination.durable();
    const stored = files.get(path);
    if (file === undefined) throw new Error(`${path} was acknowledged and is not a frame`);
    if (stored === undefined) throw new Error(`${path} was acknowledged and would not survive a power loss`);
    if (!equal(stored, file.bytes)) throw new Error(`${path} was acknowledged with other bytes`);
    if (rows.get(path)?.crc32 !== crc32(file.bytes)) throw new Error(`${path} was acknowledged without a row`);
  }

  #checkEnd(result: SenderResult): void {
    if (this.#killReceiverProcess === undefined) {
      this.#destination.full = false;
      this.#startReceiver();
    }
    this.#checkFinalFiles();
    const files = new Map(this.#destination.finalFiles());
    const durable = this.#destination.durable();
    // A frame that arrived damaged three times in a row is given up: then both ends know, and the catalogue says so.
    const gaps = durable.gaps.filter(({ origin }) => origin.session === this.#session);
    const givenUp = new Set(gaps.map(({ origin, name }) => `${origin.device}/${origin.source}/${name}`));
    for (const path of this.#truth.keys()) {
      if (files.has(path) || this.#isExpired(path)) continue;
      if (this.#network.damaged === 0 || !givenUp.has(path)) throw new Error(`${path} is missing at the end`);
    }
    const times = this.#destination.modifiedTimes?.();
    const { rows } = durable;
    // A receiver that was killed has left them, and the one after it cannot start.
    for (const path of this.#destination.expired?.().leaving ?? []) if (!rows.has(path)) files.delete(path);
    if (rows.size !== files.size) throw new Error(`${rows.size} rows for ${files.size} files`);
    for (const [path, bytes] of files) {
      const row = rows.get(path);
      if (row === undefined) throw new Error(`${path} has no row`);
      const { capturedNs } = row.frame;
      if (row.frame.bytes !== bytes.length || row.crc32 !== crc32(bytes))
        throw new Error(`the row of ${path} is not its file's`);
      if (capturedNs !== this.#truth.get(path)?.capturedNs)
        throw new Error(`the row of ${path} has another capture time`);
      if (times !== undefined && times.get(path) !== capturedNs)
        throw new Error(`${path} does not have its capture time`);
    }
    for (const folder of this.#folders) this.#checkTotals(folder, result, durable);
    // A receiver that died has told a part of it before.
    if (this.#receiverCrashes === 0 && this.#keepBytes === undefined)
      expectEqual("what the receiver counted", this.#ended, sumOf(result.totals));
  }

  /**
   * What the sender counted is what the last session found: every frame in exactly one count, and the catalogue says
   * the same.
   */
  #checkTotals(folder: SimFolder, result: SenderResult, durable: Contents): void {
    const { source, files } = folder;
    const totals = result.totals.find((each) => each.source === source)?.totals;
    if (totals === undefined) throw new Error(`no totals of ${source}`);
    const broken = files.filter((file) => file.broken).length;
    const refused = files.filter(({ tooLarge }) => tooLarge).length;
    // With --delete-sent, frames that an earlier session had acknowledged are not listed any more.
    const expectedFrames = this.#deleteSent && this.#senderCrashes > 0 ? totals.frames : files.length;
    const account = this.#destination.account?.({ device, source, session: this.#session });
    if (this.#keepBytes !== undefined && account !== undefined) return this.#checkExpiring(source, account, totals);
    const byThis = [...durable.rows.values()].filter(
      (row) => row.frame.origin.source === source && row.frame.origin.session === this.#session,
    );
    const conflicts = byThis.filter(({ number }) => number > 1).length;
    const truth: SourceTotals = {
      frames: expectedFrames,
      stored: byThis.length - conflicts,
      duplicates: expectedFrames - broken - refused - byThis.length,
      conflicts,
      refused,
      skipped: broken,
    };
    // A frame that arrives damaged three times in a row is reported and recorded; nothing else may be refused.
    if (this.#network.damaged === 0 || totals.refused === refused) expectEqual(`totals of ${source}`, totals, truth);
    const isThis = ({ origin }: { readonly origin: Origin }): boolean =>
      origin.source === source && origin.session === this.#session;
    // What was repeated after a lost answer stands twice where nothing can be replaced.
    expectEqual(`the recorded end of ${source}`, durable.ends.findLast(isThis)?.totals, totals);
    const gaps = new Set(durable.gaps.filter(isThis).map(({ firstSequence }) => firstSequence));
    expectEqual(`gaps of ${source}`, gaps.size, totals.skipped + totals.refused);
    if (account !== undefined) this.#checkAccount(source, account, totals);
  }

  #isExpired(path: string): boolean {
    return this.#destination.expired?.().frames.has(path) === true;
  }

  /** Where frames are removed meanwhile, the account is that of the moment: as many are there, or were. */
  #checkExpiring(source: string, account: ReadonlyMap<number, AccountOutcome>, totals: SourceTotals): void {
    const counts = noOutcomes();
    for (const outcome of account.values()) counts[outcome]++;
    const last = Math.max(-1, ...account.keys());
    if (!sharesTotals(totals, totalsOf(counts), last))
      throw new Error(`totals of ${source}: ${JSON.stringify(totals)} is not ${JSON.stringify(counts)}`);
  }

  /** Once all is done, no more is there than may be. */
  #checkKept(keepBytes: number): void {
    const untilMs = this.#clock.nowMs() + 60_000;
    while (this.#clock.nowMs() < untilMs && this.#clock.step()) this.#watch();
    const { files, rows } = this.#destination.durable();
    const bytes = [...rows.values()].reduce((sum, { frame }) => sum + frame.bytes + 4096, 0);
    if (bytes > keepBytes) throw new Error(`${bytes} bytes are kept, more than ${keepBytes}`);
    for (const path of rows.keys()) if (!files.has(path)) throw new Error(`${path} has a row and no file`);
  }

  /** Each number has one outcome, as many of each as the sender counted, and they would survive a power loss. */
  #checkAccount(source: string, account: ReadonlyMap<number, AccountOutcome>, totals: SourceTotals): void {
    const count = { stored: 0, duplicate: 0, conflict: 0, refused: 0, gap: 0, expired: 0, nothing: 0 };
    for (let number = 0; number < totals.frames; number++) count[account.get(number) ?? "nothing"]++;
    const { stored, duplicates: duplicate, conflicts: conflict, refused, skipped: gap } = totals;
    const expected = { stored, duplicate, conflict, refused, gap, expired: 0, nothing: 0 };
    expectEqual(`the account of ${source}`, count, expected);
    expectEqual(`numbers in the account of ${source}`, account.size, totals.frames);
  }

  #log(who: string, what: SenderEvent | ReceiverEvent | string): void {
    const text =
      typeof what === "string"
        ? what
        : JSON.stringify(what, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
    this.#options.log?.(`${this.#clock.nowMs().toFixed(1).padStart(10)} ms  ${who.padEnd(8)}  ${text}`);
  }
}

/** Most runs are of the directory, which does most. */
function storeOf(seed: number): StoreKind {
  const random = new Random(seed + 1e9);
  return random.chance(0.7) ? "directory" : random.pick(storeKinds.filter((kind) => kind !== "directory"));
}

function sumOf(all: SenderResult["totals"]): SourceTotals {
  const sum = { frames: 0, stored: 0, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
  for (const { totals } of all)
    for (const count of Object.keys(sum) as (keyof typeof sum)[]) sum[count] += totals[count];
  return sum;
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && Buffer.compare(one, other) === 0;
}

function expectEqual(what: string, found: unknown, expected: unknown): void {
  if (!Bun.deepEquals(found, expected))
    throw new Error(`${what}: found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
}

/** What an earlier card had of these. */
function earlierFiles(files: readonly SimFile[]): SimFile[] {
  return files.flatMap(({ earlier, name, capturedNs }) =>
    earlier === undefined ? [] : [{ name, bytes: earlier, capturedNs, broken: false }],
  );
}
