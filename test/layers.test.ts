/**
 * Imports go down the layers, the protocol does no I/O, and nothing lies about unused. Each rule is a function from
 * source texts to complaints; it is tried on a small tree that breaks it, then on `src/`.
 */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { importsOf, readSource } from "./support/source-text.ts";

const root = join(import.meta.dir, "..");

/**
 * The layers, lowest first. A file imports from lower ones or from its own folder, and from no neighbour in its layer.
 * This is the only place that says so; `src/ARCHITECTURE.md` draws it.
 */
const layers: readonly (readonly string[])[] = [
  [
    "frame.ts",
    "limits.ts",
    "errors.ts",
    "ports.ts",
    "names.ts",
    "notes.ts",
    "outcomes.ts",
    "outcome-ranges.ts",
    "events.ts",
    "size-text.ts",
    "address.ts",
    "quantities.ts",
    "template.ts",
    "image-format.ts",
    "back-to-back.ts",
    "heap.ts",
    "merge.ts",
    "times.ts",
  ],
  ["bytes/"],
  ["protocols/", "splitters/", "security/"],
  ["system/", "archive-formats/"],
  ["sources/", "sinks/", "transport/", "trust/"],
  ["pipeline/", "reading/"],
  ["live/"],
  ["cli/"],
  ["main.ts"],
];

/**
 * Folders whose own folders are kinds of one thing. A kind imports from no other kind; the files beside the kinds and
 * the libraries named here serve all of them, and no library imports from a kind.
 */
const families: Readonly<Record<string, readonly string[]>> = {
  "archive-formats/": [],
  "protocols/": [],
  "sinks/": ["archive/", "remote/", "store/"],
  "sources/": ["files/"],
};

/** Takes bytes and a time, returns events and bytes: so whole conversations run from a seed, without a machine. */
const pureUnits = new Set([...(layers[0] ?? []), "bytes/", "protocols/", "splitters/", "security/"]);

/** Modules of the runtime that a pure folder may use all the same: they compute and do nothing else. */
const pureModules: Readonly<Record<string, readonly string[]>> = { "security/": ["node:crypto"] };

/** Not reachable from `main.ts`, and why it stays all the same. */
const unreachable: Readonly<Record<string, string>> = {
  "sinks/testing/memory-store.ts":
    "the store of the tests of everything above the sinks; it passes the same suite as the others",
};

/** Path below `src/`, and text. */
type Tree = ReadonlyMap<string, string>;

function readTree(dir: string): Tree {
  const paths = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts"));
  return new Map(paths.toSorted().map((path) => [path.replaceAll("\\", "/"), readFileSync(join(dir, path), "utf8")]));
}

/** The entry of the layer table that a file belongs to: its first folder, or itself. */
function unitOf(path: string): string {
  const slash = path.indexOf("/");
  return slash === -1 ? path : path.slice(0, slash + 1);
}

function layerOf(path: string): number {
  return layers.findIndex((units) => units.includes(unitOf(path)));
}

/** Files of the tree that a file imports, as paths below `src/`. */
function filesImported(tree: Tree, path: string): string[] {
  return importsOf(tree.get(path) ?? "")
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => normalize(join(dirname(path), specifier)).replaceAll("\\", "/"));
}

function layerComplaints(tree: Tree): string[] {
  const complaints: string[] = [];
  for (const path of tree.keys()) {
    const layer = layerOf(path);
    if (layer === -1) complaints.push(`${path}: in no layer of the table`);
    for (const target of filesImported(tree, path)) {
      // package.json is data, read for its version.
      if (target === "../package.json") continue;
      if (!tree.has(target)) complaints.push(`${path}: imports ${target}, which is not there`);
      else if (layerOf(target) > layer) complaints.push(`${path}: imports ${target}, a layer above`);
      else if (layerOf(target) === layer && layer > 0 && unitOf(target) !== unitOf(path)) {
        complaints.push(`${path}: imports ${target}, a neighbour in its layer`);
      }
    }
  }
  return complaints;
}

/** Kinds of one thing that know each other, and libraries of kinds that know a kind. */
function familyComplaints(tree: Tree): string[] {
  const complaints: string[] = [];
  for (const path of tree.keys()) {
    const libraries = families[unitOf(path)];
    const from = folderWithin(path);
    if (libraries === undefined || from === undefined) continue;
    for (const target of filesImported(tree, path)) {
      const to = unitOf(target) === unitOf(path) ? folderWithin(target) : undefined;
      if (to === undefined || to === from || libraries.includes(to)) continue;
      complaints.push(`${path}: imports ${target}, ${libraries.includes(from) ? "a kind" : "another kind"}`);
    }
  }
  return complaints;
}

/** The second folder of a path: `store/` of `sinks/store/layout.ts`. Undefined: it lies beside the folders. */
function folderWithin(path: string): string | undefined {
  const [, folder, ...rest] = path.split("/");
  return rest.length === 0 ? undefined : `${folder}/`;
}

