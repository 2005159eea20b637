/** What is said of keys and of who may send. */
import { hostname } from "node:os";
import type { TrustEvent } from "../events.ts";
import type { Report } from "./report.ts";

/** Where it is said. */
export interface TrustPlace {
  readonly key: string;
  /** Of a receiver: where it listens. */
  readonly port?: number;
}

export function describeTrustEvent(event: TrustEvent, { key, port = 0 }: TrustPlace): Report {
  switch (event.event) {
    case "key-made":
      return { level: "info", event, text: `made the key ${event.path}; its public key is ${event.key}` };
    case "spare-made": {
      const text = `made ${event.path}, the key that comes after this one`;
      const hints = ["keep that file elsewhere: moved over the key one day, all senders know it already"];
      return { level: "info", event, text, hints };
    }
    case "no-devices": {
      const at = `${hostname()}:${port === 0 ? "PORT" : port}`;
      const hints = [`let one in: framepipe --invite DEVICE@${at} --key ${key}`];
      return { level: "warning", event, text: "no device may send yet", hints };
    }
    case "granted":
      return { level: "info", event, text: `${event.device} may send, with the key ${event.key}` };
    case "withdrawn":
      return { level: "info", event, text: `${event.device} may not send any more with the key ${event.key}` };
    case "bad-device-file":
      return { level: "warning", event, text: `${event.path} grants nothing: ${event.problem}` };
    case "grants-unknown":
      return { level: "warning", event, text: `who may send is not known, and stays as it was: ${event.problem}` };
    case "grants-known":
      return { level: "info", event, text: `who may send is known again: ${event.folder}` };
    case "invitation-passed-over":
      return { level: "detail", event, text: `the invitation is passed over: ${event.reason}` };
    case "invitation-left": {
      const { device, invited } = event;
      const text = `a key that is ${device} already came with the invitation for ${invited}, which is left`;
      return {
        level: "warning",
        event,
        text,
        hints: [`to call it ${invited}: remove its file, and let it join again`],
      };
    }
    case "pins-not-kept": {
      const text = `what the receiver said of its keys could not be kept: ${event.problem}`;
      return { level: "warning", event, text, hints: ["the next start asks again, with --join while it is good"] };
    }
  }
}
