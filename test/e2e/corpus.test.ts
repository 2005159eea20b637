/**
 * What 0.1.0 left behind (`test/corpus/0.1.0`, its README tells how): every version since has to find in it what was
 * found then, go on with it, and store nothing twice. Of the present program only the executable is used, so that
 * nothing here changes when it is built in another way.
 *
 * Answers are compared as loosely as promises allow: what is there is not stored again, whatever that is called.
 */
import { beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import expected from "../corpus/0.1.0/expected.json" with { type: "json" };
import known from "../corpus/0.1.0/inputs.json" with { type: "json" };
import { type Kind, readFacts, storedFiles, summarize } from "../corpus/read.ts";
import { executable, freePort, openPlace, patienceMs, type Place, type Running } from "../support/processes.ts";

const corpus = join(import.meta.dir, "../corpus/0.1.0");
/** Known gaps: 6 in 0.1.0, 4 by the contract since. */
const gapStatuses = [4, 6];

interface Again {
  readonly device: string;
  readonly sources: readonly string[];
  readonly words?: readonly string[];
}

type Destination = Omit<(typeof expected.destinations)[number], "again"> & { readonly again: readonly Again[] };

const destinations = expected.destinations.map((destination): Destination & { kind: Kind } => ({
  ...destination,
  kind: destination.kind as Kind,
}));
const directories = destinations.filter(({ kind }) => kind === "directory");

// Once, and not by each of those that run at the same time.
beforeAll(executable, patienceMs);

const times = new Map(Object.entries(known.times));

/** A copy of a part of the corpus, with the times that git does not keep. */
function bring(place: Place, part: string): string {
  const copy = place.path(part.replaceAll("/", "-"));
  cpSync(join(corpus, part), copy, { recursive: true });
  for (const [path, ns] of times) {
    if (!path.startsWith(`${part}/`)) continue;
    const seconds = Number(BigInt(ns) / 1_000n) / 1e6;
    utimesSync(join(copy, path.slice(part.length + 1)), seconds, seconds);
  }
  if (part === "inputs") for (const [path, to] of Object.entries(known.links)) symlinkSync(to, join(copy, path));
  return copy;
}

interface Input {
  readonly name: string;
  readonly bytes: number;
  readonly crc32: number;
}

function inputsOf(folder: string): Input[] {
  const path = join(corpus, "inputs", folder);
  return storedFiles(path).map((name) => {
    const bytes = readFileSync(join(path, name));
    return { name, bytes: bytes.length, crc32: Bun.hash.crc32(bytes) };
  });
}

/** One source of a send: as whose frames the receiver has them, and its frames that are not too large. */
function sourcesOf({ device, sources, words = [] }: Again, bytesMax: number) {
  return sources.map((given) => {
    const [source = "", folder = ""] = given.split("=");
    const inputs = inputsOf(folder);
    // The old protocol has no device, and says the source twice.
    const origin = words.includes("--lockstep") ? ["lockstep", `${source}/${source}`] : [device, source];
    const frames = inputs.filter(({ bytes }) => bytes <= bytesMax);
    const odd = Object.keys(known.links).filter((path) => path.startsWith(`${folder}/`)).length;
    const keyOf = ({ name, crc32 }: Input): string => [...origin, name, crc32].join("\n");
    return { source, folder, keys: frames.map(keyOf), unsendable: inputs.length - frames.length + odd };
  });
}

const bytesMaxOf = ({ receive }: Destination): number => Number(receive[receive.indexOf("--max-frame") + 1]);

interface Finding {
  readonly event: string;
  readonly source?: string;
  readonly name?: string;
  readonly reason?: string;
}

async function verify(place: Place, directory: string) {
  const { status, stdout } = await place.run(["--verify", directory, "--json"]);
  const findings = stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Finding);
  const of = (kind: string): Finding[] => findings.filter(({ event }) => event === kind);
  const gaps = [...new Set(of("gap").map(({ source, name, reason }) => `${source} ${name} ${reason}`))].toSorted();
  return { status, gaps, count: (kind: string): number => of(kind).length };
}

/** The gaps of which the frame did not come, by that time, under the same name. */
function openGaps({ sources }: Destination, came: ReadonlySet<string>): string[] {
  const open = sources.flatMap(({ device, source, gaps }) =>
    gaps
      .filter(({ name }) => ![...came].some((key) => key.startsWith([device, source, name, ""].join("\n"))))
      .map(({ name, reason }) => `${source} ${name} ${reason}`),
  );
  return [...new Set(open)].toSorted();
}

async function stopped(receiver: Running): Promise<void> {
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
}

const keysOf = ({ frames }: ReturnType<typeof readFacts>): string[] =>
  frames.map(({ device, source, name, crc32 }) => [device, source, name, crc32].join("\n"));

