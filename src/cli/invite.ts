/** `--invite`: prints an invitation, alone on standard output; on a terminal as a picture to take as well. */
import { ExitStatus } from "../errors.ts";
import { hideMemory } from "../system/hidden-memory.ts";
import { isTerminal } from "../system/standard-streams.ts";
import { invite as makeInvitation } from "../trust/invite.ts";
import type { InviteCommand } from "./command.ts";
import { qrCode } from "./qr-code.ts";
import type { Shell } from "./shell.ts";

/** Throws UserError if there is no key to invite with, or no place to keep the invitation. */
export function invite({ values, device, address, key }: InviteCommand, { terminal }: Shell): ExitStatus {
  hideMemory();
  const made = makeInvitation({ keyPath: key, device, address, forMs: values.for, nowMs: Date.now() });
  const { line, untilMs, staysValid } = made;
  const until = new Date(untilMs).toISOString();
  // The line itself is secret: it is data, never part of a message.
  terminal.data(line);
  if (isTerminal(1)) terminal.data(qrCode(line));
  terminal.report({
    level: "info",
    event: { event: "invited", device, address, until },
    text: `lets ${device} in, once, until ${until}: whoever has this line first is ${device}`,
    hints: [`at the device, with the line in a file: framepipe --send ${address} --key ${device}.key --join FILE …`],
  });
  if (staysValid.length > 0) {
    const text = `what lets ${device} in already stays valid until it is removed: ${staysValid.join(", ")}`;
    terminal.report({ level: "info", event: { event: "stays-valid", device, files: staysValid }, text });
  }
  return ExitStatus.ok;
}
