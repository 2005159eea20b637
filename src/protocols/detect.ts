/** Which protocol a new connection speaks, by its first bytes. No flag is needed for an article-style client. */
import { lockstepMayBegin } from "./lockstep/messages.ts";
import { magic } from "./wire/constants.ts";

/** "more": the bytes so far could become either nothing or lockstep. */
export function detectProtocol(prefix: Uint8Array): "wire" | "lockstep" | "neither" | "more" {
  if (prefix.length === 0) return "more";
  if (prefix[0] === magic) return "wire";
  const lockstep = lockstepMayBegin(prefix);
  if (lockstep === "yes") return "lockstep";
  return lockstep === "no" ? "neither" : "more";
}
