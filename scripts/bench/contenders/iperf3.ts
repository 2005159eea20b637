/** Bytes from memory to memory over one connection: what the network alone costs. */
import type { Contender } from "../contender.ts";
import { freePort } from "../stage.ts";

/** Enough for a second or so. */
const fullBytes = 2_000_000_000;
const quickBytes = 50_000_000;

export const iperf3: Contender = {
  name: "iperf3",
  role: "reference",
  safe: false,
  guarantees: "bytes only, one stream, no files: the receiver's rate by its own clock, as frames of the set's size",
  kinds: ["directory", "discard"],
  missing: () => (Bun.which("iperf3") === null ? "iperf3" : undefined),
  async run({ set, quick, stage }) {
    const port = freePort();
    stage.start("receiver", ["iperf3", "--server", "--one-off", "--bind", "127.0.0.1", "--port", `${port}`]);
    await stage.listening(port);
    const amount = `${quick ? quickBytes : fullBytes}`;
    const command = ["iperf3", "--client", "127.0.0.1", "--port", `${port}`, "--bytes", amount, "--json"];
    let report = "";
    await stage.time(async () => {
      const sender = stage.start("sender", command, { stdout: "lines" });
      report = await sender.output();
      await sender.succeeded();
    });
    const { bytes, seconds } = receivedSum(JSON.parse(report));
    return { frames: bytes / set.spec.frameBytes, bytes, elapsedMs: seconds * 1000, content: { kind: "none" } };
  },
};

/** Throws if the report is not as iperf3 3.x writes it. */
function receivedSum(report: unknown): { bytes: number; seconds: number } {
  const { end } = report as { end?: { sum_received?: { bytes?: number; seconds?: number } } };
  const { bytes = 0, seconds = 0 } = end?.sum_received ?? {};
  if (bytes <= 0 || seconds <= 0) throw new Error("iperf3 reported nothing");
  return { bytes, seconds };
}
