/** One request of HTTP/1.x without a body, as far as it takes to answer it (HTTP.md, Requests). */

/** What ends the head of a request. */
export const headEnd = "\r\n\r\n";

export interface Request {
  readonly method: string;
  readonly path: string;
  /** Lower case, for names do not differ in it; undefined: there is none. */
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly authorization: string | undefined;
}

const single = ["host", "origin", "authorization"];

/** `head`: latin-1, without its end. Undefined: no request that we answer. */
export function parseRequest(head: string): Request | undefined {
  const [first = "", ...lines] = head.split("\r\n");
  const [, method, target] = /^([A-Z]{1,16}) (\/[\x21-\x7e]*) HTTP\/1\.[01]$/.exec(first) ?? [];
  if (method === undefined || target === undefined) return undefined;
  const fields = new Map<string, string>();
  for (const line of lines) {
    const [, name = "", value = ""] = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*([^\0\r\n]*?)[ \t]*$/.exec(line) ?? [];
    const key = name.toLowerCase();
    // A line that continues the one before has no name, and a second host may be meant for somebody else.
    if (key === "" || (single.includes(key) && fields.has(key))) return undefined;
    fields.set(key, value);
  }
  const [path = ""] = target.split("?", 1);
  return {
    method,
    path,
    host: fields.get("host")?.toLowerCase(),
    origin: fields.get("origin")?.toLowerCase(),
    authorization: fields.get("authorization"),
  };
}

export interface Answer {
  readonly status: number;
  readonly body: string;
  /** Beyond those that every answer has. */
  readonly fields?: Readonly<Record<string, string>>;
}

const reasons: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  421: "Misdirected Request",
  431: "Request Header Fields Too Large",
  503: "Service Unavailable",
};

/** The bytes of an answer, behind which the connection ends. */
export function encodeAnswer({ status, body, fields = {} }: Answer, withBody: boolean): Uint8Array {
  const bytes = Buffer.from(body);
  const all: Record<string, string> = {
    "Content-Type": "text/plain; charset=utf-8",
    ...fields,
    "Content-Length": String(bytes.length),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    Connection: "close",
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = Buffer.from(`HTTP/1.1 ${status} ${reasons[status] ?? "Error"}\r\n${lines.join("")}\r\n`);
  return withBody ? Buffer.concat([head, bytes]) : head;
}
