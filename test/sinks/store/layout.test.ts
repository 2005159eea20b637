import { expect, test } from "bun:test";
import { UserError } from "../../../src/errors.ts";
import { Layout, layoutDefault } from "../../../src/sinks/store/layout.ts";
import { frameOf, session } from "../suite.ts";

test("fills every field, dates in UTC", () => {
  // 2023-11-14T22:13:20.123456789Z
  const frame = frameOf("day/17.jpg", "x", { sequence: 42 });
  const cases = [
    [layoutDefault, "rig/visible/day/17.jpg"],
    ["{date}/{hour}/{device}-{source}-{name}", "2023-11-14/22/rig-visible-day/17.jpg"],
    ["all/{session}/{sequence}.jpg", `all/${session}/42.jpg`],
    ["{sequence}{name}", "42day/17.jpg"],
  ] as const;
  for (const [template, path] of cases) expect(new Layout(template).pathOf(frame)).toBe(path);
});

test("the hour follows the capture time, also backwards and before 1970", () => {
  const layout = new Layout("{date}/{hour}/{name}");
  const hourNs = 3_600_000_000_000n;
  const paths = [0n, hourNs - 1n, hourNs, 0n, -1n].map((capturedNs) => layout.pathOf(frameOf("1", "", { capturedNs })));
  expect(paths).toEqual([
    "1970-01-01/00/1",
    "1970-01-01/00/1",
    "1970-01-01/01/1",
    "1970-01-01/00/1",
    "1969-12-31/23/1",
  ]);
});

test("a template that cannot work is a usage error with the fields in its hint", () => {
  const bad = [
    "{device}/{source}",
    "{name",
    "name}",
    "{}",
    "{Name}",
    "{camera}/{name}",
    "",
    "/{name}",
    "../{name}",
    ".hidden/{name}",
    "a//{name}",
  ];
  for (const template of bad) {
    const parse = (): Layout => new Layout(template);
    expect(parse).toThrow(UserError);
    expect(parse).toThrow(`--layout '${template}'`);
    expect(hintsOf(parse)).toContain("{sequence}");
  }
});

test("a path that is not safe is none", () => {
  const layout = new Layout("{date}/x{name}");
  expect(layout.pathOf(frameOf("1.jpg", ""))).toBe("2023-11-14/x1.jpg");
  for (const name of ["a/../../b", "a\\b", "n".repeat(255)]) expect(layout.pathOf(frameOf(name, ""))).toBeUndefined();
});

test("whose frame lies at a path is read from it, where the template says it", () => {
  const templates = [
    layoutDefault,
    "{date}/{hour}/{device}/{source}/{name}",
    "all/{source}.{device}/{session}/{sequence}-{name}",
    "{device}/{device}+{source}/{name}",
  ];
  for (const template of templates) {
    const layout = new Layout(template);
    expect(layout.isReadable).toBe(true);
    for (const name of ["1.jpg", "day/17.jpg", "a b/c (1)/$x.jpg", "line~2"]) {
      const path = layout.pathOf(frameOf(name, "", { sequence: 7 })) ?? "";
      expect([template, path, layout.read(path)]).toEqual([template, path, { device: "rig", source: "visible", name }]);
    }
  }
  expect(new Layout(layoutDefault).read("rig/visible")).toBeUndefined();
  expect(new Layout(layoutDefault).read("rig/visible/a\\b")).toBeUndefined();
  expect(new Layout("{device}/{device}+{source}/{name}").read("rig/other+visible/1.jpg")).toBeUndefined();
  expect(new Layout("{date}/{device}/{source}/{name}").read("today/rig/visible/1.jpg")).toBeUndefined();
  for (const template of ["{name}", "{device}/{name}", "{source}/{name}"]) {
    expect(new Layout(template).isReadable).toBe(false);
  }
});

function hintsOf(run: () => unknown): string {
  try {
    run();
    return "";
  } catch (error) {
    return error instanceof UserError ? error.hints.join() : "";
  }
}

test("whether there is a path is known of an offer, whatever of the names is long", () => {
  const layouts = [layoutDefault, "{name}", "{session}-{name}/{session}", "{device}{name}{name}", "{date}/{name}"];
  for (const template of layouts) {
    const layout = new Layout(template);
    for (const characters of [1, 100, 200, 244, 245, 255, 400, 512, 1000, 1018, 1024, 2030, 2048]) {
      for (const letter of ["n", "é"]) {
        const name = letter.repeat(characters).replace(/.{60}/g, "$&/").replace(/\/$/, "x").slice(0, characters);
        for (const long of [name, letter.repeat(characters)]) {
          const frame = frameOf(long, "x");
          const has = layout.hasPathFor(frame.origin, frame, frame.sequence);
          expect([template, long, has]).toEqual([template, long, layout.pathOf(frame) !== undefined]);
        }
      }
    }
  }
});
