/** Who is let in, before anything is looked up (HTTP.md, Requests). Pure: fields of a request in, a refusal out. */
import { timingSafeEqual } from "node:crypto";
import { tokenProtocol } from "../page-api.ts";

export interface Refusal {
  readonly status: number;
  readonly text: string;
  readonly fields?: Readonly<Record<string, string>>;
}

export interface Fields {
  readonly method: string;
  /** As it came; null: there is none. Several of one name come with commas between. */
  readonly host: string | null;
  readonly origin: string | null;
  /** `Sec-Fetch-Site`, which browsers send and no script can change. */
  readonly site: string | null;
}

export interface Gate {
  readonly scheme: "http" | "https";
  /** Lower case, with the port. */
  readonly hosts: ReadonlySet<string>;
}

/** Undefined: it may go on. `opensPage`: it is for the page itself, which another page may lead to. */
export function refusalOf(gate: Gate, { method, host, origin, site }: Fields, opensPage: boolean): Refusal | undefined {
  const named = host?.toLowerCase();
  if (named === undefined || !gate.hosts.has(named)) return { status: 421, text: "this is another host" };
  const isOther = origin !== null && origin !== `${gate.scheme}://${named}`;
  const isForeign = site !== null && site !== "same-origin" && site !== "none";
  if (isOther || (isForeign && !opensPage)) return { status: 403, text: "not for other pages" };
  if (method !== "GET" && method !== "HEAD" && method !== "POST") {
    return { status: 405, text: "only GET, HEAD and POST", fields: { Allow: "GET, HEAD, POST" } };
  }
  return undefined;
}

export const noToken: Refusal = {
  status: 401,
  text: "the token is missing or wrong",
  fields: { "WWW-Authenticate": "Bearer" },
};

/** Whether `Authorization` shows the token. */
export function showsToken(authorization: string | null, token: string): boolean {
  const [, shown] = /^bearer +(\S+)$/i.exec(authorization ?? "") ?? [];
  return shown !== undefined && isEqual(shown, token);
}

/** Whether one of the subprotocols that a WebSocket offers does. */
export function offersToken(protocols: string | null, token: string): boolean {
  const offered = (protocols ?? "").split(",").map((word) => word.trim());
  const shown = offered.find((word) => word.startsWith(tokenProtocol));
  return shown !== undefined && isEqual(shown.slice(tokenProtocol.length), token);
}

/** In a time that does not depend on where they differ. */
function isEqual(shown: string, token: string): boolean {
  const [one, other] = [Buffer.from(shown), Buffer.from(token)];
  return one.length === other.length && timingSafeEqual(one, other);
}
