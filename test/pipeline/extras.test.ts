/** What a source knows of a frame beside its bytes is with the frame when it is stored, over real sockets. */
import { expect, test } from "bun:test";
import type { ReceiverEvent } from "../../src/events.ts";
import { type FrameEntry, Note } from "../../src/frame.ts";
import { runReceiver } from "../../src/pipeline/receive.ts";
import { runSender } from "../../src/pipeline/send.ts";
import type { Listed, ListedStretch, OpenedFrame, Source } from "../../src/ports.ts";
import { MemorySink } from "../sinks/memory-sink.ts";

const lux = new Map([["lux", "40"]]);
const lens = new Map([["x-lens", "35 mm"]]);

class RemarkingSource implements Source {
  readonly name = "frames";
  readonly live = true;
  #listed = false;

  list(): (Listed | ListedStretch)[] | undefined {
    if (this.#listed) return undefined;
    this.#listed = true;
    return [
      { name: "0.jpg", bytes: 1, capturedNs: 0n, live: true },
      { stretch: "information", count: 2, bytes: 700, text: "padding" },
      { name: "1.jpg", bytes: 1, capturedNs: 0n, live: true, notes: Note.incomplete, metadata: lux },
      { stretch: "loss", count: 1, bytes: 900, text: "a TIFF" },
      { name: "", failure: "damaged", detail: "a TIFF" },
      { name: "3.jpg", bytes: 1, capturedNs: 0n, live: true },
    ];
  }

  open({ name }: FrameEntry): OpenedFrame {
    const opened = { bytes: 1, read: (into: Uint8Array) => into.length, close: () => undefined };
    return name === "3.jpg" ? { ...opened, notes: Note.noEndMarker, metadata: lens } : opened;
  }

  settled(): void {}
  dispose(): void {}
}

test("notes, metadata and stretches travel from a source to the sink", async () => {
  const sink = new MemorySink({ frameBytesMax: 1000 });
  const events: ReceiverEvent[] = [];
  const receiver = runReceiver({
    hostname: "127.0.0.1",
    port: 0,
    sink,
    out: [],
    agent: "",
    frameBytesMax: 1000,
    connectionsMax: 1,
    once: true,
    onEvent: (event) => void events.push(event),
  });
  const sender = runSender({
    host: "127.0.0.1",
    port: Number(receiver.address.split(":").at(-1)),
    device: "device",
    agent: "",
    sources: [new RemarkingSource()],
    order: "oldest",
    rateMax: undefined,
    lockstep: false,
    retryForMs: 1000,
    onEvent: () => undefined,
  });
  const totals = { frames: 4, stored: 3, duplicates: 0, conflicts: 0, refused: 0, skipped: 1 };
  expect(await sender.done).toMatchObject({ status: 4, totals: [{ totals }] });
  await receiver.done;
  const stored = [...sink.frames.values()].map(({ frame: { name, notes, metadata } }) => ({ name, notes, metadata }));
  expect(stored).toEqual([
    { name: "0.jpg", notes: undefined, metadata: undefined },
    { name: "1.jpg", notes: Note.incomplete, metadata: lux },
    { name: "3.jpg", notes: Note.noEndMarker, metadata: lens },
  ]);
  expect(sink.store.gaps).toMatchObject([{ firstSequence: 2, reason: "damaged" }]);
  expect(sink.store.stretches).toMatchObject([
    { class: "information", sequence: 1, count: 2, bytes: 700, text: "padding" },
    { class: "loss", sequence: 2, count: 1, bytes: 900, text: "a TIFF" },
  ]);
  expect(events.filter(({ event }) => event === "stretch")).toHaveLength(2);
  expect(events.filter(({ event }) => event === "noted")).toMatchObject([
    { name: "1.jpg", notes: ["incomplete"], detail: "stored as it came, with the rest of its picture missing" },
    { name: "3.jpg", notes: ["no-end-marker"], detail: "stored as it came, with no end marker" },
  ]);
});
