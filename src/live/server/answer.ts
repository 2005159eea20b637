/** What every answer has, and what is said where something is wrong (HTTP.md, Requests). */
import type { Refusal } from "./gate.ts";

export const closedPolicy = "default-src 'none'; frame-ancestors 'none'";

const always: Readonly<Record<string, string>> = {
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy": closedPolicy,
};

export function answer(
  body: string | Uint8Array | ReadableStream,
  mediaType: string,
  fields: Readonly<Record<string, string>> = {},
  status = 200,
): Response {
  return new Response(body as Uint8Array<ArrayBuffer>, {
    status,
    headers: { "Content-Type": mediaType, ...always, ...fields },
  });
}

export function json(value: unknown): Response {
  return answer(JSON.stringify(value), "application/json");
}

export function line(text: string, status = 200, fields?: Readonly<Record<string, string>>): Response {
  return answer(`${text}\n`, "text/plain; charset=utf-8", fields, status);
}

export function refused({ status, text, fields }: Refusal): Response {
  return line(text, status, fields);
}

/** Something is wrong with a request, which a line of text says. */
export class Wrong extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}
