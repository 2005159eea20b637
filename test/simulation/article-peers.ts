/** The article's programs at one end of a simulated link, resting in virtual time. */
import type { LinkHandlers } from "../../src/ports.ts";
import {
  type ArticleConversation,
  type ArticleRecord,
  type ArticleServerOptions,
  BlockingSocket,
  converseArticle,
  emptyRecord,
  serveArticle,
  type Sleep,
} from "../support/lockstep-peers.ts";
import type { SimClock } from "./sim-clock.ts";
import type { SimNetwork } from "./sim-network.ts";

/** An article's server that all connections of the network lead to. */
export function serveOn(network: SimNetwork, clock: SimClock, options: ArticleServerOptions): ArticleRecord {
  const record = emptyRecord();
  network.accept = () => {
    const socket = new BlockingSocket();
    return handlersOf(socket, () => void serveArticle(socket, { ...options, sleep: sleepOn(clock) }, record));
  };
  return record;
}

/** One conversation of an article's client with whoever accepts on the network. */
export function converseOn(network: SimNetwork, clock: SimClock, options: ArticleConversation): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = new BlockingSocket();
    network.dial(
      handlersOf(socket, () => {
        converseArticle(socket, { ...options, sleep: sleepOn(clock) }).then(resolve, reject);
      }),
    );
  });
}

/** Lets virtual time pass until `done`; whatever waits for a promise goes on between two of its moments. */
export async function passUntil(clock: SimClock, done: () => boolean, virtualMsMax = 600_000): Promise<void> {
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve));
    if (done()) return;
    if (!clock.step()) throw new Error("nothing is left to happen");
    if (clock.nowMs() > virtualMsMax) throw new Error(`it did not happen in ${virtualMsMax} virtual ms`);
  }
}

function sleepOn(clock: SimClock): Sleep {
  return (ms) => new Promise((resolve) => clock.after(ms, resolve));
}

function handlersOf(socket: BlockingSocket, opened: () => void): LinkHandlers {
  return {
    opened: (link) => {
      socket.attach({
        write: (bytes) => link.write(bytes),
        // What is not read yet is joined, as in a kernel; a simulated link would keep it in pieces.
        pause: () => undefined,
        resume: () => undefined,
        shutdown: () => link.shutdown(),
        terminate: () => link.close(),
        setNoDelay: () => undefined,
      });
      opened();
    },
    data: (chunk) => socket.arrived(Buffer.from(chunk)),
    drain: () => socket.drained(),
    closed: () => socket.ended(),
  };
}
