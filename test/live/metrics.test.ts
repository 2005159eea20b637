/** Figures as text. */
import { expect, test } from "bun:test";
import { metricsText, receiverMetrics } from "../../src/live/metrics.ts";
import { noOutcomes } from "../../src/outcomes.ts";

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
