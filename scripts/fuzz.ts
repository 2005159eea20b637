/**
 * `bun run fuzz [--seeds N] [--from SEED] [--only wire|streams|decoders]`: the fuzzers of test/fuzz, longer than in the
 * tests. Decoders are asked only with `--only decoders`: that is a process for each picture.
 */
import { parseArgs } from "node:util";
import { compareWithDecoders } from "../test/fuzz/decoder-fuzz.ts";
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
/** So many files are there at once. */
const batch = 500;
if (values.only === "decoders") {
  for (let seed = from; seed < until; seed += batch) {
    const findings = compareWithDecoders(seed, Math.min(batch, until - seed));
    if (findings.length > 0) throw new Error(findings.join("\n"));
    console.log(`${Math.min(seed + batch, until) - from} pictures of each format`);
  }
}
for (let seed = from; seed < until && values.only !== "decoders"; seed++) {
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
