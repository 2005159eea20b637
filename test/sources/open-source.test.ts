import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { ExitStatus, UserError } from "../../src/errors.ts";
import { sourcesMax } from "../../src/limits.ts";
import type { OpenedSources, OpenSourcesOptions } from "../../src/sources/open-source.ts";
import { openSources } from "../../src/sources/open-source.ts";

let root = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-"));
  for (const directory of ["vis", "ir", "a=b", ".hidden", "C:", "it's"]) {
    mkdirSync(join(root, directory));
    writeFileSync(join(root, directory, "1.jpg"), directory);
  }
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** What was opened, as `source: names`. */
function open(inputs: string[], options?: OpenSourcesOptions): OpenedSources & { readonly listed: string[] } {
  const opened = openSources(inputs, options);
  const listed = opened.sources.map(({ name, ...source }, index) => {
    const names = opened.sources[index]?.list(10)?.map((entry) => entry.name) ?? [];
    expect(source).toBeDefined();
    return `${name}: ${names.join(" ")}`;
  });
  return { ...opened, listed };
}

function userErrorOf(inputs: string[]): UserError {
  try {
    openSources(inputs);
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
    expect(openSources(["."]).sources.map(({ name }) => name)).toEqual([basename(process.cwd())]);
  });

  test("a single file, named after its directory", () => {
    writeFileSync(join(root, "vis", "2.jpg"), "");
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

  test("hints for what was probably meant", () => {
    const before = process.cwd();
    process.chdir(root);
    try {
      expect(open(["a=b"]).failures[0]?.hints).toEqual(["to send the path that contains =, write ./a=b"]);
      expect(open(["./a=b"]).listed).toEqual(["a=b: 1.jpg"]);
      expect(open([".x=vis"]).failures[0]?.hints).toEqual([
        '".x" cannot name a source (hidden segment); choose another name before the =',
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
      [["-"], "standard input cannot be sent by this version yet"],
      [["visible=-"], "standard input cannot be sent by this version yet"],
      [[`${root}/pipe`], `${root}/pipe: a pipe cannot be sent by this version yet`],
      [["/dev/null"], "/dev/null: neither a directory nor a file"],
      [["/"], 'no source can be named after the directory "/": empty name'],
      [[`${root}/C:`], `no source can be named after the directory "${root}/C:": drive prefix`],
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
    writeFileSync(join(root, "vis", "2.png"), "");
    const paths: string[] = [];
    const options: OpenSourcesOptions = {
      include: ["*.png"],
      onProblem: ({ source, reason }) => paths.push(`${source} ${reason}`),
    };
    expect(open([`${root}/vis`, `${root}/ir`], options).listed).toEqual(["vis: 2.png", "ir: "]);
    expect(paths).toEqual(["ir empty"]);
  });
});
