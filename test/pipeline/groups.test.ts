/** When frames are committed: together while they keep coming, and soon where somebody waits for each ack. */
import { expect, test } from "bun:test";
import { groupAloneMs, groupMs } from "../../src/limits.ts";
import { MemorySink } from "../sinks/memory-sink.ts";
import { openHub } from "./open-hub.ts";
import { WireClient } from "./wire-client.ts";

function open() {
  const { hub, time } = openHub(new MemorySink({ frameBytesMax: 1000 }));
  const client = new WireClient(hub, ["visible"]);
  const pass = (ms: number): void => {
    const until = time.nowMs() + ms;
    time.after(ms, () => undefined);
    while (time.nowMs() < until && time.step());
  };
  pass(1000);
  client.told();
  return { client, pass };
}

test("one frame after another, each sent when the one before is acknowledged, waits for no group", () => {
  const { client, pass } = open();
  client.frame(0, 0);
  expect(client.told()).toEqual(["ack 0 stored"]);
  for (let sequence = 1; sequence < 10; sequence += 1) {
    client.frame(0, sequence);
    pass(groupAloneMs);
    expect(client.told()).toEqual([`ack ${sequence} stored`]);
  }
});

test("frames that keep coming are committed together", () => {
  const { client, pass } = open();
  for (let sequence = 0; sequence < 4; sequence += 1) client.frame(0, sequence);
  pass(groupAloneMs);
  expect(client.told()).toEqual(["ack 0 stored", "ack 1+2 stored"]);
  client.frame(0, 4);
  client.frame(0, 5);
  pass(groupMs - 1);
  expect(client.told()).toEqual([]);
  pass(1);
  expect(client.told()).toEqual(["ack 4+1 stored"]);
});
