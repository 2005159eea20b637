/** The program as a user meets it, run from source: what it prints where, and its exit status. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { helpText } from "../../src/cli/help.ts";

const main = join(import.meta.dir, "..", "..", "src", "main.ts");
let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "framepipe-"));
  mkdirSync(join(folder, "vis", "sub"), { recursive: true });
  mkdirSync(join(folder, "empty"));
  writeFileSync(join(folder, "vis", "1.jpg"), "one");
  writeFileSync(join(folder, "vis", "2.jpg"), "two, a larger one");
  writeFileSync(join(folder, "vis", "sub", "3.jpg"), "three");
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The environment without what the tester's own shell may hold. */
function environment(extra: Record<string, string>): Record<string, string | undefined> {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("FRAMEPIPE_"));
  return { ...Object.fromEntries(own), NO_COLOR: "1", ...extra };
}

function start(words: readonly string[], env: Record<string, string> = {}) {
  const command = [process.execPath, main, ...words];
  const child = Bun.spawn(command, { cwd: folder, env: environment(env), stdio: ["ignore", "pipe", "pipe"] });
  const stdout = new Response(child.stdout).text();
  let said = "";
  let ended = false;
  const waiting = new Set<() => void>();
  const stderr = (async () => {
    for await (const chunk of child.stderr.pipeThrough(new TextDecoderStream())) {
      said += chunk;
      for (const wake of waiting) wake();
    }
    ended = true;
    for (const wake of waiting) wake();
    return said;
  })();
  /** The first match in what it says on standard error; fails if it ends without it. */
  const says = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const match = pattern.exec(said);
      if (match !== null) return match;
      if (ended) throw new Error(`ended and said: ${said}`);
      await new Promise<void>((resolve) => waiting.add(resolve));
    }
  };
  const end = async () => {
    const [status, out, err] = await Promise.all([child.exited, stdout, stderr]);
    return { status, stdout: out, stderr: err };
  };
  return { child, says, end };
}

function run(words: readonly string[], env: Record<string, string> = {}) {
  return start(words, env).end();
}

/** A receiver on a free port, and that port. */
async function receiver(...words: string[]) {
  const program = start(["--receive", "0", "--out", "captures", ...words]);
  const [, port] = await program.says(/listening on 127\.0\.0\.1:(\d+)/);
  return { ...program, port: port ?? "" };
}

