/**
 * Senders that mean harm or know no better, on both protocols, written from the specifications with plain sockets: what
 * cannot be taken is refused one by one, what is good is stored, and nothing ever appears outside the destination.
 */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runArticleClient } from "../support/lockstep-peers.ts";
import { catalogueRows, crc32, filesBelow, openPlace, type Place, type Receiver } from "../support/processes.ts";
import { Random } from "../support/random.ts";
import { badNames } from "../vectors/names.ts";
import { encode, Fields, kinds, looseUtf8, metadata, WirePeer } from "./wire-peer.ts";

const payload = Buffer.from("bytes that must not appear anywhere else");

/** Everything below the test's own directory but the archive, hidden files too. */
function outside(place: Place): string[] {
  return readdirSync(place.dir, { recursive: true, encoding: "utf8" })
    .filter((path) => path !== "captures" && !path.startsWith("captures/"))
    .toSorted();
}

/** Also what is hidden must be ours: nobody may write into the catalogue's folder. */
function ownFiles(out: string): string[] {
  return readdirSync(join(out, ".framepipe")).filter(
    (name) => !/^(?:catalogue\.db(?:-wal|-shm)?|lock(?:-journal)?|tmp|requests)$/.test(name),
  );
}

async function openSession(
  port: number,
  device = "camera",
  source: string | Uint8Array = "visible",
): Promise<WirePeer> {
  const peer = await WirePeer.connect(port);
  peer.hello(device);
  await peer.take(kinds.welcome);
  peer.source(0, source);
  return peer;
}

/** A gap for each refused number, as the specification asks, so that the catalogue has them. */
async function endSession(peer: WirePeer, frames: number, refused: readonly number[]): Promise<void> {
  for (const sequence of refused) {
    peer.say(encode(kinds.gap, new Fields().u16(0).u16(4).u64(sequence).u32(1).text("").text("refused")));
  }
  const totals = new Fields()
    .u16(0)
    .u16(0)
    .u64(frames)
    .u64(frames - refused.length)
    .u64(0)
    .u64(0);
  peer.say(encode(kinds.end, totals.u64(refused.length).u64(0).u64(0)));
  await peer.take(kinds.ended);
  peer.bye();
  await peer.take(kinds.farewell);
  await peer.gone();
}

/** What does not fit a head of the wire is cut to what does: still far too long for a name. */
const wireBytes = (name: string): Uint8Array => looseUtf8(name).subarray(0, 60_000);
/** Names of which many fit one offer. */
const shortBadNames = badNames.filter(({ name }) => looseUtf8(name).length <= 1024);

test("wire: names that lead elsewhere are refused one by one, frames between them are stored", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out, { words: ["--once"] });
  const peer = await openSession(receiver.port);
  const refused: number[] = [];
  for (const [index, { name, why }] of badNames.entries()) {
    // Half of a surrogate pair is no UTF-8: whoever decodes it makes U+FFFD of it, and that is a name as good as any.
    if (why === "not valid unicode") continue;
    peer.frame({ sequence: 2 * index, name: wireBytes(name), bytes: payload });
    const reject = await peer.take(kinds.reject);
    expect([reject.u16(), reject.u8(), reject.u8(), reject.u64()], name).toEqual([0, 16, 0, 2 * index]);
    refused.push(2 * index);
    peer.frame({ sequence: 2 * index + 1, name: `good/${index}.jpg`, bytes: Buffer.from(`good ${index}`) });
  }
  await endSession(peer, 2 * refused.length, refused);
  expect(await receiver.status()).toBe(4);
  const stored = filesBelow(out);
  expect(stored).toHaveLength(refused.length);
  expect(refused.length).toBeGreaterThan(30);
  for (const path of stored) {
    expect(path).toMatch(/^camera\/visible\/good\/\d+\.jpg$/);
    expect(readFileSync(join(out, path), "utf8")).toBe(`good ${/\d+/.exec(path)?.[0]}`);
  }
  expect(receiver.count("rejected")).toBe(refused.length);
  expect(outside(place)).toEqual([]);
  expect(ownFiles(out)).toEqual([]);
}, 60_000);

