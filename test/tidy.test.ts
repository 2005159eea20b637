/**
 * What the repository promises about itself: line width, nothing left over, links that lead somewhere, two set-up
 * commands, a changelog entry. Each rule is tried on text that breaks it before it is trusted.
 */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import manifest from "../package.json" with { type: "json" };
import { readSource } from "./support/source-text.ts";

const root = join(import.meta.dir, "..");
const widthMax = 120;

/** TypeScript and Markdown files of the repository: path from the root, and text. */
function readFiles(extension: ".ts" | ".md"): [string, string][] {
  const folders = ["src", "test", "scripts"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((path) => join(folder, path)),
  );
  return [...readdirSync(root), ...folders]
    .filter((path) => path.endsWith(extension))
    .toSorted()
    .map((path) => [path, readFileSync(join(root, path), "utf8")]);
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
  const section = changelog.split(/^## /m).find((part) => part.split(/\s/)[0]?.replace(/[[\]v]/g, "") === version);
  return section !== undefined && section.split("\n").slice(1).join("").trim() !== "";
}

const sources = readFiles(".ts");
const documents = readFiles(".md");

test("each rule finds what breaks it", () => {
  const long = `const a = ${"b".repeat(widthMax)};`;
  expect(widthComplaints("a.ts", `short\n${long}`)).toEqual(["a.ts:2: 131 columns, at most 120"]);
  expect(widthComplaints("a.md", `| ${long}\nhttps://${"a".repeat(widthMax)}`)).toEqual([]);
  expect(leftoverComplaints("a.ts", "// later\n// FIXME: now")).toEqual(["a.ts:2: left over: FIXME"]);
  expect(consoleComplaints("a.ts", '// console.log\n"console.log"; console.log(1)')).toHaveLength(1);
  expect(linkComplaints("README.md", "[a](package.json#x) [b](gone.md)\n`[c](no.md)` [d](https://e.f)")).toEqual([
    "README.md:1: leads nowhere: gone.md",
  ]);
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
