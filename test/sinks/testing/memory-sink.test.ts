import { SinkError } from "../../../src/errors.ts";
import { MemorySink } from "../../../src/sinks/testing/memory-sink.ts";
import { frameBytesMax, sinkSuite } from "../suite.ts";

sinkSuite("memory", true, () => {
  const sink = new MemorySink({ frameBytesMax });
  return {
    open: () => sink,
    stored: () => new Map([...sink.frames].map(([path, { bytes }]) => [path, Buffer.from(bytes).toString()])),
    breakCommits: (broken) => {
      sink.failure = broken ? new SinkError("memory: broken for a test", { retryable: true }) : undefined;
    },
    recordedGaps: () => sink.gaps.length,
    recordedEnds: () => sink.ends.length,
    remove: () => {},
  };
});
