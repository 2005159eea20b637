/**
 * What a user can get wrong, and what the machine can: each command line with the whole of what is said. An `error:`
 * line that names the thing, a `hint:` that helps, the right status, never a stack trace.
 */
import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { modes } from "../../src/cli/option-table.ts";
import { filesBelow, freePort, openPlace, type Place } from "../support/processes.ts";
import { encode, Fields, kinds } from "./wire-peer.ts";

interface Mistake {
  /** `DIR` is the test's directory, `PORT` a port on which somebody listens, `NOBODY` one on which nobody does. */
  readonly words: string;
  readonly status: number;
  /** The whole of standard error, a line each. Texts must be equal; patterns must match. */
  readonly says: readonly (string | RegExp)[];
  readonly env?: Readonly<Record<string, string>>;
}

const helpHint = "hint: framepipe --help lists the options and shows examples";

const hintOfEachMode = modes.map(() => /^hint: framepipe --/);

const mistakes: readonly Mistake[] = [
  {
    words: "",
    status: 2,
    says: [/^error: nothing to do: none of --send, .* and --invite$/, ...hintOfEachMode],
  },
  { words: "--snd localhost:1 DIR/vis", status: 2, says: ["error: unknown option: --snd", /^hint: .*--send/] },
  { words: "--send", status: 2, says: ["error: --send needs a value", helpHint] },
  {
    words: "--receive 0 --send localhost:1 DIR/vis",
    status: 2,
    says: [/^error: --receive and --send exclude each other$/, ...hintOfEachMode],
  },
  {
    words: "--send localhost:1 --out DIR/out DIR/vis",
    status: 2,
    says: [/^error: --out is an option of the receiver, and this is the sender$/, helpHint],
  },
  { words: "--send localhost:1", status: 2, says: ["error: nothing to send", /^hint: .*visible=/] },
  {
    words: "--send localhost DIR/vis",
    status: 2,
    says: ["error: --send: not an address: localhost", /^hint: for example .*:8000/],
  },
  {
    words: "--send localhost:70000 DIR/vis",
    status: 2,
    says: ["error: --send: not an address: localhost:70000", /^hint: .*65535/],
  },
  {
    words: "--send 192.0.2.1:8000 DIR/vis",
    status: 2,
    says: [/^error: .*192\.0\.2\.1.* not be encrypted$/, /^hint: --key FILE/, /^hint: --insecure/],
  },
  {
    words: "--receive 0.0.0.0:8000 --out DIR/out",
    status: 2,
    says: [
      /^error: 0\.0\.0\.0 can be reached from other machines/,
      /^hint: --key FILE/,
      /^hint: --insecure/,
      /^hint: .*--receive 8000/,
    ],
  },
  {
    words: "--receive 0",
    status: 2,
    says: [/^error: --out is missing/, /^hint: .*--out captures/, /^hint: .*--out -$/, /^hint: .*null/],
  },
  {
    words: "--receive 0 --out DIR/out --max-frame huge",
    status: 2,
    says: ["error: --max-frame: not a size: huge", /^hint: .*256Mi/],
  },
  {
    words: "--receive 0 --out DIR/out",
    env: { FRAMEPIPE_MIN_FREE: "some" },
    status: 2,
    says: ["error: FRAMEPIPE_MIN_FREE: not a size: some", /^hint: /],
  },
  {
    words: "",
    env: { FRAMEPIPE_SEND: "localhost:1", FRAMEPIPE_INPUT: "vis\nother/vis" },
    status: 2,
    says: ["error: two inputs are named vis: vis and other/vis", /^hint: .*vis-1=vis vis-2=other/],
  },
  {
    words: "--verify DIR/vis --quiet",
    env: { FRAMEPIPE_VERBOSE: "1" },
    status: 2,
    says: ["error: --quiet cannot be used with FRAMEPIPE_VERBOSE", "hint: leave out one of them"],
  },
  {
    words: "--send localhost:1 --recieve 1 DIR/vis",
    status: 2,
    says: ["error: unknown option: --recieve", "hint: did you mean --receive?"],
  },
  {
    words: "--send localhost:1 --max-frame 1K --format raw:2K -",
    status: 2,
    says: ["error: --format: a frame of 2.00 kB is too much", "hint: at most 1.00 kB (--max-frame)"],
  },
  {
    words: "--receive 0 --out DIR/out --sync sometimes",
    status: 2,
    says: ["error: --sync: found sometimes, expected batch, each or never", /^hint: /],
  },
  {
    words: "--receive 0 --out DIR/out --layout {device}",
    status: 2,
    says: [/^error: --layout '\{device\}': needs \{name\}/, /^hint: .*\{source\}/, /^hint: .*--layout/],
  },
  {
    words: "--receive 0 --out DIR/out --layout ../{name}",
    status: 2,
    says: [/^error: --layout '\.\.\/\{name\}': does not give a safe path/, /^hint: /, /^hint: /],
  },
  {
    words: "--receive 0 --out DIR/out --key k --insecure",
    status: 2,
    says: [/^error: .*--key.*--insecure|^error: .*--insecure.*--key/, /^hint: /],
  },
  {
    words: "--send localhost:1 --device ../x DIR/vis",
    status: 2,
    says: [/^error: --device: .*segment in "\.\.\/x"$/, /^hint: .*directory at the receiver/],
  },
  {
    words: "--send localhost:1 --retry-for soon DIR/vis",
    status: 2,
    says: ["error: --retry-for: not a duration: soon", /^hint: .*90s/],
  },
  {
    words: "--send localhost:NOBODY DIR/missing",
    status: 4,
    says: [/^error: .*\/missing: no such directory or file$/, /^hint: looked for \/.*\/missing$/],
  },
  {
    words: "--send localhost:NOBODY DIR/vis DIR/other/vis",
    status: 2,
    says: [/^error: two inputs are named vis: /, /^hint: .*vis-1=.* vis-2=/],
  },
  {
    words: "--send localhost:NOBODY --watch -",
    status: 2,
    says: [/^error: --watch is for directories and named pipes/, /^hint: /],
  },
  {
    words: "--send localhost:PORT DIR/empty",
    status: 4,
    says: [
      /^error: .*\/empty: no frames: there is no file in it$/,
      "hint: files and folders that are hidden, or have a temporary name, are skipped",
      /^connected to /,
      /^empty: 0 frames, 0 stored$/,
      /^sent 0 B/,
    ],
  },
  {
    words: "--send localhost:PORT --include *.png DIR/vis",
    status: 4,
    says: [
      /^error: .*\/vis: no frames: --include and --exclude leave none of 1 file$/,
      /^hint: a pattern without \//,
      /^connected to /,
      /^vis: 0 frames, 0 stored$/,
      /^sent 0 B/,
    ],
  },
  {
    words: "--send no-such-host.invalid:8000 --insecure --retry-for 1ms DIR/vis",
    status: 5,
    says: [
      /left|listed/,
      /^error: gave up after .* without no-such-host\.invalid:8000: host name not found$/,
      /^hint: /,
    ],
  },
  {
    words: "--receive 127.0.0.1:PORT --out DIR/out",
    status: 1,
    says: [/^error: cannot listen on 127\.0\.0\.1:\d+: the port is in use$/, /^hint: .*another port/],
  },
  {
    words: "--receive 192.0.2.1:0 --insecure --out DIR/out",
    status: 1,
    says: [/^error: cannot listen on 192\.0\.2\.1:0: this machine has no such address$/, /^hint: /],
  },
  {
    words: "--receive no-such-host.invalid:8000 --insecure --out DIR/out",
    status: 1,
    says: [/^error: cannot listen on no-such-host\.invalid:8000: /, /^hint: /],
  },
  { words: "--receive 0 --out DIR/file", status: 1, says: [/^error: .*\/file.*/, /^hint: /] },
  { words: "--receive 0 --out DIR/file/below", status: 1, says: [/^error: .*\/file\/below.*/, /^hint: /] },
  { words: "--receive 0 --out DIR/blocked", status: 1, says: [/^error: .*\/blocked\/\.framepipe.*/, /^hint: /] },
  { words: "--receive 0 --out DIR/damaged", status: 1, says: [/^error: .*catalogue\.db/, /^hint: /, /^hint: /] },
  { words: "--receive 0 --out /proc/framepipe", status: 1, says: [/^error: .*\/proc\/framepipe/, /^hint: /] },
  {
    words: "--receive 0 --out DIR/nowhere/a.tar",
    status: 1,
    says: [/^error: cannot store in .*a\.tar: there is no directory .*nowhere/, /^hint: make it: mkdir -p/],
  },
  {
    words: "--receive 0 --out s3://bucket/x",
    status: 2,
    says: [
      /^error: s3:.*bucket.x: AWS_ACCESS_KEY_ID is not set$/,
      /^hint: .*AWS_SECRET_ACCESS_KEY/,
      /^hint: AWS_REGION/,
    ],
  },
  {
    words: "--receive 0 --out DIR/inuse",
    status: 1,
    says: [/^error: .*\/inuse is in use by another receiver$/, /^hint: /],
  },
  { words: "--verify DIR/vis", status: 2, says: [/^error: .*\/vis has no catalogue/, /^hint: .*--out$/] },
  { words: "--verify DIR/file", status: 2, says: [/^error: .*\/file has no catalogue/, /^hint: /] },
  { words: "--verify DIR/damaged", status: 1, says: [/^error: .*catalogue\.db/, /^hint: /, /^hint: /] },
  { words: "--verify DIR/vis DIR/empty", status: 2, says: [/^error: unexpected argument: .*empty$/, /^hint: /] },
];

