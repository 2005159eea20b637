import { NullSink } from "../../../src/sinks/null/null-sink.ts";
import { frameBytesMax, sinkSuite } from "../suite.ts";

const unused = (): never => {
  throw new Error("a sink that keeps nothing is not asked for it");
};

sinkSuite("null", false, () => ({
  open: () => new NullSink({ frameBytesMax }),
  stored: unused,
  breakCommits: unused,
  recordedGaps: unused,
  recordedEnds: unused,
  remove: () => {},
}));
