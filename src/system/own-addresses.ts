/** Which network addresses this machine has. */
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";

/** Undefined: it is not told, as in a sandbox without AF_NETLINK. */
export function ownAddresses(): NetworkInterfaceInfo[] | undefined {
  try {
    return Object.values(networkInterfaces()).flatMap((ofOne) => ofOne ?? []);
  } catch {
    return undefined;
  }
}
