/** A sink that keeps frames in memory, with what it keeps and a lever to break it. */
import type { SinkError } from "../../src/errors.ts";
import { StoreSink, type StoreSinkOptions } from "../../src/sinks/store/store-sink.ts";
import type { Draft } from "../../src/sinks/store/store.ts";
import { type MemoryFrame, MemoryStore } from "../../src/sinks/testing/memory-store.ts";

export class MemorySink extends StoreSink<Draft> {
  readonly store: MemoryStore;

  constructor(options: Pick<StoreSinkOptions, "frameBytesMax">) {
    const store = new MemoryStore();
    let nowMs = 0;
    // Virtual, so that nothing waits before it is tried again.
    const clock = { nowMs: () => (nowMs += 1000), wallNs: () => 1n };
    super(store, { sync: "batch", clock, ...options });
    this.store = store;
  }

  get frames(): ReadonlyMap<string, MemoryFrame> {
    return this.store.frames;
  }

  /** The destination is unusable, and says this. */
  set failure(failure: SinkError | undefined) {
    this.store.failure = failure;
  }
}
