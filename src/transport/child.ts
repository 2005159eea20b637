/**
 * Another process of this executable, and the one connection between it and us: a pair of sockets, of which it has one
 * as file 3. It inherits nothing else: no input, no output, no variables, and `/` as its folder. When either ends, the
 * other's link closes.
 */
import type { LinkHandlers } from "../ports.ts";
import { socketHandlers, type SocketState } from "./socket-link.ts";

const childFile = 3;

export interface Child {
  readonly pid: number;
  /** At once, without a word. */
  kill(): void;
}

/** Throws what spawning throws. `handlers.closed` is called when the child has ended, or has closed its end. */
export function startChild(word: string, handlers: LinkHandlers): Child {
  // In the source tree the executable is Bun, and the program its first word.
  const program = Bun.isStandaloneExecutable ? [] : [Bun.main];
  const child = Bun.spawn([process.execPath, ...program, word], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
    env: {},
    cwd: "/",
  });
  void attach(child.stdio[childFile] as number, handlers);
  return { pid: child.pid, kill: () => child.kill("SIGKILL") };
}

/** In the child. Rejects where there is no file 3 that could be the parent's. */
export async function connectParent(handlers: LinkHandlers): Promise<void> {
  await attach(childFile, handlers);
}

async function attach(fd: number, handlers: LinkHandlers): Promise<void> {
  const data: SocketState = { handlers, link: undefined, reason: "" };
  // The types know of it elsewhere only.
  const options: Bun.FdSocketOptions<SocketState> = { fd, data, socket: socketHandlers };
  await Bun.connect<SocketState>(options as unknown as Bun.UnixSocketOptions<SocketState>);
}
