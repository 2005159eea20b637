import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { ExitStatus, UserError } from "../../src/errors.ts";
import { sourcesMax } from "../../src/limits.ts";
import type { OpenedSources, OpenSourcesOptions } from "../../src/sources/open-source.ts";
import { openSources } from "../../src/sources/open-source.ts";
import type { SourceProblem } from "../../src/sources/files/frame-files.ts";
import { frameNameDefault } from "../../src/sources/stream/frame-names.ts";
import { systemClock } from "../../src/system/system-clock.ts";
import { jpegOf, pngOf } from "./files/pictures.ts";

let root = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-"));
  for (const directory of ["vis", "ir", "a=b", ".hidden", "C:", "it's"]) {
    mkdirSync(join(root, directory));
    writeFileSync(join(root, directory, "1.jpg"), jpegOf(directory));
  }
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const plain: OpenSourcesOptions = {
  clock: systemClock,
  oneByOne: false,
  inputIsTerminal: false,
  include: [],
  exclude: [],
  deleteSent: false,
  restMs: 0,
  captured: { kind: "auto" },
  compareAlways: false,
  memory: undefined,
  watch: false,
  framesPerSecond: undefined,
  order: "oldest",
  streams: {
    formats: [],
    nameTemplate: frameNameDefault,
    nameGiven: false,
    whenBehind: "block",
    spool: undefined,
    spoolBytesMax: 1e9,
    onlyForStreams: undefined,
    onlyForFiles: undefined,
  },
  frameBytesMax: 1e8,
  onProblem: () => undefined,
};

/** What was opened, as `source: names`. */
function open(
  inputs: string[],
  options: Partial<OpenSourcesOptions> = {},
): OpenedSources & { readonly listed: string[] } {
  const opened = openSources(inputs, { ...plain, ...options });
  const listed = opened.sources.map(({ name, ...source }, index) => {
    const names = opened.sources[index]?.list(10)?.map((entry) => ("name" in entry ? entry.name : "")) ?? [];
    expect(source).toBeDefined();
    return `${name}: ${names.join(" ")}`;
  });
  return { ...opened, listed };
}

function userErrorOf(inputs: string[], options: Partial<OpenSourcesOptions> = {}): UserError {
  try {
    openSources(inputs, { ...plain, ...options });
  } catch (error) {
    if (error instanceof UserError) {
      expect(error.hints.length).toBeGreaterThan(0);
      return error;
    }
    throw error;
  }
  throw new Error("expected a UserError");
}

