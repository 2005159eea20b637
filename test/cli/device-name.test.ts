import { describe, expect, test } from "bun:test";
import { deviceNameOf, deviceTemplateProblem } from "../../src/cli/device-name.ts";
import { UserError } from "../../src/errors.ts";

const machine = { host: () => "pi", id: () => "0123456789ab" };

describe("the device's name", () => {
  test.each([
    [undefined, "pi"],
    ["{host}-{id}", "pi-0123456789ab"],
    ["site/{host}", "site/pi"],
    ["rig-7", "rig-7"],
  ])("%p is %s", (text, expected) => {
    expect(deviceNameOf(text, machine)).toBe(expected);
  });

  test("what the machine does not say is an error with a hint", () => {
    expect(() => deviceNameOf("{id}", { ...machine, id: () => undefined })).toThrow(UserError);
    expect(() => deviceNameOf("{id}", { ...machine, id: () => undefined })).toThrow("no id for {id}");
    expect(() => deviceNameOf(undefined, { ...machine, host: () => "" })).toThrow("the host name cannot name");
    // A machine without an id is asked for it only where it is used.
    expect(deviceNameOf("{host}", { ...machine, id: () => undefined })).toBe("pi");
  });

  test("what is no field, or no name whatever the fields are, is found before", () => {
    expect(deviceTemplateProblem("{host}-{id}")).toBeUndefined();
    expect(deviceTemplateProblem("{serial}")).toBe("{serial} is none of {host} {id}");
    expect(deviceTemplateProblem("../{id}")).toBeDefined();
    expect(deviceTemplateProblem("")).toBeDefined();
    expect(deviceTemplateProblem("caf\ufffd")).toBe("not valid UTF-8");
    expect(() => deviceNameOf(undefined, { ...machine, host: () => "caf\ufffd" })).toThrow("not valid UTF-8");
  });
});