test("wire: the same names in an offer get a verdict each", async () => {
  await using place = await openPlace();
  const receiver = await place.receive(place.path("captures"));
  const peer = await openSession(receiver.port);
  const entries = shortBadNames
    .filter(({ why }) => why !== "not valid unicode")
    .flatMap(({ name }, index) => [
      { name, bytes: 10 },
      { name: `${index}.jpg`, bytes: 10 },
    ]);
  peer.offer(0, entries);
  const want = await peer.take(kinds.want);
  expect([want.u16(), want.u16(), want.u64()]).toEqual([0, entries.length, 0]);
  for (const [index, { name }] of entries.entries()) {
    expect(want.u8(), name).toBe(index % 2 === 0 ? 16 : 0);
    want.skip(4);
  }
  peer.drop();
}, 60_000);

test("wire: devices and sources that lead elsewhere get nothing stored anywhere", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out);
  for (const [device, source] of [
    ["../../x", "visible"],
    ["camera", "../../../tmp/x"],
    ["camera", "/etc"],
    ["camera", ".framepipe"],
    [".framepipe", "tmp"],
    ["", "visible"],
    ["camera", ""],
  ] as const) {
    const peer = await WirePeer.connect(receiver.port);
    peer.hello(device);
    peer.source(0, source);
    peer.frame({ sequence: 0, name: "catalogue.db", bytes: payload });
    peer.frame({ sequence: 1, name: "../../a.jpg", bytes: payload });
    peer.bye();
    await peer.gone();
    expect(peer.received.length).toBeGreaterThan(0);
    expect(peer.received.filter(({ kind }) => kind === kinds.ack)).toEqual([]);
  }
  expect(filesBelow(out)).toEqual([]);
  expect(outside(place)).toEqual([]);
  expect(ownFiles(out)).toEqual([]);
  await stillServes(place, receiver);
}, 60_000);

test("wire: a link at the destination is not followed", async () => {
  await using place = await openPlace();
  const [out, elsewhere] = [place.path("captures"), place.path("elsewhere")];
  mkdirSync(elsewhere);
  mkdirSync(join(out, "camera", "visible"), { recursive: true });
  writeFileSync(join(elsewhere, "precious.jpg"), "precious");
  symlinkSync(elsewhere, join(out, "camera", "visible", "folder"));
  symlinkSync(join(elsewhere, "precious.jpg"), join(out, "camera", "visible", "1.jpg"));
  symlinkSync(join(elsewhere, "not-there.jpg"), join(out, "camera", "visible", "2.jpg"));
  const receiver = await place.receive(out, { words: ["--once"] });
  const peer = await openSession(receiver.port);
  peer.frame({ sequence: 0, name: "folder/3.jpg", bytes: payload });
  peer.frame({ sequence: 1, name: "folder/precious.jpg", bytes: payload });
  peer.frame({ sequence: 2, name: "1.jpg", bytes: payload });
  peer.frame({ sequence: 3, name: "2.jpg", bytes: payload });
  peer.frame({ sequence: 4, name: "good.jpg", bytes: Buffer.from("good") });
  await endSession(peer, 5, [0, 1]);
  expect(await receiver.status()).toBe(4);
  expect(outside(place)).toEqual(["elsewhere", "elsewhere/precious.jpg"]);
  expect(readFileSync(join(elsewhere, "precious.jpg"), "utf8")).toBe("precious");
  expect(readFileSync(join(out, "camera", "visible", "good.jpg"), "utf8")).toBe("good");
}, 60_000);

test("wire: a damaged frame is asked for again, and never stored damaged", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out, { words: ["--once"] });
  const peer = await openSession(receiver.port);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    peer.frame({ sequence: 0, name: "1.jpg", bytes: payload, crc: 12345 });
    const reject = await peer.take(kinds.reject);
    expect([reject.u16(), reject.u8(), reject.u8(), reject.u64()]).toEqual([0, 18, 1, 0]);
  }
  expect(filesBelow(out)).toEqual([]);
  peer.frame({ sequence: 0, name: "1.jpg", bytes: payload });
  await peer.take(kinds.ack);
  await endSession(peer, 1, []);
  expect(await receiver.status()).toBe(0);
  expect(readFileSync(join(out, "camera", "visible", "1.jpg")).equals(payload)).toBe(true);
}, 60_000);

