/** Addresses as people type them, and as they are shown. */
import { expect, test } from "bun:test";
import { isIPv6 } from "node:net";
import * as fc from "fast-check";
import { formatAddress, isLoopback, parseAddress } from "../src/address.ts";

test.each<[string, [host: string | undefined, port: number] | undefined]>([
  ["8000", [undefined, 8000]],
  [":8000", [undefined, 8000]],
  ["0", [undefined, 0]],
  ["localhost:8000", ["localhost", 8000]],
  ["camera-store.lan:80", ["camera-store.lan", 80]],
  ["under_score:80", ["under_score", 80]],
  ["127.0.0.1:65535", ["127.0.0.1", 65_535]],
  ["[::1]:8000", ["::1", 8000]],
  ["[1:2:3:4:5:6:7:8]:8000", ["1:2:3:4:5:6:7:8", 8000]],
  ["[fe80::1%eth0]:8000", ["fe80::1%eth0", 8000]],
  ["bücher.example:80", ["bücher.example", 80]],
  ["::1:8000", undefined],
  ["[localhost]:80", undefined],
  ["[]:80", undefined],
  ["localhost", undefined],
  ["localhost:", undefined],
  ["localhost:65536", undefined],
  ["localhost:http", undefined],
  ["localhost:-1", undefined],
  ["10.0.0:80", undefined],
  ["1.2.3.400:80", undefined],
  ["1.2.3.4.5:80", undefined],
  ["01.2.3.4:80", undefined],
  ["1.2.3.4.:80", undefined],
  ["255.249.199.99:80", ["255.249.199.99", 80]],
  ["a b:80", undefined],
  ["-x:80", undefined],
  ["http://host:80", undefined],
  ["", undefined],
])("address %p", (text, expected) => {
  const parsed = parseAddress(text);
  expect(parsed === undefined ? undefined : [parsed.host, parsed.port]).toEqual(expected);
  // What is printed can be typed again.
  if (parsed?.host !== undefined) expect(parseAddress(formatAddress(parsed.host, parsed.port))).toEqual(parsed);
});

test.each<[string, boolean]>([
  ["localhost", true],
  ["LOCALHOST", true],
  ["127.0.0.1", true],
  ["127.255.0.9", true],
  ["::1", true],
  ["0:0:0:0:0:0:0:1", true],
  ["::", false],
  ["::2", false],
  ["::11", false],
  ["1::1", false],
  ["fe80::1", false],
  ["0.0.0.0", false],
  ["128.0.0.1", false],
  ["10.127.0.1", false],
  ["127.0.0.1.example", false],
  ["localhost.example", false],
  ["host", false],
])("loopback %p", (host, loopback) => expect(isLoopback(host)).toBe(loopback));

test("an IPv6 address is what node:net takes for one", () => {
  const group = fc.constantFrom("", "0", "1f", "FFFF", "12345", "g", "1.2.3.4", "1.2.3", "01.2.3.4");
  const zone = fc.constantFrom("", "", "%", "%eth0", "%-.:", "%a_b", "%a%b");
  const made = fc.tuple(fc.array(group, { maxLength: 10 }), zone).map(([groups, end]) => groups.join(":") + end);
  const digits = fc.array(fc.constantFrom<string[]>("0", "1f", "FFFF"), { minLength: 6, maxLength: 9 });
  const nearly = fc.tuple(digits, fc.nat(9)).map(([groups, at]) => groups.toSpliced(at, 0, "").join(":"));
  fc.assert(
    fc.property(fc.oneof(made, nearly, fc.ipV6()), (host) => {
      expect(parseAddress(`[${host}]:1`) !== undefined).toBe(isIPv6(host));
    }),
    { numRuns: 20_000 },
  );
});