async function setUp(place: Place): Promise<{ port: number; nobody: number }> {
  for (const dir of ["vis", "other/vis", "empty", "blocked", "damaged/.framepipe"]) {
    mkdirSync(place.path(dir), { recursive: true });
  }
  for (const file of ["vis/1.jpg", "other/vis/1.jpg", "file", "blocked/.framepipe"])
    writeFileSync(place.path(file), "x");
  writeFileSync(place.path("damaged/.framepipe/catalogue.db"), "no catalogue at all ".repeat(500));
  const receiver = await place.receive(place.path("inuse"));
  return { port: receiver.port, nobody: freePort() };
}

test("every mistake is answered with its error, a hint and a status", async () => {
  await using place = await openPlace();
  const { port, nobody } = await setUp(place);
  for (const { words, status, says, env } of mistakes) {
    const given = words
      .split(" ")
      .filter((word) => word !== "")
      .map((word) => word.replaceAll("DIR", place.dir).replace("PORT", `${port}`).replace("NOBODY", `${nobody}`));
    const ended = await place.run(given, { ...(env === undefined ? {} : { env }), cwd: place.dir });
    expect(ended.stdout, words).toBe("");
    const lines = ended.stderr.split("\n");
    expect(lines, words).toEqual(
      says.map((line) => (typeof line === "string" ? line : (expect.stringMatching(line) as string))),
    );
    expect(ended.status, words).toBe(status);
    expect(ended.stderr, words).not.toMatch(/^\s+at |unexpected:|undefined|\[object/m);
  }
}, 120_000);

test("--help and --version are data, and need nothing else to be right", async () => {
  await using place = await openPlace();
  const help = await place.run(["--help", "--nonsense"]);
  expect([help.status, help.stderr]).toEqual([0, ""]);
  for (const word of ["usage", "examples", "exit status", "--send", "--receive", "--verify"]) {
    expect(help.stdout).toContain(word);
  }
  expect((await place.run(["--version"])).stdout).toMatch(/^framepipe \d+\.\d+\.\d+(?:-dev)? \([\w-]+\)\n$/);
}, 60_000);

test("a receiver of another version: status 3, and both versions are said", async () => {
  await using place = await openPlace();
  await setUp(place);
  const stranger = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket) => {
        socket.write(encode(kinds.refuse, new Fields().u16(2).u8(7).u8(9).text("version 1, expected 7 to 9")));
        socket.shutdown();
      },
    },
  });
  place.onClose(() => stranger.stop(true));
  const ended = await place.run(["--send", `127.0.0.1:${stranger.port}`, place.path("vis")]);
  expect(ended.status).toBe(3);
  expect(ended.stderr).toMatch(/^error: refused by 127\.0\.0\.1:\d+: .*7.*9.*$/m);
  expect(ended.stderr).toMatch(/^hint: use the same version of framepipe on both machines/m);
}, 60_000);