/** Checksums of what is in a destination, whoever says that it is. */
function contentsOf(kind: Kind, path: string): number[] {
  const crcs =
    kind === "directory"
      ? storedFiles(path).map((file) => Bun.hash.crc32(readFileSync(join(path, file))))
      : [...readFacts(kind, path).contents.values()];
  return crcs.toSorted((a, b) => a - b);
}

describe.skipIf(process.platform === "win32")("what 0.1.0 stored", () => {
  test.concurrent.each(destinations)(
    "$path: is in the corpus as it was left",
    async ({ kind, path, ...rest }) => {
      await using place = await openPlace();
      const copy = bring(place, path);
      const facts = readFacts(kind, copy);
      expect(summarize(facts)).toEqual(rest.sources);
      expect([facts.frames.length, facts.whole]).toEqual([rest.frames, rest.whole]);
      for (const frame of facts.frames) expect(facts.contents.get(frame.path), frame.path).toBe(frame.crc32);
      if (kind !== "directory") return;
      const rows = new Set(facts.frames.map((frame) => frame.path));
      expect(storedFiles(copy).filter((file) => !rows.has(file))).toEqual(rest.withoutRow ?? []);
      // Git keeps no empty folders.
      const temporary = rest.temporary === 0 ? [] : readdirSync(join(copy, ".framepipe", "tmp"));
      expect(temporary).toHaveLength(rest.temporary ?? 0);
    },
    patienceMs,
  );

  test.concurrent.each(directories)(
    "$path: --verify finds what was found then",
    async (destination) => {
      await using place = await openPlace();
      const copy = bring(place, destination.path);
      const found = await verify(place, copy);
      expect([found.count("missing"), found.count("changed")]).toEqual([0, 0]);
      expect(found.count("unknown")).toBe(destination.verify?.unknown ?? 0);
      expect(found.gaps).toEqual(openGaps(destination, new Set(keysOf(readFacts("directory", copy)))));
      if (destination.verify?.status === 0) expect(found.status).toBe(0);
      else expect(gapStatuses).toContain(found.status);
    },
    patienceMs,
  );

  test.concurrent.each(destinations)(
    "$path: the same commands bring what is missing, and only that",
    async (destination) => {
      await using place = await openPlace();
      const { kind, path, receive, again } = destination;
      const [out, inputs] = [bring(place, path), bring(place, "inputs")];
      const before = readFacts(kind, out);
      const there = new Set(keysOf(before));
      expect(there.size).toBe(before.frames.length);

      const receiver = await place.receive(out, { words: receive });
      for (const { device, sources, words = [] } of again) {
        const given = sources.map((source) => source.replace("=", `=${inputs}/`));
        const to = ["--send", `127.0.0.1:${receiver.port}`, "--device", device, "--json"];
        const sender = place.start([...to, ...words, ...given]);
        const parts = sourcesOf({ device, sources, words }, bytesMaxOf(destination));
        expect(await sender.status(), sender.stderr).toBe(parts.some(({ unsendable }) => unsendable > 0) ? 4 : 0);
        for (const { source, keys } of parts) {
          const summary = sender.all("summary").find((event) => event["source"] === source);
          // The old protocol says ok to a frame that is there.
          if (!words.includes("--lockstep")) {
            const missing = keys.filter((key) => !there.has(key)).length;
            expect(Number(summary?.["stored"]) + Number(summary?.["conflicts"]), `${device} ${source}`).toBe(missing);
          }
          for (const key of keys) there.add(key);
        }
      }
      await stopped(receiver);

      const wanted = [...there].map((key) => Number(key.split("\n")[3])).toSorted((a, b) => a - b);
      expect(contentsOf(kind, out)).toEqual(wanted);
      if (kind === "directory") {
        const found = await verify(place, out);
        const differences = ["missing", "changed", "unknown"].map((difference) => found.count(difference));
        expect(differences).toEqual([0, 0, 0]);
        const gaps = openGaps(destination, there);
        expect(found.gaps).toEqual(gaps);
        if (gaps.length === 0) expect(found.status).toBe(0);
        else expect(gapStatuses).toContain(found.status);
        return;
      }
      expect(readFacts(kind, out).whole).toBe(true);
      expect(keysOf(readFacts(kind, out)).toSorted()).toEqual([...there].toSorted());
      if (kind !== "tar") return;
      const listed = Bun.spawnSync(["tar", "-tf", out]);
      expect([listed.exitCode, listed.stderr.toString()]).toEqual([0, ""]);
      const members = listed.stdout.toString().trimEnd().split("\n");
      expect(members.filter((member) => !member.startsWith(".framepipe/"))).toHaveLength(there.size);
    },
    patienceMs,
  );
});

