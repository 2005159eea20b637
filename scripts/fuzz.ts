/**
 * `bun run fuzz [--seeds N] [--from SEED] [--only wire|streams]`: the fuzzers of test/fuzz, longer than in the tests.
 */
import { parseArgs } from "node:util";
import { describeStream, fuzzStream } from "../test/fuzz/stream-fuzz.ts";
import { fuzzWire } from "../test/fuzz/wire-fuzz.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200000" },
    from: { type: "string", default: "0" },
    only: { type: "string" },
  },
});
const from = Number(values.from);
const until = from + Number(values.seeds);
for (let seed = from; seed < until; seed++) {
  if (values.only !== "streams") fuzzWire(seed);
  if (values.only !== "wire") {
    try {
      fuzzStream(seed);
    } catch (error) {
      console.log(describeStream(seed));
      throw error;
    }
  }
  if ((seed + 1) % 20_000 === 0) console.log(`${seed + 1 - from} inputs`);
}
console.log(`${until - from} inputs, no failure`);
