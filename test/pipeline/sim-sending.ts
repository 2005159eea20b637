/** A sender of one source on a simulated network, with what most tests do not care for. */
import { Sending, type SendingOptions } from "../../src/pipeline/sending.ts";
import type { Clock, Source } from "../../src/ports.ts";
import type { SimNetwork } from "../simulation/sim-network.ts";
import type { Random } from "../support/random.ts";

export function simSending(
  network: SimNetwork,
  clock: Clock,
  random: Random,
  source: Source,
  options: Partial<Pick<SendingOptions, "rateMax" | "onDone">> = {},
): Sending {
  return new Sending({
    peer: "sim:1",
    dial: network.dial,
    clock,
    random: () => random.next(),
    session: "2".repeat(32),
    device: "device",
    agent: "",
    sources: [source],
    order: "oldest",
    rateMax: undefined,
    retryForMs: undefined,
    onEvent: () => undefined,
    onDone: () => undefined,
    ...options,
  });
}
