/** A receiver's hub over `sink`, under a clock that the test moves. */
import type { ReceiverEvent } from "../../src/events.ts";
import { ReceiverHub } from "../../src/pipeline/receiver.ts";
import type { Clock, ReceiverTrust, Sink } from "../../src/ports.ts";
import { SimClock } from "../simulation/sim-clock.ts";

export function openHub(
  sink: Sink,
  onSessionEnd: (complete: boolean) => void = () => undefined,
  time: SimClock = new SimClock(),
  trust?: ReceiverTrust,
): { hub: ReceiverHub; time: SimClock; clock: Clock; events: ReceiverEvent[] } {
  const { clock } = time.process();
  const events: ReceiverEvent[] = [];
  const hub = new ReceiverHub({
    sink,
    clock,
    agent: "",
    frameBytesMax: 1e6,
    connectionsMax: 10,
    newSession: () => "1".repeat(32),
    trust,
    onEvent: (event) => void events.push(event),
    onSessionEnd,
  });
  return { hub, time, clock, events };
}
