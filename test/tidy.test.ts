/**
 * What the repository promises about itself: line width, nothing left over, links and names of files that lead
 * somewhere, two set-up commands, a changelog entry. Each rule is tried on text that breaks it before it is trusted.
 */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import manifest from "../package.json" with { type: "json" };
import { commentsOf, readSource } from "./support/source-text.ts";

const root = join(import.meta.dir, "..");
const widthMax = 120;
/** ARCHITECTURE is one page. */
const pageLinesMax = 115;

/** Whatever lies in the repository, with `/` between segments, but for what is installed or built. */
const paths: readonly string[] = [
  ...readdirSync(root),
  ...["src", "test", "scripts"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map(
      (path) => `${folder}/${path.replaceAll("\\", "/")}`,
    ),
  ),
].toSorted();

/** Files whose name ends so: path from the root, and text. */
function readFiles(ending: RegExp): [string, string][] {
  return paths.filter((path) => ending.test(path)).map((path) => [path, readFileSync(join(root, path), "utf8")]);
}

function complaintsByLine(path: string, text: string, complain: (line: string) => string | undefined): string[] {
  return text.split("\n").flatMap((line, index) => {
    const complaint = complain(line);
    return complaint === undefined ? [] : [`${path}:${index + 1}: ${complaint}`];
  });
}

/** A table row of Markdown cannot be broken, nor can a string of code that is one word. */
function widthComplaints(path: string, text: string): string[] {
  return complaintsByLine(path, text, (line) => {
    const breakable = !(path.endsWith(".md") && line.startsWith("|")) && /\S\s+\S/.test(line.slice(0, widthMax).trim());
    return line.length > widthMax && breakable ? `${line.length} columns, at most ${widthMax}` : undefined;
  });
}

function leftoverComplaints(path: string, text: string): string[] {
  return complaintsByLine(path, text, (line) => {
    const leftover = /\b(?:fixme|xxx|todo|hack)\b/i.exec(line)?.[0];
    return leftover === undefined ? undefined : `left over: ${leftover}`;
  });
}

function consoleComplaints(path: string, text: string): string[] {
  const { codeOnly } = readSource(text);
  return complaintsByLine(path, codeOnly, (line) => {
    const word = /\b(?:console\.\w+|debugger)\b/.exec(line)?.[0];
    return word === undefined ? undefined : `${word}: standard output is for data, messages go through cli/messages.ts`;
  });
}

/** Relative links whose file is not there. Code is not read for links. */
function linkComplaints(path: string, text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, (code) => code.replace(/[^\n]/g, "")).replace(/`[^`\n]*`/g, "");
  const link = /\]\((?![a-z]+:|#)(?<to>[^)#\s]+)/g;
  return complaintsByLine(path, prose, (line) => {
    const broken = [...line.matchAll(link)]
      .map(({ groups }) => groups?.["to"] ?? "")
      .filter((to) => !existsSync(join(root, dirname(path), decodeURI(to))));
    return broken.length === 0 ? undefined : `leads nowhere: ${broken.join(", ")}`;
  });
}

/** What a file says to its reader: a document but for its code blocks and addresses, the comments of a source. */
function proseOf(path: string, text: string): string {
  if (path.endsWith(".md")) {
    return text.replace(/^```[\s\S]*?^```|\bhttps?:\S+/gm, (code) => code.replace(/[^\n]/g, " "));
  }
  return commentsOf(text);
}

/** Files and folders that bear `name`: the end of their path, or the whole of it seen from the folder of `from`. */
function namedBy(name: string, from: string, known: readonly string[]): string[] {
  const wanted = name.startsWith(".") ? join(dirname(from), name).replaceAll("\\", "/") : name;
  return known.filter((path) => path === wanted || (wanted === name && path.endsWith(`/${name}`)));
}

/** Files (`sinks/open-sink.ts`, `TAR.md`) and, in back-ticks, folders (`sinks/`) that are named and not there. */
function namedFileComplaints(path: string, text: string, known: readonly string[]): string[] {
  const files = /(?<![\w/.-])(?:\.{1,2}\/)*\w[\w-]*(?:[./]\w[\w-]*)*\.(?:ts|md)\b/g;
  const folders = /(?<=`)(?!dist\/)(?:[a-z][a-z-]*\/)+(?=`)/g;
  return complaintsByLine(path, proseOf(path, text), (line) => {
    const gone = [...line.matchAll(files), ...line.matchAll(folders)]
      .map(([name]) => name)
      .filter((name) => namedBy(name.replace(/\/$/, ""), path, known).length === 0);
    return gone.length === 0 ? undefined : `not there: ${gone.join(", ")}`;
  });
}

/** Sections of a specification, and promises of ARCHITECTURE, that are cited by number and not there. */
function citationComplaints(path: string, text: string, known: readonly [string, string][]): string[] {
  const sections = /([\w/]*\w\.md)\)?,? sections? (\d+)/g;
  const promises = /promises? (\d+)(?: to (\d+))? of \[?ARCHITECTURE/g;
  const knownPaths = known.map(([document]) => document);
  const has = (name: string, heading: string): boolean => {
    const found = namedBy(name, path, knownPaths);
    const beside = found.filter((document) => dirname(document) === dirname(path));
    const meant = beside.length > 0 ? beside : found;
    return known.some(([document, words]) => meant.includes(document) && words.includes(`\n${heading}`));
  };
  // A citation may go over the end of a line.
  const prose = proseOf(path, text).replace(/\s*\n[ \t]*(?:\*[ \t]|\/\/)?\s*/g, " ");
  return [
    ...[...prose.matchAll(sections)].filter(([, name = "", number]) => !has(name, `## ${number}. `)),
    ...[...prose.matchAll(promises)].filter(
      ([, first, last = first]) => !(has("ARCHITECTURE.md", `${first}. `) && has("ARCHITECTURE.md", `${last}. `)),
    ),
  ].map(([words]) => `${path}: not there: ${words}`);
}