/** Each cycle once, from the file where the search met it. */
function cycleComplaints(tree: Tree): string[] {
  const complaints: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const met = trail.indexOf(path);
    if (met !== -1) complaints.push([...trail.slice(met), path].join(" -> "));
    if (met !== -1 || done.has(path)) return;
    for (const target of filesImported(tree, path)) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of tree.keys()) visit(path, []);
  return complaints;
}

const impureWords =
  /(?<![\w$#.])(?:Bun|process|console|performance|crypto|fetch|set(?:Timeout|Interval|Immediate)|queueMicrotask)\b|\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\b(?:random|generate[KP])\w*/g;

function purityComplaints(tree: Tree): string[] {
  const complaints: string[] = [];
  for (const [path, text] of tree) {
    if (!pureUnits.has(unitOf(path))) continue;
    for (const specifier of importsOf(text)) {
      const computes = pureModules[unitOf(path)]?.includes(specifier) === true;
      if (!specifier.startsWith(".") && !computes) complaints.push(`${path}: imports ${specifier}`);
    }
    const { codeOnly } = readSource(text);
    // The one thing of the runtime that computes and does nothing else.
    const code = path === "bytes/checksum.ts" ? codeOnly.replaceAll("Bun.hash.crc32", "") : codeOnly;
    for (const [word] of code.matchAll(impureWords)) complaints.push(`${path}: uses ${word}`);
  }
  return complaints;
}

function exitComplaints(tree: Tree): string[] {
  return [...tree]
    .filter(
      ([path, text]) => path !== "main.ts" && /\bprocess\.(?:exit|abort)\b(?!Code)/.test(readSource(text).codeOnly),
    )
    .map(([path]) => `${path}: ends the process; return a status, main.ts exits`);
}

function deadFileComplaints(tree: Tree, allowed: Readonly<Record<string, string>>, usedByTests: Set<string>): string[] {
  const reached = new Set<string>();
  const visit = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const target of filesImported(tree, path)) visit(target);
  };
  visit("main.ts");
  const complaints: string[] = [];
  for (const path of tree.keys()) {
    if (!reached.has(path) && !(path in allowed)) complaints.push(`${path}: main.ts does not reach it`);
  }
  for (const path of Object.keys(allowed)) {
    if (!tree.has(path)) complaints.push(`${path}: allowed to be unreachable, but is not there`);
    else if (reached.has(path)) complaints.push(`${path}: allowed to be unreachable, but main.ts reaches it`);
    else if (!usedByTests.has(path))
      complaints.push(`${path}: allowed to be unreachable, but no test or script uses it`);
  }
  return complaints;
}

/** Files of `src/` that tests and scripts import. */
function readUsedByTests(): Set<string> {
  const used = new Set<string>();
  for (const folder of ["test", "scripts"]) {
    for (const [path, text] of readTree(join(root, folder))) {
      for (const specifier of importsOf(text)) {
        const target = normalize(join(folder, dirname(path), specifier)).replaceAll("\\", "/");
        if (target.startsWith("src/")) used.add(target.slice("src/".length));
      }
    }
  }
  return used;
}

const tree = readTree(join(root, "src"));

function treeOf(files: Record<string, string>): Tree {
  return new Map(Object.entries(files));
}

test("imports are seen in every form, and not in comments and strings", () => {
  const text = [
    'import { a } from "./a.ts";',
    'import type {\n  B,\n  C,\n} from "./b.ts";',
    'export * from "./c.ts";',
    'export type { D } from "./d.ts";',
    'import "./e.ts";',
    'const f = await import("./f.ts");',
    'type G = import("./g.ts").G;',
    '// import { no } from "./no.ts";',
    '/* import "./no.ts"; */',
    "const text = `import x from './no.ts'`;".replaceAll("'./no.ts'", "no"),
    "const quote = /[\"'`]/; // a regular expression that would open a string",
    'import { h } from "./h.ts";',
  ].join("\n");
  expect(importsOf(text)).toEqual(["a", "b", "c", "d", "e", "f", "g", "h"].map((name) => `./${name}.ts`));
});

test("words are seen in code and in the code of templates, and not in comments and strings", () => {
  const { codeOnly } = readSource('a(); // b\n"c"; /* d */ `e ${f} g`; h = i / j / k; m = /n"/;');
  expect(codeOnly.match(/[a-z]/g)).toEqual(["a", "f", "h", "i", "j", "k", "m"]);
});

test("a wrong import is found", () => {
  const wrong = treeOf({
    "limits.ts": 'import type { R } from "./bytes/ring.ts";',
    "bytes/ring.ts": "",
    "sources/a.ts": 'import { s } from "../sinks/s.ts";\nimport { r } from "../bytes/ring.ts";',
    "sinks/s.ts": 'import { gone } from "./gone.ts";',
    "extra/x.ts": "",
    "main.ts": 'import manifest from "../package.json" with { type: "json" };',
  });
  expect(layerComplaints(wrong)).toEqual([
    "limits.ts: imports bytes/ring.ts, a layer above",
    "sources/a.ts: imports sinks/s.ts, a neighbour in its layer",
    "sinks/s.ts: imports sinks/gone.ts, which is not there",
    "extra/x.ts: in no layer of the table",
  ]);
});

