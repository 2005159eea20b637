/** What is read as a request, who is answered what, and figures as text. */
import { describe, expect, test } from "bun:test";
import { type Answers, answerTo } from "../../src/live/answers.ts";
import { metricsText, receiverMetrics } from "../../src/live/metrics.ts";
import type { Trouble } from "../../src/live/page-api.ts";
import { encodeAnswer, parseRequest } from "../../src/live/request.ts";
import { noOutcomes } from "../../src/outcomes.ts";

const token = "0123456789abcdef";
let trouble: Trouble | undefined;
const answers: Answers = {
  hosts: new Set(["localhost:9100", "127.0.0.1:9100", "[::1]:9100"]),
  token,
  trouble: () => trouble,
  metrics: () => "figures\n",
};

function ask(first: string, ...fields: string[]): number {
  return answerTo(parseRequest([first, ...fields].join("\r\n")), answers).status;
}

describe("a request", () => {
  test("is its method, path, and three fields", () => {
    const head =
      "GET /metrics?a=b HTTP/1.1\r\nHOST:  LocalHost:9100 \r\nX-Other: 1\r\nX-Other: 2\r\nAuthorization: Bearer x";
    expect(parseRequest(head)).toEqual({
      method: "GET",
      path: "/metrics",
      host: "localhost:9100",
      origin: undefined,
      authorization: "Bearer x",
    });
  });

  test.each([
    "",
    "GET",
    "GET /",
    "get / HTTP/1.1",
    "GET  / HTTP/1.1",
    "GET / HTTP/2.0",
    "GET http://localhost:9100/ HTTP/1.1",
    "GET healthz HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET /\x00 HTTP/1.1",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b",
    "GET / HTTP/1.1\r\nOrigin: a\r\norigin: a",
    "GET / HTTP/1.1\r\nAuthorization: a\r\nAuthorization: b",
    "GET / HTTP/1.1\r\nHost: a\r\n folded",
    "GET / HTTP/1.1\r\nHost : a",
    "GET / HTTP/1.1\r\nno field",
    "GET / HTTP/1.1\nHost: a",
  ])("is none of: %j", (head) => expect(parseRequest(head)).toBeUndefined());
});

describe("an answer", () => {
  const host = "Host: localhost:9100";
  const shown = `Authorization: Bearer ${token}`;

  test("on health is for anybody, and says why not", () => {
    expect(ask("GET /healthz HTTP/1.1", host)).toBe(200);
    expect(ask("HEAD /healthz HTTP/1.0", "Host: [::1]:9100")).toBe(200);
    trouble = "held";
    const request = parseRequest(`GET /healthz HTTP/1.1\r\n${host}`);
    expect(answerTo(request, answers)).toEqual({ status: 503, body: "held\n" });
    trouble = undefined;
  });

  test("with figures is for who shows the token", () => {
    expect(ask("GET /metrics HTTP/1.1", host, shown)).toBe(200);
    expect(ask("GET /metrics HTTP/1.1", host, `authorization: bearer  ${token}`)).toBe(200);
    const wrong = [
      "",
      "Bearer",
      `Basic ${token}`,
      token,
      `Bearer ${token}0`,
      `Bearer ${token.slice(1)}`,
      "Bearer \u00e9",
    ];
    for (const value of wrong) {
      expect([value, ask("GET /metrics HTTP/1.1", host, `Authorization: ${value}`)]).toEqual([value, 401]);
    }
    expect(ask("GET /metrics HTTP/1.1", host)).toBe(401);
    expect(ask(`GET /metrics?token=${token} HTTP/1.1`, host)).toBe(401);
  });

  test("is refused to a name that somebody else has for us, and to pages of others", () => {
    for (const other of ["evil.example:9100", "localhost", "localhost:9101", "localhost:9100.evil.example", ""]) {
      expect([other, ask("GET /healthz HTTP/1.1", `Host: ${other}`, shown)]).toEqual([other, 421]);
    }
    expect(ask("GET /healthz HTTP/1.0")).toBe(421);
    for (const origin of ["http://evil.example", "null", "https://localhost:9100", "http://127.0.0.1:9100"]) {
      expect([origin, ask("GET /metrics HTTP/1.1", host, shown, `Origin: ${origin}`)]).toEqual([origin, 403]);
    }
    expect(ask("GET /metrics HTTP/1.1", host, shown, "Origin: http://localhost:9100")).toBe(200);
  });

  test("is nothing else", () => {
    expect(ask("POST /metrics HTTP/1.1", host, shown)).toBe(405);
    for (const path of ["/", "/metrics/", "//metrics", "/../metrics", "/%6detrics", "/healthz%00"]) {
      expect([path, ask(`GET ${path} HTTP/1.1`, host, shown)]).toEqual([path, 404]);
    }
    expect(answerTo(undefined, answers).status).toBe(400);
  });

  test("ends the connection, says its length, and cannot be kept or run", () => {
    const answer = { status: 200, body: "ü\n" };
    const text = Buffer.from(encodeAnswer(answer, true)).toString();
    expect(text).toStartWith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n");
    expect(text).toEndWith("\r\nConnection: close\r\n\r\nü\n");
    for (const field of ["Cache-Control: no-store", "X-Content-Type-Options: nosniff", "default-src 'none'"]) {
      expect(text).toContain(field);
    }
    expect(Buffer.from(encodeAnswer(answer, false)).toString()).toBe(text.slice(0, -2));
  });
});

test("figures are text that Prometheus reads, whatever devices are called", () => {
  const frames = { ...noOutcomes(), stored: 7 };
  const origin = { device: 'a"b\\c', source: "d\ne", frames, storedBytes: 1e12, receivedBytes: 5 };
  const text = metricsText(receiverMetrics([origin], new Map([["dropped", 3]]), 2));
  expect(text).toContain(
    '# TYPE framepipe_frames gauge\nframepipe_frames{device="a\\"b\\\\c",source="d\\ne",outcome="stored"} 7\n',
  );
  expect(text).toContain('\nframepipe_gap_frames_total{reason="dropped"} 3\n');
  expect(text).toContain("\nframepipe_connections 2\n");
  const line = /^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{(?:\w+="(?:[^"\\\n]|\\["\\n])*",?)+\})? [\d.e+]+)$/;
  for (const each of text.trimEnd().split("\n")) expect(each).toMatch(line);
  expect(metricsText(receiverMetrics([], new Map(), 0))).not.toContain("framepipe_frames");
});
