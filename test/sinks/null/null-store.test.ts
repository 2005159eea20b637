import { NullStore } from "../../../src/sinks/null/null-store.ts";
import { sinkOf, sinkSuite } from "../suite.ts";

const unused = (): never => {
  throw new Error("a sink that keeps nothing is not asked for it");
};

sinkSuite("null", false, () => ({
  open: () => sinkOf(new NullStore()),
  stored: unused,
  breakCommits: unused,
  recordedGaps: unused,
  recordedStretches: unused,
  recordedEnds: unused,
  remove: () => {},
}));
