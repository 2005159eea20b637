/** Where programs keep what they know and could do without, for the user who runs them. */
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

export function stateFile(name: string): string {
  const { XDG_STATE_HOME: given = "" } = process.env;
  return join(isAbsolute(given) ? given : join(homedir(), ".local", "state"), "framepipe", name);
}