test("a receiver of version 1: status 3, and what to do", async () => {
  await using place = await openPlace();
  await setUp(place);
  const old = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket) => {
        const head = new Fields().u16(2).u8(1).u8(1).text("version 2, expected 1");
        socket.write(encode(kinds.refuse, head, { version: 1 }));
        socket.shutdown();
      },
    },
  });
  place.onClose(() => old.stop(true));
  const ended = await place.run(["--send", `127.0.0.1:${old.port}`, place.path("vis")]);
  expect(ended.status).toBe(3);
  expect(ended.stderr).toContain(
    "version: update the receiver to framepipe 0.2 or newer: it speaks version 1, the sender 2",
  );
}, 60_000);

test("something else that listens there: said in a line, and tried again", async () => {
  await using place = await openPlace();
  await setUp(place);
  const web = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("hello") });
  place.onClose(() => void web.stop(true));
  const ended = await place.run(["--send", `127.0.0.1:${web.port}`, "--retry-for", "2s", place.path("vis")]);
  expect(ended.status).toBe(5);
  expect(ended.stderr).toMatch(
    /^no connection to 127\.0\.0\.1:\d+: .* does not speak framepipe: an HTTP server answers: /m,
  );
  expect(ended.stderr).toMatch(/^error: gave up/m);
}, 60_000);