/** Each ends the connection with a code, and nothing else. */
const violations: Readonly<Record<string, { code: number; say: (peer: WirePeer) => void }>> = {
  "a frame of a source that was never named": {
    code: 1,
    say: (peer) => peer.frame({ sequence: 0, sourceIndex: 7, name: "1.jpg", bytes: payload }),
  },
  "a source named twice": { code: 1, say: (peer) => peer.source(0, "again") },
  "a size of 2^63": {
    code: 4,
    say: (peer) => peer.frame({ sequence: 0, name: "1.jpg", bytes: payload, frameBytes: 2n ** 63n }),
  },
  "sizes that do not add up": {
    code: 1,
    say: (peer) => peer.frame({ sequence: 0, name: "1.jpg", bytes: payload, frameBytes: 3 }),
  },
  "a head of 4 GiB": {
    code: 4,
    say: (peer) => peer.say(new Fields().u8(0xf5).u8(2).u8(7).u8(1).u32(0xffff_ffff).u32(0).encoded),
  },
  "a payload of 4 GiB": {
    code: 4,
    say: (peer) => peer.say(new Fields().u8(0xf5).u8(2).u8(7).u8(1).u32(30).u32(0xffff_ffff).encoded),
  },
  "an offer of 65,535 entries that are not there": {
    code: 4,
    say: (peer) => peer.say(encode(kinds.offer, new Fields().u16(0).u16(0xffff).u64(0))),
  },
  "a message that only a receiver says": {
    code: 3,
    say: (peer) => peer.say(encode(kinds.farewell, new Fields())),
  },
  "a damaged head": {
    code: 5,
    say: (peer) => {
      const message = encode(kinds.bye, new Fields().u8(0));
      message[12] = 1;
      peer.say(message);
    },
  },
  "metadata with a control character": {
    code: 1,
    say: (peer) => peer.frame({ sequence: 0, name: "1.jpg", bytes: payload, metadata: metadata({ lux: "\u001b[2J" }) }),
  },
  "metadata with a key of its own making": {
    code: 1,
    say: (peer) => peer.frame({ sequence: 0, name: "1.jpg", bytes: payload, metadata: metadata({ "../lux": "40" }) }),
  },
  "a frame that begins where nothing was offered": {
    code: 1,
    say: (peer) =>
      peer.frame({ sequence: 0, name: "1.jpg", bytes: payload, offset: 1, frameBytes: payload.length + 1 }),
  },
  "a chunk of a frame that was never begun": {
    code: 1,
    say: (peer) => {
      const head = new Fields().u16(0).u16(0).u64(7).u64(0).u32(0).u16(0);
      peer.say(encode(kinds.chunk, head, { flags: 1, payload }));
    },
  },
  "a gap beyond 2^53": {
    code: 4,
    say: (peer) =>
      peer.say(
        encode(
          kinds.gap,
          new Fields()
            .u16(0)
            .u16(5)
            .u64(2 ** 53 - 2)
            .u32(3)
            .text("")
            .text("dropped"),
        ),
      ),
  },
  "an offer beyond 2^53": {
    code: 4,
    say: (peer) =>
      peer.offer(2 ** 53 - 1, [
        { name: "1.jpg", bytes: 1 },
        { name: "2.jpg", bytes: 1 },
      ]),
  },
  "a stretch of a class that no version may use": {
    code: 1,
    say: (peer) =>
      peer.say(encode(kinds.stretch, new Fields().u16(0).u8(16).u8(0).u64(0).u32(1).u64(5).text("padding"))),
  },
  "text in the middle": { code: 1, say: (peer) => peer.say(Buffer.from("GET / HTTP/1.1\r\n\r\n")) },
};

test("wire: each violation ends its connection with its code, and only that", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out);
  receiver.watchMemory();
  for (const [what, { code, say }] of Object.entries(violations)) {
    const peer = await openSession(receiver.port, what.replaceAll(" ", "-").replaceAll("^", ""));
    peer.frame({ sequence: 100, name: "before.jpg", bytes: Buffer.from(what) });
    await peer.take(kinds.ack);
    say(peer);
    const refuse = await peer.take(kinds.refuse);
    expect(refuse.u16(), what).toBe(code);
    await peer.gone();
  }
  // What was acknowledged before is stored; of the rest there is nothing.
  expect(filesBelow(out)).toHaveLength(Object.keys(violations).length);
  expect(receiver.count("connection-lost")).toBe(Object.keys(violations).length);
  await stillServes(place, receiver);
  expect(receiver.peakRssBytes).toBeLessThan(150 * 2 ** 20);
}, 60_000);

