import { SinkError } from "../../../src/errors.ts";
import { MemoryStore } from "../../../src/sinks/testing/memory-store.ts";
import { sinkOf, sinkSuite } from "../suite.ts";

sinkSuite("memory", true, () => {
  const store = new MemoryStore();
  return {
    open: () => sinkOf(store),
    stored: () => new Map([...store.frames].map(([path, { bytes }]) => [path, Buffer.from(bytes).toString()])),
    breakCommits: (broken) => {
      store.failure = broken ? new SinkError("memory: broken for a test", { retryable: true }) : undefined;
    },
    recordedGaps: () => store.gaps.length,
    recordedStretches: () => store.stretches.length,
    recordedEnds: () => store.ends.length,
    remove: () => {},
  };
});
