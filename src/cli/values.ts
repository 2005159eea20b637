/**
 * The kinds of values that options take: sizes, durations, counts, addresses. Each function reads one text and gives
 * `undefined` if it is none of its kind, so that the caller can say which option or variable held it.
 */

const sizeUnits: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 1024,
  mi: 1024 ** 2,
  gi: 1024 ** 3,
};

/** Bytes. `K M G` are powers of 1000, `Ki Mi Gi` powers of 1024, a `B` may follow, nothing means bytes. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) *([kmg]i?)?b?$/i.exec(text.trim());
  if (match === null) return undefined;
  return safeWhole(Number(match[1]) * (sizeUnits[(match[2] ?? "").toLowerCase()] ?? Number.NaN));
}

const durationUnitsMs: Readonly<Record<string, number>> = { ms: 1, "": 1e3, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/** Milliseconds. The units are `ms s m h d`, nothing means seconds. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) *(ms|s|m|h|d)?$/.exec(text.trim());
  if (match === null) return undefined;
  return safeWhole(Number(match[1]) * (durationUnitsMs[match[2] ?? ""] ?? Number.NaN));
}

const rateUnits: Readonly<Record<string, number>> = { "": 1, k: 1e3, m: 1e6, g: 1e9 };

/** Bits per second: `20Mbit`, `500 kbit/s`, `1Gbit`. The unit is needed, because bits and bytes are easily confused. */
export function parseRate(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) *([kmg])?bit(?:\/s)?$/i.exec(text.trim());
  if (match === null) return undefined;
  return safeWhole(Number(match[1]) * (rateUnits[(match[2] ?? "").toLowerCase()] ?? Number.NaN));
}

/** A whole number from 0. */
export function parseCount(text: string): number | undefined {
  return /^\d+$/.test(text.trim()) ? safeWhole(Number(text)) : undefined;
}

function safeWhole(value: number): number | undefined {
  const whole = Math.round(value);
  return Number.isSafeInteger(whole) ? whole : undefined;
}

/** What an environment variable says of an option that takes no value. */
export function parseSwitch(text: string): boolean | undefined {
  const word = text.trim().toLowerCase();
  if (["1", "true", "yes", "on"].includes(word)) return true;
  if (["0", "false", "no", "off"].includes(word)) return false;
  return undefined;
}

export interface Address {
  /** Without brackets. `undefined` if only a port was given. */
  readonly host: string | undefined;
  /** 0 … 65535. */
  readonly port: number;
}

/** `HOST:PORT`, `[IPV6]:PORT`, `:PORT` or `PORT`. Names are not looked up. */
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

/** `node:net` brings streams and sockets with it, which takes 2 ms: it is only asked where there is no other way. */
function isIPv6(host: string): boolean {
  return process.getBuiltinModule("node:net").isIPv6(host);
}