test("wire: a number that comes again is counted once, and a gap over it changes nothing", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out, { words: ["--once", "--verbose"] });
  const session = crypto.getRandomValues(new Uint8Array(16));
  for (let connection = 0; connection < 2; connection += 1) {
    const peer = await WirePeer.connect(receiver.port);
    peer.hello("camera", session);
    await peer.take(kinds.welcome);
    peer.source(0, "visible");
    for (let attempt = 0; attempt < 2; attempt += 1) {
      peer.frame({ sequence: 0, name: "1.jpg", bytes: payload });
      await peer.take(kinds.ack);
    }
    peer.say(encode(kinds.gap, new Fields().u16(0).u16(2).u64(0).u32(2).text("").text("vanished")));
    await peer.take(kinds.ack);
    if (connection === 0) peer.drop();
    else await endSession(peer, 2, []);
  }
  await receiver.status();
  expect(receiver.all("received")).toMatchObject([{ frames: 1, bytes: payload.length, duplicates: 0 }]);
  expect(receiver.count("stored")).toBe(1);
  expect(catalogueRows(out, "SELECT first, last, outcome FROM outcomes ORDER BY first")).toEqual([
    { first: 0, last: 0, outcome: "stored" },
    { first: 1, last: 1, outcome: "gap" },
  ]);
  expect(catalogueRows(out, "SELECT first_sequence, count FROM gaps")).toEqual([{ first_sequence: 1, count: 1 }]);
}, 60_000);

test("wire: a gap takes the place of what was believed to be there, and not of what was stored", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out);
  const earlier = await openSession(receiver.port);
  for (const sequence of [0, 1]) {
    earlier.frame({ sequence, name: `${sequence}.jpg`, bytes: payload });
    await earlier.take(kinds.ack);
  }
  await endSession(earlier, 2, []);
  const peer = await openSession(receiver.port);
  peer.offer(
    0,
    [0, 1].map((sequence) => ({ name: `${sequence}.jpg`, bytes: payload.length })),
  );
  await peer.take(kinds.want);
  // It has compared the second one, whose file was gone then.
  peer.say(encode(kinds.gap, new Fields().u16(0).u16(2).u64(1).u32(1).text("").text("1.jpg: no longer there")));
  await peer.take(kinds.ack);
  const end = new Fields().u16(0).u16(0).u64(2).u64(0).u64(1).u64(0).u64(0).u64(1).u64(0);
  peer.say(encode(kinds.end, end));
  const ended = await peer.take(kinds.ended);
  expect([ended.u16(), ended.u16()]).toEqual([0, 0]);
  peer.bye();
  await peer.take(kinds.farewell);
  await receiver.until(() => receiver.count("session-ended") === 2, "the end of both sessions");
  const verified = await place.run(["--verify", out]);
  expect([verified.status, verified.stdout]).toEqual([
    4,
    expect.stringContaining("gap camera/visible (frame 1): 1.jpg: no"),
  ]);
  receiver.signal("SIGTERM");
  await receiver.status();
  expect(receiver.all("received")).toMatchObject([{ frames: 2, duplicates: 1, skipped: 1 }]);
}, 60_000);

