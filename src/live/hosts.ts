/** What this machine is called, as far as it knows without asking anybody: only such a Host is ours. */
import { hostname as machineName } from "node:os";
import { formatAddress } from "../address.ts";
import { ownAddresses } from "../system/own-addresses.ts";

export function ownNames(): string[] {
  const addresses = ownAddresses() ?? [];
  return [...new Set(["localhost", "127.0.0.1", "::1", machineName(), ...addresses.map(({ address }) => address)])];
}

/** Lower case, with the port; also without it, if clients leave this one out. */
export function ownHosts(port: number, portLeftOut: number): Set<string> {
  const hosts = ownNames().map((name) => formatAddress(name, port).toLowerCase());
  return new Set(port === portLeftOut ? hosts.flatMap((host) => [host, host.replace(/:\d+$/, "")]) : hosts);
}