test("a missing input does not keep the others from being sent", async () => {
  await using place = await openPlace();
  const { port } = await setUp(place);
  const ended = await place.run([
    "--send",
    `127.0.0.1:${port}`,
    "--device",
    "d",
    place.path("vis"),
    place.path("gone"),
  ]);
  expect(ended.status).toBe(4);
  expect(ended.stderr).toMatch(/^error: .*\/gone: no such directory or file$/m);
  expect(filesBelow(place.path("inuse"))).toEqual(["d/vis/1.jpg"]);
}, 60_000);

test.skipIf(process.getuid?.() !== 0)(
  "folders that may not be read or written: said by name",
  async () => {
    await using place = await openPlace();
    const { port } = await setUp(place);
    const program = place.path("framepipe");
    // Another user has to be able to start it, and to come here.
    symlinkSync(await import("../support/processes.ts").then((module) => module.executable()), program);
    chmodSync(place.dir, 0o755);
    mkdirSync(place.path("locked"), { mode: 0o700 });
    const as = (line: string) =>
      Bun.spawnSync(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "bash", "-c", line]);
    if (!as(`'${program}' --version`).success) {
      console.log("skipped: another user cannot start the executable");
      return;
    }
    const reading = as(`'${program}' --send 127.0.0.1:${port} '${place.path("locked")}'`);
    expect(reading.stderr.toString()).toMatch(
      /^error: .*\/locked: cannot be read: permission denied.*\nhint: .*ls -ld /,
    );
    expect(reading.exitCode).toBe(4);
    const writing = as(`'${program}' --receive 0 --out '${join(place.dir, "out")}'`);
    expect(writing.stderr.toString()).toMatch(/^error: .*\/out: .*permission denied.*\nhint: /);
    expect(writing.exitCode).toBe(1);
  },
  60_000,
);
