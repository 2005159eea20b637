/** Where somebody listens: a host and a port, as they are typed and shown. Names are not looked up here. */

export interface Address {
  /** Without brackets. `undefined` if only a port was given. */
  readonly host: string | undefined;
  /** 0 … 65535. */
  readonly port: number;
}

/** `HOST:PORT`, `[IPV6]:PORT`, `:PORT` or `PORT`. Undefined for anything else. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text.trim());
  if (match === null) return undefined;
  const [, inBrackets, plain, digits] = match;
  const port = Number(digits);
  if (port > 65_535) return undefined;
  if (inBrackets !== undefined) return isIPv6(inBrackets) ? { host: inBrackets, port } : undefined;
  if (plain === undefined || plain === "") return { host: undefined, port };
  // Digits and dots alone are meant as an IPv4 address; left to the resolver, `10.0.0` would become 10.0.0.0.
  if (/^[\d.]+$/.test(plain)) return isIPv4(plain) ? { host: plain, port } : undefined;
  return /^[\p{L}\d]([\p{L}\d._-]*[\p{L}\d.])?$/u.test(plain) ? { host: plain, port } : undefined;
}

/** `HOST:PORT` as it is typed, an IPv6 address in brackets. */
export function formatAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether bytes for `host` stay on this machine. Of names only `localhost` is known to. */
export function isLoopback(host: string): boolean {
  if (isIPv4(host)) return host.startsWith("127.");
  return /^localhost$/i.test(host) || (/^(?:0{0,4}:){1,7}0{0,3}1$/.test(host) && isIPv6(host));
}

function isIPv4(host: string): boolean {
  return /^(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/.test(host);
}

/**
 * Whose an address is, as far as it says so: an IPv4 address is somebody's, of IPv6 a network of 64 bits is. An IPv4
 * peer of a socket for both kinds is what it is.
 */
export function addressGroup(host: string): string {
  const v4 = host.replace(/^::ffff:(?=[0-9.]+$)/i, "");
  if (!isIPv6(v4)) return v4;
  const groupsOf = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const [start = "", end = ""] = v4.replace(/%.*$/, "").toLowerCase().split("::");
  const [before, after] = [groupsOf(start), groupsOf(end)];
  // The last of them may be an IPv4 address, which stands for two.
  const zeros = Array.from({ length: 8 - before.length - after.length - (v4.includes(".") ? 1 : 0) }, () => "0");
  const network = [...before, ...zeros, ...after].slice(0, 4);
  return network.map((group) => group.replace(/^0+(?=.)/, "")).join(":");
}

/** As `node:net` has it, which brings streams and sockets with it: 2 ms of the start. */
function isIPv6(host: string): boolean {
  const [, numbers] = /^([^%]*)(?:%[a-z\d.:-]+)?$/i.exec(host) ?? [];
  if (numbers === undefined) return false;
  // The last two groups may be written as an IPv4 address.
  const [, start, last] = /^(.*:)([^:]*\.[^:]*)$/.exec(numbers) ?? [];
  if (last !== undefined && !isIPv4(last)) return false;
  const halves = (start === undefined ? numbers : `${start}0:0`).split("::");
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  if (!groups.every((group) => /^[\da-f]{1,4}$/i.test(group))) return false;
  return halves.length === 2 ? groups.length < 8 : halves.length === 1 && groups.length === 8;
}

/** The host of a peer's address, without the port, which is another for each connection. */
export function hostOf(peer: string): string {
  return peer.slice(0, peer.lastIndexOf(":"));
}