describe("openSources", () => {
  test("names sources as told, or after the directory", () => {
    expect(open([`visible=${root}/vis`, `infrared/left=${root}/ir/`]).listed).toEqual([
      "visible: 1.jpg",
      "infrared/left: 1.jpg",
    ]);
    expect(open([`${root}/vis/`, `${root}/ir/../ir/.`]).listed).toEqual(["vis: 1.jpg", "ir: 1.jpg"]);
    symlinkSync("vis", join(root, "camera"));
    expect(open([`${root}/camera`]).listed).toEqual(["camera: 1.jpg"]);
  });

  test("a relative directory and the current one", () => {
    expect(open([relative(process.cwd(), join(root, "vis"))]).listed).toEqual(["vis: 1.jpg"]);
    expect(openSources(["."], plain).sources.map(({ name }) => name)).toEqual([basename(process.cwd())]);
  });

  test("a single file, named after its directory", () => {
    writeFileSync(join(root, "vis", "2.jpg"), jpegOf());
    expect(open([`${root}/vis/2.jpg`]).listed).toEqual(["vis: 2.jpg"]);
    expect(open([`one=${root}/vis/2.jpg`], { include: ["*.png"] }).listed).toEqual(["one: 2.jpg"]);
  });

  test("a path that contains = is taken when nothing safe stands before it", () => {
    expect(open([`${root}/a=b`]).listed).toEqual(["a=b: 1.jpg"]);
    expect(open([`x=${root}/a=b`]).listed).toEqual(["x: 1.jpg"]);
    const path = relative(process.cwd(), join(root, "a=b"));
    expect(open([path.startsWith("..") ? path : `./${path}`]).listed).toEqual(["a=b: 1.jpg"]);
  });

  test("an input that is missing does not stop the others", () => {
    const { listed, failures } = open([`gone=${root}/gone`, `${root}/vis`, `${root}/vis/1.jpg/x`]);
    expect(listed).toEqual(["vis: 1.jpg"]);
    expect(failures.map(({ message, status }) => [message, status])).toEqual([
      [`${root}/gone: no such directory or file`, ExitStatus.incomplete],
      [`${root}/vis/1.jpg/x: no such directory or file`, ExitStatus.incomplete],
    ]);
    expect(failures[0]?.hints).toEqual([`looked for ${root}/gone`]);
  });

  test("a missing one that is watched is waited for, unless what was typed is meant otherwise", async () => {
    const problems: SourceProblem[] = [];
    const onProblem = (problem: SourceProblem): void => void problems.push(problem);
    const card = join(root, "card", "DCIM");
    const { sources, failures, goOn } = openSources([`cam=${card}`, `x=${root}/vis/1.jpg/y`], {
      ...plain,
      watch: true,
      onProblem,
    });
    expect([failures, goOn, sources.map(({ name }) => name)]).toEqual([[], true, ["cam", "x"]]);
    const [source] = sources;
    for (const one of sources) expect(one.list(10)).toEqual([]);
    while (problems.length < 2) await Bun.sleep(5);
    const missing = { reason: "missing", detail: "no such directory; waiting until it is there" };
    expect(problems).toMatchObject([
      { source: "cam", path: card, ...missing },
      { source: "x", ...missing },
    ]);
    mkdirSync(card, { recursive: true });
    writeFileSync(join(card, "9.jpg"), jpegOf());
    let listed = source?.list(10);
    while (listed?.length === 0) {
      await Bun.sleep(20);
      listed = source?.list(10);
    }
    expect(listed).toMatchObject([{ name: "9.jpg" }]);
    for (const one of sources) one.dispose();

    const before = process.cwd();
    process.chdir(root);
    try {
      expect(openSources(["a=b"], { ...plain, watch: true }).failures).toHaveLength(1);
    } finally {
      process.chdir(before);
    }
  });

  test("hints for what was probably meant", () => {
    const before = process.cwd();
    process.chdir(root);
    try {
      expect(open(["a=b"]).failures[0]?.hints).toEqual(["to send the path that contains =, write ./a=b"]);
      expect(open(["./a=b"]).listed).toEqual(["a=b: 1.jpg"]);
      expect(open([".x=vis"]).failures[0]?.hints).toEqual([
        '".x" cannot name a source (hidden segment); choose another name before the =',
      ]);
      expect(open(["caf\ufffd=vis"]).failures[0]?.hints).toEqual([
        '"caf\ufffd" cannot name a source (not valid UTF-8); choose another name before the =',
      ]);
      expect(userErrorOf([".hidden"]).hints).toEqual(["choose a name: frames=.hidden"]);
      expect(userErrorOf(["vis", "it's", "vis"]).hints).toEqual(["give each a name: vis-1=vis vis-2=vis"]);
      expect(userErrorOf(["x=vis", "x=it's"]).hints).toEqual([`give each a name: x-1=vis x-2='it'\\''s'`]);
    } finally {
      process.chdir(before);
    }
  });

  test.skipIf(process.getuid?.() === 0)("an unreadable input does not stop the others", () => {
    chmodSync(join(root, "ir"), 0);
    chmodSync(join(root, "a=b", "1.jpg"), 0);
    const { listed, failures } = open([`${root}/vis`, `${root}/ir`, `one=${root}/a=b/1.jpg`]);
    chmodSync(join(root, "ir"), 0o700);
    expect(listed).toEqual(["vis: 1.jpg"]);
    expect(failures[0]?.message).toBe(`${root}/ir: cannot be read: permission denied (EACCES)`);
    expect(failures[1]?.message).toBe(`${root}/a=b/1.jpg: cannot be read: permission denied (EACCES)`);
  });

  test("what cannot be meant is refused, with a hint", () => {
    expect(Bun.spawnSync(["mkfifo", join(root, "pipe")]).exitCode).toBe(0);
    writeFileSync(join(root, "vis", ".secret.jpg"), "");
    writeFileSync(join(root, "vis", "2.jpg"), "");
    const cases: [string[], string][] = [
      [[], "nothing to send"],
      [[""], 'no input in ""'],
      [["visible="], 'no input in "visible="'],
      [["-", "-"], "two inputs are named stdin: - and -"],
      [[`${root}/pipe`, `pipe=${root}/vis`], `two inputs are named pipe: ${root}/pipe and ${root}/vis`],
      [["/dev/null"], "/dev/null: neither a directory nor a file nor a pipe"],
      [["/"], 'no source can be named after the directory "/": empty name'],
      [[`${root}/.hidden`], `no source can be named after the directory "${root}/.hidden": hidden segment`],
      [[`x=${root}/vis/.secret.jpg`], `${root}/vis/.secret.jpg: no frame can be named ".secret.jpg": hidden segment`],
      [[`${root}/vis/1.jpg`, `${root}/vis/2.jpg`], `two inputs are named vis: ${root}/vis/1.jpg and ${root}/vis/2.jpg`],
      [Array.from({ length: sourcesMax + 1 }, () => root), `${sourcesMax + 1} inputs, limit ${sourcesMax}`],
    ];
    for (const [inputs, message] of cases) {
      const error = userErrorOf(inputs);
      expect([error.message, error.status]).toEqual([message, ExitStatus.usage]);
    }
  });

  test("options reach the source", () => {
    writeFileSync(join(root, "vis", "2.png"), pngOf());
    const paths: string[] = [];
    const options: Partial<OpenSourcesOptions> = {
      include: ["*.png"],
      onProblem: ({ source, reason }) => paths.push(`${source} ${reason}`),
    };
    expect(open([`${root}/vis`, `${root}/ir`], options).listed).toEqual(["vis: 2.png", "ir: "]);
    expect(paths).toEqual(["ir empty"]);
  });

  test("a named pipe is read as a stream of frames, named after it", async () => {
    const path = join(root, "infrared.pipe");
    expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
    const formats = [{ source: "infrared", format: { kind: "raw", bytes: 4 } as const }];
    const streams = { ...plain.streams, formats, nameTemplate: "{sequence}-{run}" };
    const { sources } = openSources([path, `${root}/vis`], { ...plain, streams });
    const [stream] = sources;
    if (stream === undefined) throw new Error("two sources are open");
    const names: string[] = [];
    const over = new Promise<void>((resolve) => {
      stream.onReady = () => {
        for (let listed = stream.list(10); listed?.length !== 0; listed = stream.list(10)) {
          if (listed === undefined) return resolve();
          for (const entry of listed) if ("name" in entry) names.push(entry.name);
        }
      };
    });
    const writer = Bun.spawn(["sh", "-c", `printf aaaabbbb > ${path}`]);
    await over;
    await writer.exited;
    expect(stream.name).toBe("infrared");
    expect(names.map((name) => name.replace(/-.*/, ""))).toEqual(["00000000", "00000001"]);
    for (const source of sources) source.dispose();
  });

  test("options that would do nothing are refused", () => {
    const vis = [`${root}/vis`];
    expect(userErrorOf(vis, { streams: { ...plain.streams, onlyForStreams: "--format" } }).message).toBe(
      "--format is for streams, and no input is one",
    );
    expect(userErrorOf(["-"], { inputIsTerminal: true }).message).toBe(
      "standard input is a terminal, which has no frames",
    );
    expect(userErrorOf(vis, { order: "newest" }).message).toStartWith("--order newest is for frames that keep coming");
    expect(userErrorOf(["a=-", "b=-"]).message).toBe("a and b are the same stream");
    expect(userErrorOf([...vis, "a=-"], { oneByOne: true }).message).toStartWith("--lockstep sends one source after");
    expect(userErrorOf(["-"], { watch: true }).message).toBe(
      "--watch is for directories and named pipes, and no input is one",
    );
    expect(userErrorOf(["-"], { framesPerSecond: 3 }).message).toBe("--fps is for directories, and no input is one");
    const formats = [{ source: "infrared", format: { kind: "jpeg" } as const }];
    expect(userErrorOf(["visible=-"], { streams: { ...plain.streams, formats } }).message).toBe(
      "--format: no stream is named infrared",
    );
    const spool = join(root, "vis", "1.jpg");
    const streams = { ...plain.streams, whenBehind: "spool" as const, spool };
    expect(userErrorOf(["visible=-"], { streams }).message).toBe(`--spool: ${spool}/visible cannot be used (ENOTDIR)`);
  });
});
