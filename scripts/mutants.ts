/**
 * How much the tests catch: small faults are put into `src/`, one at a time, and the tests are run.
 *
 *   bun scripts/mutants.ts list [--seed 9] [--count 40]    draws scripts/mutants.json anew
 *   bun scripts/mutants.ts run [--only 3,14] [--jobs 1] [--baseline]
 *
 * `list` keeps what is noted of a mutant that it draws again, and draws one more for each noted to be `equivalent`: one
 * that no test could tell from the original. `run` works in copies of this checkout. It finds a line by its text, since
 * files move; where that fails, `now` in the list can name the new place. `--baseline` writes the outcomes into the
 * list, for later runs to be compared with. A mutant is caught by a test file that is green without it and, with it,
 * red twice: once among the others, once alone.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { Random } from "../test/support/random.ts";
import { importsOf, readSource } from "../test/support/source-text.ts";
import { root } from "./project.ts";

/** A line and what it becomes, both trimmed. */
interface Place {
  readonly file: string;
  readonly before: string;
  readonly after: string;
  /** Which of the equal lines of the file, from 1. */
  readonly occurrence: number;
}

interface Mutant extends Place {
  readonly kind: string;
  readonly equivalent?: true;
  readonly reason?: string;
  readonly now?: Place;
  baseline?: "caught" | "survived";
  by?: string | undefined;
  readonly note?: string;
}

/** Path below the root, and text. */
type Tree = ReadonlyMap<string, string>;

const listPath = join(import.meta.dir, "mutants.json");
const perFileMax = 2;
/** They test the text of the repository, or its speed. */
const aside = /(?:^|\/)(?:tidy|layers|build)\.test\.ts$|\/bench\//;
const simulation = /\/simulation\//;
/** They run the executable, which has to be built anew for each mutant. */
const endToEnd = /\/e2e\//;
/** For the three stages, and for a file alone: what takes longer hangs. */
const capMinutes = { quick: 4, simulation: 4, rest: 8, alone: 3 };

