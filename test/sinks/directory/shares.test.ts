/** Whose frames go next: by example, and for any devices. */
import { expect, test } from "bun:test";
import { array, assert as check, integer, nat, option, property, record } from "fast-check";
import { nextGiver, type ShareRules } from "../../../src/sinks/directory/shares.ts";

const noQuotas: ShareRules["quotaOf"] = () => undefined;

test("nobody gives where there is room, or no limit", () => {
  expect(nextGiver([{ device: "a", bytes: 1000 }], { keepBytes: 1000, quotaOf: noQuotas })).toBeUndefined();
  expect(nextGiver([{ device: "a", bytes: 1000 }], { keepBytes: undefined, quotaOf: noQuotas })).toBeUndefined();
  expect(nextGiver([], { keepBytes: 1, quotaOf: noQuotas })).toBeUndefined();
});

test("one device cannot push out the others: who is furthest above its share gives", () => {
  const holdings = [
    { device: "quiet", bytes: 300 },
    { device: "loud", bytes: 900 },
  ];
  expect(nextGiver(holdings, { keepBytes: 1000, quotaOf: noQuotas })).toEqual({ device: "loud", bytes: 200 });
  // A quota says that more is its own.
  const quotaOf = (device: string): number | undefined => (device === "loud" ? 900 : undefined);
  expect(nextGiver(holdings, { keepBytes: 1000, quotaOf })).toEqual({ device: "quiet", bytes: 200 });
});

test("who is over its quota gives, whatever there is in all", () => {
  const holdings = [
    { device: "a", bytes: 50 },
    { device: "b", bytes: 40 },
  ];
  const quotaOf = (device: string): number | undefined => (device === "b" ? 30 : undefined);
  expect(nextGiver(holdings, { keepBytes: 1000, quotaOf })).toEqual({ device: "b", bytes: 10 });
  expect(nextGiver(holdings, { keepBytes: undefined, quotaOf })).toEqual({ device: "b", bytes: 10 });
});

test("a large limit that was passed is gone below by a part of it", () => {
  const MB = 1e6;
  const margin = (limit: number): number => limit / 32 - 65_536;
  const holdings = [{ device: "a", bytes: 41 * MB }];
  expect(nextGiver(holdings, { keepBytes: 41 * MB, quotaOf: noQuotas })).toBeUndefined();
  const bytes = MB + margin(40 * MB);
  expect(nextGiver(holdings, { keepBytes: 40 * MB, quotaOf: noQuotas })).toEqual({ device: "a", bytes });
  expect(nextGiver(holdings, { keepBytes: undefined, quotaOf: () => 40 * MB })).toEqual({ device: "a", bytes });
});

test("giving ends with no more than there may be, and takes nothing from who is within its share", () => {
  const device = record({ bytes: nat(10_000), quota: option(nat(8_000), { nil: undefined, freq: 2 }) });
  check(
    property(array(device, { maxLength: 8 }), integer({ min: 1, max: 20_000 }), (devices, keepBytes) => {
      const left = new Map(devices.map(({ bytes }, index) => [`d${index}`, bytes]));
      const quotaOf = (name: string): number | undefined => devices[Number(name.slice(1))]?.quota;
      const quotas = devices.reduce((sum, { bytes, quota = 0 }) => sum + (bytes > 0 ? quota : 0), 0);
      const scale = Math.min(1, keepBytes / quotas);
      for (let steps = 0; ; steps += 1) {
        if (steps > 1000) throw new Error("it does not come to an end");
        const holdings = [...left].map(([name, bytes]) => ({ device: name, bytes }));
        const giver = nextGiver(holdings, { keepBytes, quotaOf });
        if (giver === undefined) break;
        const before = left.get(giver.device) ?? 0;
        const after = before - giver.bytes;
        // To a byte, since bytes are whole and shares are not.
        const quota = quotaOf(giver.device);
        const unlimited = holdings.filter((each) => each.bytes > 0 && quotaOf(each.device) === undefined).length;
        const share = quota === undefined ? Math.max(0, keepBytes - quotas) / unlimited : quota * scale;
        expect(after).toBeGreaterThan(share - 1.001);
        left.set(giver.device, after);
      }
      expect([...left.values()].reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(keepBytes);
      for (const [name, bytes] of left) expect(bytes).toBeLessThanOrEqual(quotaOf(name) ?? bytes);
    }),
  );
});
