/** Who is let in: hosts, origins, tokens and tickets, as attackers have them. */
import { expect, test } from "bun:test";
import { type Fields, type Gate, offersToken, refusalOf, showsToken } from "../../src/live/server/gate.ts";
import { Tickets } from "../../src/live/server/tickets.ts";

const token = "0123456789abcdef";
const gate: Gate = { scheme: "http", hosts: new Set(["localhost:9100", "127.0.0.1:9100", "[::1]:9100"]) };
const own: Fields = { method: "GET", host: "localhost:9100", origin: null, site: null };

function statusOf(fields: Partial<Fields>, opensPage = false): number | undefined {
  return refusalOf(gate, { ...own, ...fields }, opensPage)?.status;
}

test("a name that somebody else has for us is refused, whatever it resolves to", () => {
  for (const host of ["localhost:9100", "LOCALHOST:9100", "[::1]:9100"]) {
    expect([host, statusOf({ host, origin: `http://${host.toLowerCase()}` })]).toEqual([host, undefined]);
  }
  const others = [
    "evil.example:9100",
    "localhost",
    "localhost:9101",
    "localhost:9100.evil.example",
    "localhost:9100, evil.example",
    "",
  ];
  // With the origin that such a page has: equal to the host it came from.
  for (const host of others) {
    expect([host, statusOf({ host, origin: `http://${host}` }, true)]).toEqual([host, 421]);
  }
  expect(statusOf({ host: null })).toBe(421);
});

test("pages of others are refused, and may only lead to ours", () => {
  const foreign = [
    "http://evil.example",
    "null",
    "https://localhost:9100",
    "http://127.0.0.1:9100",
    "http://localhost",
  ];
  for (const origin of foreign) expect([origin, statusOf({ origin })]).toEqual([origin, 403]);
  for (const origin of foreign) expect([origin, statusOf({ origin }, true)]).toEqual([origin, 403]);
  for (const site of ["cross-site", "same-site"]) {
    expect([site, statusOf({ site }), statusOf({ site }, true)]).toEqual([site, 403, undefined]);
  }
  for (const site of ["same-origin", "none"])
    expect(statusOf({ site, origin: "http://localhost:9100" })).toBeUndefined();
  for (const method of ["PUT", "DELETE", "OPTIONS", "TRACE"]) expect(statusOf({ method })).toBe(405);
});

test("a token is shown whole, and once", () => {
  expect(showsToken(`Bearer ${token}`, token)).toBe(true);
  expect(showsToken(`bearer  ${token}`, token)).toBe(true);
  const wrong = [
    null,
    "",
    "Bearer",
    `Basic ${token}`,
    token,
    `Bearer ${token}0`,
    `Bearer ${token.slice(1)}`,
    `Bearer ${token}, Bearer ${token}`,
    "Bearer \u00e9",
  ];
  for (const value of wrong) expect([value, showsToken(value, token)]).toEqual([value, false]);

  expect(offersToken(`framepipe.live.1, framepipe.token.${token}`, token)).toBe(true);
  for (const value of [null, "", "framepipe.live.1", `framepipe.token.${token}0`, `framepipe.token.x, ${token}`]) {
    expect([value, offersToken(value, token)]).toEqual([value, false]);
  }
});

test("a ticket is good once, soon, and for what it was issued for", () => {
  let nowMs = 0;
  const tickets = new Tickets(() => nowMs);
  const ticket = tickets.issue("/api/range?as=tar");
  expect(tickets.redeem(ticket, "/api/range?as=tar&from=x")).toBe(false);
  expect(tickets.redeem("0".repeat(32), "/api/range?as=tar")).toBe(false);
  expect(tickets.redeem(ticket, "/api/range?as=tar")).toBe(true);
  expect(tickets.redeem(ticket, "/api/range?as=tar")).toBe(false);
  const late = tickets.issue("/a");
  nowMs = 60_001;
  expect(tickets.redeem(late, "/a")).toBe(false);
  // Who asks for thousands has the newest.
  const many = Array.from({ length: 1000 }, () => tickets.issue("/a"));
  expect(many.filter((one) => tickets.redeem(one, "/a"))).toHaveLength(64);
  expect(many.slice(0, 936).some((one) => tickets.redeem(one, "/a"))).toBe(false);
});