test("imports go down the layers", () => {
  expect(layerComplaints(tree)).toEqual([]);
});

test("a kind that knows another kind is found", () => {
  const known = treeOf({
    "sinks/open-sink.ts": 'import { d } from "./directory/d.ts";',
    "sinks/directory/d.ts": 'import { s } from "../store/s.ts";\nimport { t } from "../tar/t.ts";',
    "sinks/store/s.ts": 'import { a } from "../archive/a.ts";',
    "sinks/archive/a.ts": 'import { t } from "../tar/t.ts";\nimport { x } from "../../sources/watch/x.ts";',
    "sinks/tar/t.ts": 'import { e } from "./e.ts";',
    "sinks/tar/e.ts": "",
    "sources/watch/x.ts": "",
  });
  expect(familyComplaints(known)).toEqual([
    "sinks/directory/d.ts: imports sinks/tar/t.ts, another kind",
    "sinks/archive/a.ts: imports sinks/tar/t.ts, a kind",
  ]);
});

test("kinds of sinks, sources, protocols and archives do not know each other", () => {
  expect(familyComplaints(tree)).toEqual([]);
});

test("a cycle is found", () => {
  const cyclic = treeOf({
    "protocols/wire/a.ts": 'import { b } from "./b.ts";',
    "protocols/wire/b.ts": 'import type { c } from "./c.ts";',
    "protocols/wire/c.ts": 'import { b } from "./b.ts";',
  });
  expect(cycleComplaints(cyclic)).toEqual(["protocols/wire/b.ts -> protocols/wire/c.ts -> protocols/wire/b.ts"]);
});

test("there are no cycles", () => {
  expect(cycleComplaints(tree)).toEqual([]);
});

test("input, output, time and chance are found in a pure folder", () => {
  const impure = treeOf({
    "protocols/a.ts": 'import { readFileSync } from "node:fs";\nconst id = `${Math.random()}`;\nconst t = Date.now();',
    "protocols/wire/b.ts": 'import { x } from "commander"; setTimeout(() => process.exit(), 1);',
    "protocols/wire/c.ts":
      "// Bun and process may be named here.\nthis.#process(); session.process(performance.now());",
    "bytes/checksum.ts": "Bun.hash.crc32(a); Bun.hash(a);",
    "bytes/e.ts": 'import { createHash } from "node:crypto";',
    "security/f.ts": 'import { createHash, randomBytes } from "node:crypto";\nimport { readSync } from "node:fs";',
    "sinks/d.ts": "Date.now();",
  });
  expect(purityComplaints(impure)).toEqual([
    "protocols/a.ts: imports node:fs",
    "protocols/a.ts: uses Math.random",
    "protocols/a.ts: uses Date.now",
    "protocols/wire/b.ts: imports commander",
    "protocols/wire/b.ts: uses setTimeout",
    "protocols/wire/b.ts: uses process",
    "protocols/wire/c.ts: uses performance",
    "bytes/checksum.ts: uses Bun",
    "bytes/e.ts: imports node:crypto",
    "security/f.ts: imports node:fs",
    "security/f.ts: uses randomBytes",
  ]);
});

test("the protocol does no input, output, time or chance", () => {
  expect(purityComplaints(tree)).toEqual([]);
});

test("a process.exit outside main.ts is found", () => {
  const exits = treeOf({
    "main.ts": "process.exit(0);",
    "cli/a.ts": "process.exit(1);",
    "cli/b.ts": "process.exitCode = 1;",
  });
  expect(exitComplaints(exits)).toEqual(["cli/a.ts: ends the process; return a status, main.ts exits"]);
});

test("only main.ts ends the process", () => {
  expect(exitComplaints(tree)).toEqual([]);
});

test("a dead file and a stale allowance are found", () => {
  const dead = treeOf({
    "main.ts": 'import { a } from "./cli/a.ts";',
    "cli/a.ts": "",
    "cli/dead.ts": "",
    "sinks/memory.ts": "",
    "sinks/unused.ts": "",
  });
  const allowed = { "sinks/memory.ts": "", "sinks/unused.ts": "", "cli/a.ts": "", "sinks/gone.ts": "" };
  expect(deadFileComplaints(dead, allowed, new Set(["sinks/memory.ts"]))).toEqual([
    "cli/dead.ts: main.ts does not reach it",
    "sinks/unused.ts: allowed to be unreachable, but no test or script uses it",
    "cli/a.ts: allowed to be unreachable, but main.ts reaches it",
    "sinks/gone.ts: allowed to be unreachable, but is not there",
  ]);
});

test("main.ts reaches every file", () => {
  expect(deadFileComplaints(tree, unreachable, readUsedByTests())).toEqual([]);
});