const opposites = new Map(
  ["< <=", "> >=", "=== !==", "&& ||", "true false"]
    .map((pair) => pair.split(" ") as [string, string])
    .flatMap(([one, other]) => [
      [one, other],
      [other, one],
    ]),
);
const opposite = (found: string): string => opposites.get(found) ?? `${Number(found.replaceAll("_", "")) + 1}`;
/** A call or an assignment that ends on its line, perhaps behind a condition. */
const statement = new RegExp(
  [
    /(?<=^\s*(?:(?:\} )?else )?(?:if \(.*\) )?)(?!(?:super|return|throw|yield)\b)/,
    /(?:await |void )?[\w$#.?![\]]+/,
    /(?:\(.*\)| (?:[-+*/%&|^]|\?\?|&&|\|\||<<|>>>?)?= .+|\+\+|--);$/,
  ]
    .map(({ source }) => source)
    .join(""),
  "g",
);
/** What is looked for, in a line without comments and strings, and what becomes of the text found there. */
const rules: readonly { kind: string; pattern: RegExp; change: (found: string) => string }[] = [
  { kind: "comparison", pattern: /(?<= )(?:[<>]=?|[!=]==)(?= |$)/g, change: opposite },
  { kind: "logic", pattern: /(?<= )(?:&&|\|\|)(?= |$)/g, change: opposite },
  { kind: "constant", pattern: /(?<![\w$.#])(?:\d[\d_]*(?![\w.])|true\b|false\b)/g, change: opposite },
  {
    kind: "negation",
    pattern: /(?<=\bif \().+(?=\) (?:\{$|return\b|throw\b|continue\b|break\b))/g,
    change: (found) => `!(${found})`,
  },
  { kind: "dropped", pattern: statement, change: () => ";" },
];

function mutantsOf(file: string, text: string, { kind, pattern, change }: (typeof rules)[number]): Mutant[] {
  const lines = text.split("\n");
  const codeLines = readSource(text).codeOnly.split("\n");
  return lines.flatMap((line, index) => {
    const before = line.trim();
    const occurrence = lines.slice(0, index + 1).filter((other) => other.trim() === before).length;
    return [...(codeLines[index] ?? "").matchAll(pattern)].map(({ index: at, 0: { length } }) => {
      const after = line.slice(0, at) + change(line.slice(at, at + length)) + line.slice(at + length);
      return { file, before, after: after.trim(), occurrence, kind };
    });
  });
}

/** The text with the line changed. Undefined if it is not there. */
function applied(text: string, { before, after, occurrence }: Place): string | undefined {
  const lines = text.split("\n");
  const index = [...lines.keys()].filter((at) => lines[at]?.trim() === before)[occurrence - 1];
  return index === undefined ? undefined : lines.with(index, after).join("\n");
}

/** Whether it is code that is changed, and code that it becomes; types do not count. */
function isFault(text: string, place: Place): boolean {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  try {
    return transpiler.transformSync(applied(text, place) ?? text) !== transpiler.transformSync(text);
  } catch {
    return false;
  }
}

/** Draws without end: a folder by its lines, a file in it by its lines, a kind, a mutant. */
function* draw(seed: number, tree: Tree): Generator<Mutant> {
  const random = new Random(seed);
  const drawn: Mutant[] = [];
  const pickByLines = (files: string[]): string =>
    random.pick(files.flatMap((file) => Array<string>((tree.get(file) ?? "").split("\n").length).fill(file)));
  for (;;) {
    const folder = dirname(pickByLines([...tree.keys()]));
    const hasRoom = (file: string): boolean => drawn.filter((mutant) => mutant.file === file).length < perFileMax;
    const files = [...tree.keys()].filter((file) => dirname(file) === folder && hasRoom(file));
    if (files.length === 0) continue;
    const file = pickByLines(files);
    const text = tree.get(file) ?? "";
    const mutants = mutantsOf(file, text, random.pick(rules));
    if (mutants.length === 0) continue;
    const mutant = random.pick(mutants);
    if (!isFault(text, mutant) || drawn.some((other) => isSame(other, mutant))) continue;
    drawn.push(mutant);
    yield mutant;
  }
}

function isSame(one: Place, other: Place): boolean {
  return (["file", "before", "after", "occurrence"] as const).every((key) => one[key] === other[key]);
}

/** Where the line is today: in its file, in the one of the same name, or anywhere if there is only one like it. */
function locate(tree: Tree, mutant: Mutant): Place | undefined {
  const place = mutant.now ?? mutant;
  const holders = [...tree].filter(([, text]) => applied(text, place) !== undefined).map(([file]) => file);
  if (holders.includes(place.file)) return place;
  const namesakes = holders.filter((file) => basename(file) === basename(place.file));
  if (namesakes.length === 1) return { ...place, file: namesakes[0] ?? "" };
  const everywhere = [...tree].flatMap(([file, text]) =>
    text.split("\n").flatMap((line) => (line.trim() === place.before ? [file] : [])),
  );
  return everywhere.length === 1 ? { ...place, file: everywhere[0] ?? "", occurrence: 1 } : undefined;
}

/** The TypeScript files below some folders. */
function readTree(...folders: string[]): Tree {
  const paths = folders.flatMap((folder) => [...new Bun.Glob(`${folder}/**/*.ts`).scanSync({ cwd: root })]);
  return new Map(paths.toSorted().map((path) => [path, readFileSync(join(root, path), "utf8")]));
}

/** The test files as they are run for a change in `file`: quick ones that import it, the closest first; slower ones. */
function stagesFor(tree: Tree, file: string): { quick: string[]; simulation: string[]; rest: string[] } {
  const imports = [...tree].map(([path, text]) => ({
    path,
    targets: importsOf(text).map((specifier) => join(dirname(path), specifier)),
  }));
  const reached = new Set([file]);
  for (const target of reached)
    for (const { path, targets } of imports) if (targets.includes(target)) reached.add(path);
  const tests = [...tree.keys()].filter((path) => path.endsWith(".test.ts") && !aside.test(path));
  const quick = [...reached].filter((path) => tests.includes(path) && !simulation.test(path) && !endToEnd.test(path));
  const others = tests.filter((path) => !quick.includes(path));
  return {
    quick,
    simulation: others.filter((path) => simulation.test(path)),
    rest: others.filter((path) => !simulation.test(path)),
  };
}

/** A copy of this checkout in which tests are run. */
class Copy {
  readonly #dir = mkdtempSync(join(tmpdir(), "framepipe-mutants-"));
  readonly #tree = join(this.#dir, "tree");
  #stop = (): void => {};

  constructor() {
    const { stdout } = Bun.spawnSync(["git", "ls-files", "-z", "-co", "--exclude-standard"], { cwd: root });
    const paths = stdout.toString().split("\0");
    for (const path of paths.filter((name) => name !== "" && existsSync(join(root, name))))
      cpSync(join(root, path), join(this.#tree, path));
    symlinkSync(join(root, "node_modules"), join(this.#tree, "node_modules"));
    mkdirSync(join(this.#dir, "tmp"));
    process.once("exit", () => {
      this.#stop();
      rmSync(this.#dir, { recursive: true, force: true });
    });
  }

  /** A new file makes the tests build a new executable. */
  write(file: string, text: string): void {
    writeFileSync(join(this.#tree, file), text);
  }

  /** The files that are red, and red again when they are run alone. */
  async *reds(files: readonly string[], minutes: number): AsyncGenerator<string, undefined> {
    for (let left = files; left.length > 0;) {
      const red = await this.#firstRed(left, minutes);
      if (red === undefined) break;
      if ((await this.#firstRed([red], capMinutes.alone)) === undefined) console.log(`     red only once: ${red}`);
      else yield red;
      left = left.slice(left.indexOf(red) + 1);
    }
    return undefined;
  }

  async #firstRed(files: readonly string[], minutes: number): Promise<string | undefined> {
    const log = join(this.#dir, "log");
    writeFileSync(log, "");
    const child = Bun.spawn({
      cmd: [process.execPath, "test", "--bail", "--timeout", "30000", ...files.map((file) => `./${file}`)],
      cwd: this.#tree,
      env: { ...process.env, TMPDIR: join(this.#dir, "tmp"), E2E_EXECUTABLE: undefined },
      stdio: ["ignore", "ignore", Bun.file(log)],
      detached: true,
    });
    this.#stop = () => {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // Neither it nor anything that it started is left.
      }
    };
    const timer = setTimeout(this.#stop, minutes * 60_000);
    const status = await child.exited;
    clearTimeout(timer);
    this.#stop();
    if (status === 0) return undefined;
    // The first failure ended it, so it is in the file that was named last.
    const named = [...readFileSync(log, "utf8").matchAll(/^(\S+\.test\.ts):$/gm)].map(([, file]) => file ?? "");
    return named.findLast((file) => files.includes(file)) ?? files[0];
  }
}

async function run(list: Mutant[], chosen: number[], jobs: number, asBaseline: boolean): Promise<void> {
  const sources = readTree("src");
  const tree = readTree("src", "test", "scripts");
  const startedMs = performance.now();
  const secondsSince = (ms: number): string => `${((performance.now() - ms) / 1000).toFixed(0)} s`;
  const copies = Array.from({ length: jobs }, () => new Copy());
  const all = Object.values(stagesFor(tree, "")).flat();
  const red = await Array.fromAsync(copies[0]?.reds(all, capMinutes.rest) ?? []);
  console.log(
    `without a mutant: ${red.length === 0 ? "all green" : `not counted: ${red.join(" ")}`}, ${secondsSince(startedMs)}`,
  );

  const total = { caught: 0, survived: 0, gone: 0, lost: 0 };
  const test = async (copy: Copy, index: number, mutant: Mutant): Promise<void> => {
    const sinceMs = performance.now();
    const place = locate(sources, mutant);
    let by: string | undefined;
    if (place !== undefined) {
      const text = sources.get(place.file) ?? "";
      const stages = stagesFor(tree, place.file);
      copy.write(place.file, applied(text, place) ?? text);
      for (const stage of ["quick", "simulation", "rest"] as const) {
        const files = stages[stage].filter((file) => !red.includes(file));
        by ??= (await copy.reds(files, capMinutes[stage]).next()).value;
      }
      copy.write(place.file, text);
    }
    const outcome = place === undefined ? "gone" : by === undefined ? "survived" : "caught";
    total[outcome] += 1;
    if (mutant.baseline === "caught" && outcome !== "caught") total.lost += 1;
    const was = mutant.baseline === undefined ? "" : `, was ${mutant.baseline}`;
    const line = [outcome + was, place?.file ?? mutant.file, secondsSince(sinceMs), ...(by === undefined ? [] : [by])];
    console.log(`${`${index + 1}`.padStart(3)}  ${line.join("  ")}`);
    if (!asBaseline || outcome === "gone") return;
    list[index] = { ...mutant, baseline: outcome, by };
    save(list);
  };
  const work = async (copy: Copy): Promise<void> => {
    for (let index = chosen.shift(); index !== undefined; index = chosen.shift()) {
      const mutant = list[index];
      if (mutant !== undefined) await test(copy, index, mutant);
    }
  };
  await Promise.all(copies.map(work));
  const { caught, survived, gone, lost } = total;
  console.log(
    `${caught} caught, ${survived} survived, ${gone} gone; ${lost} no longer caught; ${secondsSince(startedMs)}`,
  );
}

function save(list: readonly Mutant[]): void {
  writeFileSync(listPath, `${JSON.stringify(list, null, 2)}\n`);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string", default: "9" },
    count: { type: "string", default: "40" },
    only: { type: "string" },
    jobs: { type: "string", default: "1" },
    baseline: { type: "boolean", default: false },
  },
});
const known: Mutant[] = existsSync(listPath) ? (JSON.parse(readFileSync(listPath, "utf8")) as Mutant[]) : [];
if (positionals[0] === "list") {
  const list: Mutant[] = [];
  for (const drawn of draw(Number(values.seed), readTree("src"))) {
    list.push(known.find((other) => isSame(other, drawn)) ?? drawn);
    if (list.filter(({ equivalent }) => equivalent !== true).length === Number(values.count)) break;
  }
  save(list);
} else if (positionals[0] === "run") {
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
  const only = values.only?.split(",").map((number) => Number(number) - 1);
  const chosen = only ?? [...known.keys()].filter((index) => known[index]?.equivalent !== true);
  await run(known, chosen, Number(values.jobs), values.baseline);
} else {
  console.error("error: one of list and run is needed");
  process.exitCode = 2;
}
