/** Answers over HTTP, on a port of its own. */
import { hostname as machineName, networkInterfaces } from "node:os";
import { formatAddress } from "../address.ts";
import type { Clock } from "../ports.ts";
import { listen, type Listener } from "../transport/listen.ts";
import type { Answers } from "./answers.ts";
import { HttpConnection } from "./http-connection.ts";

/** More than any monitoring has at a time; each takes a file handle that frames could need. */
export const httpConnectionsMax = 32;

export interface HttpServerOptions extends Omit<Answers, "hosts"> {
  readonly hostname: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly clock: Clock;
}

/** Throws UserError when the port cannot be had. */
export function serveHttp({ hostname, port, clock, ...rest }: HttpServerOptions): Listener {
  const hosts = new Set<string>();
  const answers: Answers = { ...rest, hosts };
  let connections = 0;
  const listener = listen({
    hostname,
    port,
    option: "--http",
    accept: () => {
      const tooMany = connections >= httpConnectionsMax;
      connections += 1;
      const onClosed = (): void => void (connections -= 1);
      return new HttpConnection({ clock, answers, tooMany, onClosed });
    },
  });
  const taken = Number(listener.address.slice(listener.address.lastIndexOf(":") + 1));
  for (const host of ownHosts()) {
    hosts.add(formatAddress(host, taken).toLowerCase());
    // Clients leave out the port that goes without saying.
    if (taken === 80) hosts.add(formatAddress(host, taken).toLowerCase().replace(/:80$/, ""));
  }
  return listener;
}

/** What this machine is called, as far as it knows without asking anybody. */
function ownHosts(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((ofOne) => ofOne ?? []);
  return ["localhost", "127.0.0.1", "::1", machineName(), ...addresses.map(({ address }) => address)];
}
