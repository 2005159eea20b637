import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { applicationId, hashedId, idIn, machineId } from "../../src/system/machine-id.ts";

const id = "3d1219c7c4c5404aaa1f6d2a48adfda4";
const systemd = Bun.which("systemd-id128");
const isBoard = existsSync("/proc/device-tree/serial-number");
const hasId = existsSync("/etc/machine-id") && idIn(readFileSync("/etc/machine-id", "utf8")) !== undefined;

describe("the machine's id", () => {
  test("is hashed: the id itself cannot be seen, and another serial number is another machine", () => {
    const one = hashedId({ id, serial: undefined });
    // HMAC-SHA256 of the application's id with the machine's id as key, by openssl.
    expect(one).toBe("424d2ebf850f");
    expect(hashedId({ id, serial: "10000000abcdef01" })).not.toBe(one as string);
    expect(hashedId({ id, serial: "10000000abcdef01" })).toMatch(/^[0-9a-f]{12}$/);
    expect(hashedId({ id: undefined, serial: "10000000abcdef01" })).toMatch(/^[0-9a-f]{12}$/);
    expect(hashedId({ id: undefined, serial: undefined })).toBeUndefined();
  });

  test.each([
    ["3d1219c7c4c5404aaa1f6d2a48adfda4\n", id],
    ['    "IOPlatformUUID" = "3D1219C7-C4C5-404A-AA1F-6D2A48ADFDA4"\n', id],
    ["    MachineGuid    REG_SZ    3d1219c7-c4c5-404a-aa1f-6d2a48adfda4\r\n", id],
    ["uninitialized\n", undefined],
    ["", undefined],
    ["00000000000000000000000000000000", undefined],
  ])("in %j", (text, expected) => {
    expect(idIn(text)).toBe(expected as string);
  });

  test.skipIf(systemd === null || isBoard || !hasId)("is what systemd makes of it for this application", () => {
    const said = Bun.spawnSync(["systemd-id128", "machine-id", `--app-specific=${applicationId}`]).stdout.toString();
    expect(said.startsWith(machineId() ?? "nothing")).toBe(true);
  });

  test("a system that nobody knows has none", () => {
    expect(machineId("aix")).toBeUndefined();
  });
});
