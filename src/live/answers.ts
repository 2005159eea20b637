/** Who may ask what, and what is answered (HTTP.md). */
import { timingSafeEqual } from "node:crypto";
import type { Trouble } from "./page-api.ts";
import type { Answer, Request } from "./request.ts";

export interface Answers {
  /** The hosts that a request may be for, lower case, with the port. */
  readonly hosts: ReadonlySet<string>;
  /** Who shows it may see the figures. */
  readonly token: string;
  /** Undefined: all is well. */
  readonly trouble: () => Trouble | undefined;
  readonly metrics: () => string;
}

/** `request` undefined: it was none. */
export function answerTo(request: Request | undefined, answers: Answers): Answer {
  if (request === undefined) return { status: 400, body: "not a request\n" };
  const { method, path, host, origin, authorization } = request;
  if (host === undefined || !answers.hosts.has(host)) return { status: 421, body: "this is another host\n" };
  if (origin !== undefined && origin !== `http://${host}`) return { status: 403, body: "not for other pages\n" };
  if (method !== "GET" && method !== "HEAD") {
    return { status: 405, body: "only GET and HEAD\n", fields: { Allow: "GET, HEAD" } };
  }
  switch (path) {
    case "/healthz": {
      const trouble = answers.trouble();
      return trouble === undefined ? { status: 200, body: "ok\n" } : { status: 503, body: `${trouble}\n` };
    }
    case "/metrics":
      if (!isShown(authorization, answers.token)) {
        return { status: 401, body: "the token is missing or wrong\n", fields: { "WWW-Authenticate": "Bearer" } };
      }
      return { status: 200, body: answers.metrics(), fields: { "Content-Type": metricsType } };
    default:
      return { status: 404, body: "nothing is here: /healthz, /metrics\n" };
  }
}

const metricsType = "text/plain; version=0.0.4; charset=utf-8";

function isShown(authorization: string | undefined, token: string): boolean {
  const [, shown = ""] = /^bearer +(\S+)$/i.exec(authorization ?? "") ?? [];
  const [one, other] = [Buffer.from(shown), Buffer.from(token)];
  return one.length === other.length && timingSafeEqual(one, other);
}