describe("without a peer", () => {
  test("--help is data", async () => {
    expect(await run(["--help"])).toEqual({ status: 0, stdout: helpText(), stderr: "" });
  });

  test("--version is data, and complete into a pipe", async () => {
    expect(await run(["--version"])).toEqual({
      status: 0,
      stdout: `framepipe ${manifest.version} (source)\n`,
      stderr: "",
    });
  });

  test("bad usage", async () => {
    expect(await run(["--send", "localhost:1", "vis", "--once"])).toEqual({
      status: 2,
      stdout: "",
      stderr:
        "error: --once is an option of the receiver, and this is the sender\n" +
        "hint: framepipe --help lists the options and shows examples\n",
    });
  });

  test("bad usage as JSON", async () => {
    for (const [words, env] of [[["--json", "--http"], {}] as const, [["--http"], { FRAMEPIPE_JSON: "1" }] as const]) {
      const { status, stderr } = await run(words, env);
      expect(status).toBe(2);
      expect(JSON.parse(stderr)).toMatchObject({ event: "error", message: "--http needs a value" });
    }
  });

  test("a closed standard output is a quiet end", async () => {
    // Descriptor 4 writes into a pipe whose last reader is gone.
    const pipe = "mkfifo pipe; exec 3<>pipe 4>pipe 3<&-";
    const script = `${pipe}; "${process.execPath}" "${main}" --help >&4; echo $?`;
    const child = Bun.spawn(["bash", "-c", script], {
      cwd: folder,
      env: environment({}),
      stdio: ["ignore", "pipe", "pipe"],
    });
    expect(await new Response(child.stdout).text()).toBe("0\n");
    expect(await new Response(child.stderr).text()).toBe("");
  });

  test.skipIf(!existsSync("/dev/full"))("a full disk behind standard output is not", async () => {
    const script = `"${process.execPath}" "${main}" --help > /dev/full; echo $?`;
    const child = Bun.spawn(["bash", "-c", script], {
      cwd: folder,
      env: environment({}),
      stdio: ["ignore", "pipe", "pipe"],
    });
    expect(await new Response(child.stdout).text()).toBe("1\n");
    expect(await new Response(child.stderr).text()).toBe(
      "error: cannot write to standard output (ENOSPC)\nhint: if it goes to a file: is the disk full?\n",
    );
  });

  test("a bug of ours is called so, with its place if that is wanted", async () => {
    const program = join(import.meta.dir, "..", "..", "src", "cli", "program.ts");
    const script = `
      import { runProgram } from ${JSON.stringify(program)};
      import { writeSync } from "node:fs";
      const size = () => ({ columns: 80, rows: 24 });
      const stderr = { isTerminal: false, size, write: (text) => writeSync(2, text) > 0 };
      const stdout = { isTerminal: false, size, write: () => { throw new TypeError("broken"); } };
      const words = process.argv.slice(1);
      const exitNow = (status) => process.exit(status);
      if (words.includes("--verbose")) setTimeout(() => { throw new RangeError("later"); }, 0);
      else exitNow(await runProgram({ words, env: {}, stdout, stderr, exitNow }));
      await runProgram({ words: ["--send", "localhost:1", ".", "--verbose"], env: {}, stdout, stderr, exitNow });
    `;
    const bug = async (...words: string[]) => {
      const child = Bun.spawn([process.execPath, "-e", script, "--", ...words], {
        cwd: folder,
        stdio: ["ignore", "pipe", "pipe"],
      });
      return [await child.exited, await new Response(child.stderr).text()] as const;
    };
    const [status, said] = await bug("--help");
    expect(said.split("\n")).toEqual([
      "error: unexpected: TypeError: broken",
      expect.stringMatching(/^hint: this is a bug in framepipe .+: please report it with these lines$/),
      "hint: --verbose shows where it happened",
      "",
    ]);
    expect(status).toBe(1);
    const [laterStatus, saidLater] = await bug("--verbose");
    expect(saidLater).toMatch(/error: unexpected: RangeError: later\nhint: this is a bug .+\nhint: at .+\n/);
    expect(laterStatus).toBe(1);
  });

  test("inputs that are not there", async () => {
    const { status, stderr } = await run(["--send", "localhost:1", "gone", "missing"]);
    expect(stderr).toMatch(
      /^error: gone: no such directory or file\nhint: .+\nerror: missing: no such directory or file\nhint: .+\n$/,
    );
    expect(status).toBe(4);
  });

  test("gives up after --retry-for", async () => {
    const { status, stderr } = await run(["--send", "localhost:1", "vis", "--retry-for", "200ms"]);
    expect(stderr).toMatch(/^no connection to localhost:1: .+$/m);
    expect(stderr).toMatch(/^not everything was listed; .+\nerror: gave up .+\nhint: .+\n$/m);
    expect(status).toBe(5);
  });

  test("a directory that was never a destination", async () => {
    const { status, stdout, stderr } = await run(["--verify", "vis"]);
    expect(stderr).toMatch(/^error: .*vis.*\nhint: .+\n$/);
    expect(stdout).toBe("");
    expect(status).toBe(2);
  });
});