/** Papers that the repository does not have: what they say has to stand here. */
function foreignPaperComplaints(path: string, text: string): string[] {
  return complaintsByLine(path, text, (line) => {
    const paper = /\b(?:RE)?DESIGN\b/.exec(line)?.[0];
    return paper === undefined ? undefined : `${paper} is not in the repository`;
  });
}

function pageComplaints(path: string, text: string): string[] {
  const lines = text.trimEnd().split("\n").length;
  return lines > pageLinesMax ? [`${path}: ${lines} lines, at most ${pageLinesMax}`] : [];
}

/** The commands that set something up, in the code blocks of a text. */
function setUpCommands(text: string): string[] {
  const blocks = [...text.matchAll(/^```[^\n]*\n([\s\S]*?)^```/gm)].map(([, block]) => block ?? "");
  return blocks
    .flatMap((block) => block.split("\n"))
    .map((line) =>
      line
        .replace(/^\$ /, "")
        .replace(/\s+#.*$/, "")
        .trim(),
    )
    .filter((line) =>
      /^(?:sudo )?(?:npx|npm|bunx|apt|apt-get|brew|bun (?:i|install|add|run (?:demo|check))|git clone)\b/.test(line),
    );
}

const commands = ["demo", "check"].map((script) => `npx --yes bun@${manifest.engines.bun} run ${script}`);

/** Whether a changelog has a section for the version: `## 0.1.0`, more may follow. */
function hasEntry(changelog: string, version: string): boolean {
  const section = changelog.split(/^## /m).find((part) => part.split(/\s/)[0]?.replace(/^v|[[\]]/g, "") === version);
  return section !== undefined && section.split("\n").slice(1).join("").trim() !== "";
}

const sources = readFiles(/\.ts$/);
const documents = readFiles(/\.md$/);

test("each rule finds what breaks it", () => {
  const long = `const a = ${"b".repeat(widthMax)};`;
  expect(widthComplaints("a.ts", `short\n${long}`)).toEqual(["a.ts:2: 131 columns, at most 120"]);
  expect(widthComplaints("a.md", `| ${long}\nhttps://${"a".repeat(widthMax)}`)).toEqual([]);
  expect(leftoverComplaints("a.ts", "// later\n// FIXME: now")).toEqual(["a.ts:2: left over: FIXME"]);
  expect(consoleComplaints("a.ts", '// console.log\n"console.log"; console.log(1)')).toHaveLength(1);
  expect(linkComplaints("README.md", "[a](package.json#x) [b](gone.md)\n`[c](no.md)` [d](https://e.f)")).toEqual([
    "README.md:1: leads nowhere: gone.md",
  ]);
  const known = ["src/a/b.ts", "src/a/SPEC.md", "src/a"];
  const named =
    "// b.ts, a/b.ts, gone.ts and x/b.ts\nconst c = 1; // ./b.ts ../b.ts\n/* `a/` `dist/` `gone/` */ 'no.ts';";
  expect(namedFileComplaints("src/a/c.ts", named, known)).toEqual([
    "src/a/c.ts:1: not there: gone.ts, x/b.ts",
    "src/a/c.ts:2: not there: ../b.ts",
    "src/a/c.ts:3: not there: gone/",
  ]);
  expect(namedFileComplaints("a.md", "https://a.b/c.md\n```\nno.ts\n```\nsee [it](a/b.ts), no.md", known)).toEqual([
    "a.md:5: not there: no.md",
  ]);
  const specification: [string, string][] = [
    ["src/a/SPEC.md", "# A\n\n## 1. Terms\n"],
    ["src/ARCHITECTURE.md", "# A\n\n1. One\n2. Two\n"],
  ];
  const citing =
    "// SPEC.md section 1, SPEC.md section\n// 2, promises 1 to 3 of ARCHITECTURE, promise 2 of ARCHITECTURE";
  expect(citationComplaints("src/a/c.ts", citing, specification)).toEqual([
    "src/a/c.ts: not there: SPEC.md section 2",
    "src/a/c.ts: not there: promises 1 to 3 of ARCHITECTURE",
  ]);
  expect(foreignPaperComplaints("a.md", "Design\nsee DESIGN section 4")).toEqual([
    "a.md:2: DESIGN is not in the repository",
  ]);
  expect(pageComplaints("A.md", "a\n".repeat(pageLinesMax))).toEqual([]);
  expect(pageComplaints("A.md", "a\n".repeat(pageLinesMax + 1))).toEqual(["A.md: 116 lines, at most 115"]);
  expect(setUpCommands("npx a\n```\n$ npx b  # why\nframepipe --send\nbun install\n```\n")).toEqual([
    "npx b",
    "bun install",
  ]);
  expect(hasEntry("# Log\n\n## 0.2.0\n\ntext\n## 0.1.0\n", "0.1.0")).toBe(false);
  expect(hasEntry("# Log\n\n## 0.2.0 (day)\n\ntext\n", "0.2.0")).toBe(true);
});

test(`no line is wider than ${widthMax} columns`, () => {
  expect([...sources, ...documents].flatMap(([path, text]) => widthComplaints(path, text))).toEqual([]);
});

test("nothing is left over", () => {
  const read = [...sources, ...documents].filter(([path]) => path !== "test/tidy.test.ts");
  expect(read.flatMap(([path, text]) => leftoverComplaints(path, text))).toEqual([]);
});

test("the program prints through its messages only", () => {
  const read = sources.filter(([path]) => path.startsWith("src/"));
  expect(read.flatMap(([path, text]) => consoleComplaints(path, text))).toEqual([]);
});

test("every link in a document leads to a file", () => {
  expect(documents.length).toBeGreaterThan(0);
  expect(documents.flatMap(([path, text]) => linkComplaints(path, text))).toEqual([]);
});

test("every file and folder that a document or a comment names is there", () => {
  const complaints = [...sources, ...documents].flatMap(([path, text]) => namedFileComplaints(path, text, paths));
  expect(complaints).toEqual([]);
});

test("every section and promise that is cited is there", () => {
  expect([...sources, ...documents].flatMap(([path, text]) => citationComplaints(path, text, documents))).toEqual([]);
});

test("the repository stands alone", () => {
  const read = readFiles(/\.(?:ts|md|json|toml|c)$/).filter(([path]) => path !== "test/tidy.test.ts");
  expect(read.flatMap(([path, text]) => foreignPaperComplaints(path, text))).toEqual([]);
});

test("ARCHITECTURE is one page", () => {
  const path = "src/ARCHITECTURE.md";
  expect(pageComplaints(path, readFileSync(join(root, path), "utf8"))).toEqual([]);
});

test("README has exactly two set-up commands, with the Bun that package.json pins", () => {
  expect(setUpCommands(readFileSync(join(root, "README.md"), "utf8"))).toEqual(commands);
});

test("CI calls the second of them", () => {
  const lines = readFileSync(join(root, ".ci/run"), "utf8").trim().split("\n");
  expect(lines.at(-1)?.replace(/^exec /, "")).toBe(commands[1] ?? "");
});

test("CHANGELOG has an entry for this version", () => {
  expect(hasEntry(readFileSync(join(root, "CHANGELOG.md"), "utf8"), manifest.version)).toBe(true);
});

test("every dependency is pinned to one version", () => {
  const ranges = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
  expect(ranges.filter(([, range]) => !/^\d+\.\d+\.\d+$/.test(range))).toEqual([]);
  expect(manifest.packageManager).toBe(`bun@${manifest.engines.bun}`);
});
