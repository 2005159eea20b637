import { SinkError } from "../../../src/errors.ts";
import { MemoryStore } from "../../../src/sinks/testing/memory-store.ts";
import { sinkOf, type SinkPlace, sinkSuite } from "../suite.ts";

const makePlace = (): SinkPlace => {
  const store = new MemoryStore();
  return {
    open: () => sinkOf(store),
    stored: () => new Map([...store.frames].map(([path, { bytes }]) => [path, Buffer.from(bytes).toString()])),
    breakCommits: (broken) => {
      store.failure = broken ? new SinkError("memory: broken for a test", { retryable: true }) : undefined;
    },
    breakPath: (broken) => {
      const fault = Object.assign(new Error("broken for a test"), { code: "EACCES" });
      store.pathFault = ({ origin }) => (broken && origin.source === "infrared" ? fault : undefined);
    },
    recordedGaps: () => store.gaps.length,
    recordedStretches: () => store.stretches.length,
    recordedEnds: () => store.ends.length,
    remove: () => {},
  };
};

sinkSuite("memory", true, makePlace, true);