describe("with a peer", () => {
  test("a directory is received, verified, and not sent twice", async () => {
    const { port, end, child } = await receiver();
    const send = ["--send", `localhost:${port}`, "visible=vis", "--device", "rig"];
    const first = await run(send);
    expect(first.stderr).toMatch(/^connected to localhost:\d+\nvisible: 3 frames, 3 stored\nsent 25 B in .+\n$/);
    expect(first).toMatchObject({ status: 0, stdout: "" });
    expect((await run(send)).stderr).toMatch(/^visible: 3 frames, 0 stored, 3 already there\nsent 0 B in /m);
    expect(await run([...send, "--quiet"])).toEqual({ status: 0, stdout: "", stderr: "" });

    child.kill("SIGTERM");
    const received = await end();
    expect(received.stderr).toMatch(/^rig finished: 3 frames stored \(25 B\)$/m);
    expect(received.stderr).toMatch(/^stopping: .+\nstored in .+: 3 frames \(25 B\).*\n$/m);
    expect(received).toMatchObject({ status: 0, stdout: "" });
    expect(readFileSync(join(folder, "captures", "rig", "visible", "sub", "3.jpg"), "utf8")).toBe("three");

    const clean = await run(["--verify", "captures"]);
    expect(clean.stdout).toEndWith("\ncaptures: 3 frames, 0 missing, 0 changed, 0 unknown, 0 gaps\n");
    expect(clean.status).toBe(0);

    const database = new Database(join(folder, "captures", ".framepipe", "catalogue.db"));
    database.run("UPDATE outcomes SET last = 1 WHERE outcome = 'stored'");
    const hole = await run(["--verify", "captures"]);
    expect(hole.stdout).toMatch(/^unaccounted rig\/visible \(frame 2\): session [0-9a-f]{32} has ended, .+\n/);
    expect(hole.stdout).toEndWith("\ncaptures: 3 frames, 0 missing, 0 changed, 0 unknown, 0 gaps, 1 unaccounted\n");
    expect(hole.status).toBe(6);
    database.run("UPDATE outcomes SET last = 2 WHERE outcome = 'stored'");
    database.close();

    rmSync(join(folder, "captures", "rig", "visible", "1.jpg"));
    writeFileSync(join(folder, "captures", "rig", "visible", "2.jpg"), "two, of as many b");
    writeFileSync(join(folder, "captures", "stranger"), "");
    const different = await run(["--verify", "captures"]);
    expect(different.stdout).toEndWith("\ncaptures: 3 frames, 1 missing, 1 changed, 1 unknown, 0 gaps\n");
    expect(different.stdout).toContain("missing rig/visible/1.jpg");
    expect(different.stdout).toContain("changed rig/visible/2.jpg");
    expect(different.stdout).toContain("unknown stranger");
    expect(different.status).toBe(6);

    const json = await run(["--verify", "captures", "--json"]);
    const lines = json.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ event }) => event)).toEqual(["missing", "changed", "unknown", "source", "verified"]);
    expect(lines.at(-1)).toMatchObject({
      directory: "captures",
      frames: 3,
      missing: 1,
      changed: 1,
      unknown: 1,
      clean: false,
    });
    expect(json).toMatchObject({ status: 6, stderr: "" });
    const quiet = await run(["--verify", "captures", "--quiet"]);
    expect(quiet.stdout).toMatch(/^missing .+\nchanged .+\nunknown .+\n$/);
    expect(quiet.status).toBe(6);
  }, 30_000);

  test("--once, --json, a missing input, a frame too large", async () => {
    const { port, end } = await receiver("--once", "--max-frame", "10");
    const sent = await run(["--send", `localhost:${port}`, "vis", "gone", "--json", "--device", "other"]);
    const events = sent.stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { event: string } & Record<string, unknown>);
    for (const event of events) expect(Object.keys(event).slice(0, 2)).toEqual(["time", "event"]);
    expect(events[0]).toMatchObject({ event: "error", message: "gone: no such directory or file" });
    expect(events.find(({ event }) => event === "refused")).toMatchObject({
      source: "vis",
      name: "2.jpg",
      reason: "too-large",
    });
    expect(events.find(({ event }) => event === "summary")).toMatchObject({
      source: "vis",
      frames: 3,
      stored: 2,
      refused: 1,
    });
    expect(sent.status).toBe(4);
    const received = await end();
    expect(received.stderr).toMatch(/^refused other\/vis\/2\.jpg: /m);
    expect(readdirSync(join(folder, "captures", "other", "vis")).toSorted()).toEqual(["1.jpg", "sub"]);
  });

  test("a missing input beside a good one", async () => {
    const { port, end } = await receiver("--once");
    const sent = await run(["--send", `localhost:${port}`, "vis", "gone", "--device", "beside"]);
    expect(sent.stderr).toMatch(/^error: gone: no such directory or file\nhint: [^]+^vis: 3 frames, 3 stored$/m);
    expect(sent.status).toBe(4);
    expect((await end()).status).toBe(0);
  });

  test("an empty directory", async () => {
    const { port, end } = await receiver("--once");
    const sent = await run(["--send", `localhost:${port}`, "empty"]);
    expect(sent.stderr).toMatch(/^error: empty: .+$/m);
    expect(sent.status).toBe(4);
    await end();
  });

  test("a port that is taken", async () => {
    const { port, child, end } = await receiver();
    const { status, stderr } = await run(["--receive", port, "--out", "elsewhere"]);
    expect(stderr).toMatch(/^error: cannot listen on 127\.0\.0\.1:\d+: the port is in use\nhint: .+\n$/);
    expect(status).toBe(1);
    child.kill("SIGINT");
    expect((await end()).status).toBe(0);
  });

  test("a sender that waits is stopped by a signal, and says what is left", async () => {
    for (const [signal, words] of [
      ["SIGINT", "ctrl-c again"],
      ["SIGTERM", "a second signal"],
    ] as const) {
      const { child, says, end } = start(["--send", "localhost:1", "vis"]);
      await says(/no connection/);
      child.kill(signal);
      const { status, stderr } = await end();
      expect(stderr).toContain(`stopping: finishing what is in hand; ${words} exits at once\n`);
      expect(stderr).toMatch(/^not everything was listed; /m);
      expect(status).toBe(4);
    }
  });
});