test("wire: a frame that is cut goes on where it was, and what does not fit together is asked for anew", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out, { words: ["--once"] });
  const frame = new Random(3).bytes(300_000);
  const cutAt = 100_000;
  const session = crypto.getRandomValues(new Uint8Array(16));
  const resume = 2;
  const begin = async (): Promise<WirePeer> => {
    const peer = await WirePeer.connect(receiver.port);
    peer.hello("camera", session, resume);
    const welcome = await peer.take(kinds.welcome);
    expect(welcome.u32() & resume).toBe(resume);
    peer.source(0, "visible");
    return peer;
  };
  /** The first piece, and then the connection is gone. */
  const cut = async (name: string): Promise<void> => {
    const peer = await begin();
    const head = new Fields().u16(0).u16(0).u64(0).u64(0).u64(frame.length).u64(0).u32(0).text(name).u16(0).u16(0);
    peer.say(encode(kinds.frame, head, { payload: frame.subarray(0, cutAt) }));
    // What is answered behind it proves that it has arrived.
    peer.offer(1, [{ name: "none", bytes: 1 }]);
    await peer.take(kinds.want);
    peer.drop();
    await peer.gone();
  };
  /** Verdict, checksum and offset for number 0. */
  const offered = async (peer: WirePeer, name: string): Promise<number[]> => {
    peer.offer(0, [{ name, bytes: frame.length }]);
    const want = (await peer.take(kinds.want)).skip(12);
    const [verdict, crc] = [want.u8(), want.u32()];
    return verdict === 5 ? [verdict, crc, want.u64()] : [verdict, crc];
  };
  const rest = (peer: WirePeer, bytes: Uint8Array): void =>
    peer.frame({
      sequence: 0,
      name: "1.raw",
      bytes,
      offset: cutAt,
      frameBytes: frame.length,
      crc: crc32(frame),
    });

  await cut("1.raw");
  let peer = await begin();
  // Another frame under this number has nothing of it.
  expect(await offered(peer, "2.raw")).toEqual([0, 0]);
  expect(await offered(peer, "1.raw")).toEqual([5, crc32(frame.subarray(0, cutAt)), cutAt]);
  rest(peer, frame.subarray(0, frame.length - cutAt));
  const reject = await peer.take(kinds.reject);
  expect([reject.u16(), reject.u8(), reject.u8()]).toEqual([0, 18, 1]);
  // Nothing is left of it, so an offset is a lie.
  rest(peer, frame.subarray(cutAt));
  expect((await peer.take(kinds.refuse)).u16()).toBe(1);
  await peer.gone();

  await cut("1.raw");
  peer = await begin();
  expect(await offered(peer, "1.raw")).toEqual([5, crc32(frame.subarray(0, cutAt)), cutAt]);
  expect(filesBelow(out)).toEqual([]);
  rest(peer, frame.subarray(cutAt));
  await peer.take(kinds.ack);
  await endSession(peer, 1, []);
  expect(await receiver.status()).toBe(0);
  expect(readFileSync(join(out, "camera", "visible", "1.raw")).equals(frame)).toBe(true);
  expect(readdirSync(join(out, ".framepipe", "tmp"))).toEqual([]);
}, 60_000);

test("wire: totals that are a lie are compared, answered, recorded, and found again", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out, { words: ["--once"] });
  const peer = await openSession(receiver.port);
  for (const sequence of [0, 1]) {
    peer.frame({ sequence, name: `${sequence}.jpg`, bytes: payload });
    await peer.take(kinds.ack);
  }
  const end = new Fields().u16(0).u16(0).u64(10).u64(10);
  for (let count = 0; count < 5; count += 1) end.u64(0);
  peer.say(encode(kinds.end, end));
  const ended = await peer.take(kinds.ended);
  expect([ended.u16(), ended.u16(), ended.u64(), ended.u64()]).toEqual([0, 1, 2, 2]);
  peer.bye();
  await peer.take(kinds.farewell);
  expect(await receiver.status()).toBe(4);
  expect(receiver.all("totals-differ")).toMatchObject([
    { device: "camera", source: "visible", claimed: { frames: 10, stored: 10 }, found: { frames: 2, stored: 2 } },
  ]);
  const verified = await place.run(["--verify", out]);
  expect(verified.status).toBe(6);
  expect(verified.stdout).toContain("unaccounted camera/visible (frames 2 to 9)");
}, 60_000);