describe.skipIf(process.platform === "win32")("what 0.1.0 spooled", () => {
  const { device, sources } = expected.spool;
  const formatOf = (source: string): string[] => (source.startsWith("infrared") ? ["--format", "raw:1200"] : []);
  const folderOf = (spool: string, source: string): string => join(spool, source.replaceAll("/", "%2F"));
  const spooled = (spool: string, source: string): string[] =>
    readdirSync(folderOf(spool, source))
      .filter((file) => /^[^.].*\.\d+$/.test(file))
      .toSorted();
  /** `NAME.BYTES`, `/` written `%2F`. */
  const frameName = (file: string): string => file.replace(/\.\d+$/, "").replaceAll("%2F", "/");

  /** A frame as the stream had it. */
  const inputOf = (name: string): Buffer =>
    readFileSync(join(corpus, "inputs", name.endsWith(".raw") ? "stream-raw" : "stream", name));

  test.concurrent(
    "every frame arrives under its name and time, and the spool is empty",
    async () => {
      await using place = await openPlace();
      const [spool, out, tar] = [bring(place, "spool"), place.path("captures"), place.path("day.tar")];
      // An archive says when a frame was taken, to everybody.
      const receiver = await place.receive(out, { words: ["--out", tar] });
      const taken = new Map<string, number>();
      for (const { source, frames, refused, unfinished } of sources) {
        const files = spooled(spool, source);
        expect(files).toHaveLength(frames);
        expect(readdirSync(folderOf(spool, source))).toHaveLength(1 + frames + refused + unfinished);
        const words = ["--when-behind", "spool", "--spool", spool, ...formatOf(source)];
        const to = ["--send", `127.0.0.1:${receiver.port}`, "--device", device, "--json"];
        // Its standard input ends at once.
        const sender = place.start([...to, ...words, `${source}=-`]);
        expect(await sender.status(), sender.stderr).toBe(0);
        for (const file of files) {
          const [, number] = /-(\d{8})-/.exec(file) ?? [];
          const was = inputOf(`${Number(number)}.${file.split(".").at(-2)}`);
          expect(readFileSync(join(out, device, source, frameName(file))).equals(was), file).toBe(true);
          const time = times.get(`${folderOf("spool", source)}/${file}`);
          taken.set(join(device, source, frameName(file)), Math.round(Number(time) / 1e6));
        }
        // What a receiver refused once stays; what was never finished is gone.
        expect(spooled(spool, source)).toEqual([]);
        const left = readdirSync(folderOf(spool, source));
        expect(left.filter((file) => file.endsWith(".refused"))).toHaveLength(refused);
        expect(left).not.toContain(".unfinished");
      }
      await stopped(receiver);
      expect(storedFiles(out)).toEqual([...taken.keys()].toSorted());
      const unpacked = place.path("unpacked");
      mkdirSync(unpacked);
      expect(Bun.spawnSync(["tar", "-xf", tar, "-C", unpacked]).exitCode).toBe(0);
      for (const [path, ms] of taken) expect(Math.round(statSync(join(unpacked, path)).mtimeMs), path).toBe(ms);
      expect((await verify(place, out)).status).toBe(0);
    },
    patienceMs,
  );

  test.concurrent(
    "a stream that goes on drops the oldest of them beyond the limit, and they are gaps",
    async () => {
      await using place = await openPlace();
      const [spool, out, port] = [bring(place, "spool"), place.path("captures"), freePort()];
      const source = "infrared/Wärme";
      const before = spooled(spool, source);
      const film = place.path("film");
      writeFileSync(film, Buffer.concat([inputOf("0.raw"), inputOf("1.raw")]));
      const words = ["--when-behind", "spool", "--spool", spool, "--spool-limit", "12K", ...formatOf(source)];
      const to = ["--send", `127.0.0.1:${port}`, "--device", device, "--json", ...words, `${source}=-`];
      const script = 'film="$1"; shift; exec "$0" "$@" < "$film"';
      const sender = place.startOther("sh", ["-c", script, place.executable, film, ...to]);
      // Two new ones in the place of the two oldest.
      const [dropped, kept] = [before.slice(0, 2), before.slice(2)];
      const deadlineMs = performance.now() + patienceMs / 2;
      for (let now = before; now.length !== before.length || dropped.some((file) => now.includes(file));) {
        if (sender.ended || performance.now() > deadlineMs) throw new Error(`${now.join("\n")}\n${sender.stderr}`);
        await Bun.sleep(5);
        now = spooled(spool, source);
      }
      const receiver = await place.receive(out, { port });
      expect(await sender.status(), sender.stderr).toBe(4);
      await stopped(receiver);
      const stored = storedFiles(join(out, device, source));
      expect(stored).toHaveLength(before.length);
      for (const file of kept) expect(stored).toContain(frameName(file));
      const found = await verify(place, out);
      expect(found.gaps).toEqual([`${source}  dropped`]);
      expect(gapStatuses).toContain(found.status);
    },
    patienceMs,
  );
});