test("wire: a sender of version 1 is refused in a header that it can read, with what to do", async () => {
  await using place = await openPlace();
  const receiver = await place.receive(place.path("captures"));
  const peer = await WirePeer.connect(receiver.port);
  const session = crypto.getRandomValues(new Uint8Array(16));
  const head = new Fields().u8(1).u8(1).u16(1).bytes(session).u64(0).text("camera").text("framepipe 0.1.0").text("");
  peer.say(encode(kinds.hello, head, { version: 1 }));
  const refuse = await peer.take(kinds.refuse);
  expect(refuse.version).toBe(1);
  expect([refuse.u16(), refuse.u8(), refuse.u8()]).toEqual([2, 2, 2]);
  expect(refuse.text()).toBe("update the sender to framepipe 0.2 or newer: it speaks version 1, the receiver 2");
  await peer.gone();
  const [{ reason } = { reason: "" }] = receiver.all("connection-refused");
  expect(reason).toContain("update the sender");
}, 60_000);

test("wire: notes, metadata and a stretch of a sender that knows more are taken", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out, { words: ["--verbose"] });
  const peer = await openSession(receiver.port);
  peer.say(encode(kinds.stretch, new Fields().u16(0).u8(7).u8(0).u64(0).u32(2).u64(900).text("a maker's block")));
  peer.frame({
    sequence: 0,
    name: "1.jpg",
    bytes: payload,
    notes: 0x8001,
    metadata: metadata({ lux: "40", "x-lens": "35 mm ä" }),
  });
  await peer.take(kinds.ack);
  await endSession(peer, 1, []);
  expect(filesBelow(out)).toEqual(["camera/visible/1.jpg"]);
  expect(receiver.all("stretch")).toMatchObject([{ class: "information", before: 0, count: 2, bytes: 900 }]);
  expect(receiver.all("noted")).toMatchObject([{ name: "1.jpg", notes: ["incomplete", "note-15"] }]);
}, 60_000);

test("lockstep: the same names are passed over, frames between them are stored", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out, { words: ["--once"] });
  // A name that is longer than a header may be is no header; half of a surrogate pair cannot be written as text.
  const names = badNames.filter(({ name, why }) => why !== "not valid unicode" && Buffer.byteLength(name) < 1_080);
  const frames = names.flatMap(({ name }, index) => [
    { name, bytes: payload },
    { name: `good/${index}.jpg`, bytes: Buffer.from(`good ${index}`) },
  ]);
  const client = { port: receiver.port, format: "visible", directory: "folder", frames, noDelay: true };
  expect(await runArticleClient(client)).toBe(frames.length);
  expect(await receiver.status()).toBe(4);
  const stored = filesBelow(out);
  expect(stored).toHaveLength(names.length);
  for (const path of stored) {
    expect(path).toMatch(/^lockstep\/visible\/folder\/good\/\d+\.jpg$/);
    expect(readFileSync(join(out, path), "utf8")).toBe(`good ${/\d+/.exec(path)?.[0]}`);
  }
  expect(receiver.count("rejected")).toBe(names.length);
  expect(outside(place)).toEqual([]);
  expect(ownFiles(out)).toEqual([]);
}, 60_000);

test("lockstep: headers that lead elsewhere or make no sense end the connection", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const receiver = await place.receive(out);
  const clients = [
    { format: "..", directory: "folder", name: "1.jpg" },
    { format: ".framepipe", directory: "tmp", name: "1.jpg" },
    { format: "visible", directory: "..", name: "1.jpg" },
    { format: "visible", directory: "/", name: "1.jpg" },
    { format: "visible", directory: "folder", name: "m".repeat(2_000) },
  ];
  const outcomes = clients.map(({ format, directory, name }) =>
    runArticleClient({ port: receiver.port, format, directory, frames: [{ name, bytes: payload }] }).then(
      () => "taken",
      () => "closed",
    ),
  );
  expect(await Promise.all(outcomes)).toEqual(clients.map(() => "closed"));
  expect(filesBelow(out)).toEqual([]);
  expect(outside(place)).toEqual([]);
  await stillServes(place, receiver);
}, 60_000);

/** An honest sender gets its frame stored. */
async function stillServes(place: Place, receiver: Receiver): Promise<void> {
  const dir = place.path("honest");
  mkdirSync(dir);
  writeFileSync(join(dir, "1.jpg"), "honest");
  const sender = place.send(receiver.port, [dir], ["--delete-sent", "--unchanged-for", "0"]);
  expect(await sender.status()).toBe(0);
  expect(filesBelow(dir)).toEqual([]);
}
