/** Which path is answered by what (HTTP.md). Whoever comes here has passed the gate. */
import { formatTime } from "../../times.ts";
import type { Figures, SourceKey, TicketRequest } from "../page-api.ts";
import { pictureKindOf } from "../picture-kind.ts";
import { answer, json, line, refused, Wrong } from "./answer.ts";
import type { Downloads } from "./download.ts";
import { noToken, showsToken } from "./gate.ts";
import { Parameters } from "./parameters.ts";
import type { HeldFrame, Pictures } from "./pictures.ts";
import type { StoredFrames } from "./stored-frames.ts";
import type { Tickets } from "./tickets.ts";

/** The next frame of a source that has none is waited for so long. */
const snapshotMs = 2_000;
const metricsType = "text/plain; version=0.0.4; charset=utf-8";

export interface RoutesOptions {
  readonly token: string;
  readonly tickets: Tickets;
  readonly pictures: Pictures;
  /** Undefined: there is no catalogue. */
  readonly stored: StoredFrames | undefined;
  readonly downloads: Downloads | undefined;
  /** Text, and the policy that lets it run. Undefined: there is no page. */
  readonly page: { readonly text: string; readonly policy: string } | undefined;
  readonly health: () => Promise<string>;
  readonly metrics: () => Promise<string>;
  readonly figures: () => Promise<Figures>;
  readonly thumbnailOf: (bytes: Uint8Array) => Promise<Uint8Array | undefined>;
  /** Resolves to the newest frame of a source, when one is there. */
  readonly nextFrame: (key: SourceKey, ms: number) => Promise<HeldFrame | undefined>;
}

/** Whoever asks for the page itself comes with no token, and perhaps from another page. */
export function opensPage(path: string): boolean {
  return path === "/";
}

export class Routes {
  readonly #options: RoutesOptions;

  constructor(options: RoutesOptions) {
    this.#options = options;
  }

  async answerTo(request: Request): Promise<Response> {
    try {
      return await this.#route(request, new URL(request.url));
    } catch (error) {
      if (error instanceof Wrong) return line(error.message, error.status);
      throw error;
    }
  }

  async #route(request: Request, url: URL): Promise<Response> {
    const { page, health, metrics, figures } = this.#options;
    const { pathname: path } = url;
    if (path === "/api/ticket") return this.#ticket(request);
    if (request.method === "POST") return line("only GET and HEAD", 405, { Allow: "GET, HEAD" });
    if (path === "/healthz") {
      const trouble = await health();
      return trouble === "" ? line("ok") : line(trouble, 503);
    }
    if (opensPage(path)) {
      if (page === undefined) return line("there is no page: /healthz, /metrics, /snapshot/DEVICE/SOURCE, /api/…", 404);
      return answer(page.text, "text/html; charset=utf-8", { "Content-Security-Policy": page.policy });
    }
    const give = this.#routeOf(path);
    if (give === undefined) return line("nothing is here", 404);
    if (!this.#isLetIn(request, url)) return refused(noToken);
    if (path === "/metrics") return answer(await metrics(), metricsType);
    if (path === "/api/figures") return json(await figures());
    return give(url.searchParams, request.method !== "HEAD");
  }

  /** By token, or once by ticket for exactly this. */
  #isLetIn(request: Request, url: URL): boolean {
    const { token, tickets } = this.#options;
    if (showsToken(request.headers.get("Authorization"), token)) return true;
    const ticket = url.searchParams.get("ticket");
    if (ticket === null) return false;
    const [, rest = ""] = /^[^/]*\/\/[^/]*(\/.*)$/.exec(request.url) ?? [];
    return tickets.redeem(ticket, rest.replace(/[?&]ticket=[^&]*$/, ""));
  }

  #routeOf(path: string): ((query: URLSearchParams, withBody: boolean) => Promise<Response> | Response) | undefined {
    const { stored, downloads } = this.#options;
    if (path === "/metrics" || path === "/api/figures") return () => line("", 404);
    const [, device, source] = /^\/snapshot\/([^/]*)\/([^/]+)$/.exec(path) ?? [];
    if (device !== undefined && source !== undefined) return (query) => this.#snapshot(`${device}/${source}`, query);
    if (stored === undefined || downloads === undefined) return undefined;
    const [, kind, id] = /^\/api\/(frame|thumbnail)\/(\d{1,15})$/.exec(path) ?? [];
    if (id !== undefined) return (query) => this.#frame(stored, kind === "thumbnail", Number(id), query);
    switch (path) {
      case "/api/moment":
        return (query) => json(stored.moment(new Parameters(query, ["at", "source", "clock"])));
      case "/api/frames":
        return (query) => json(stored.frames(new Parameters(query, ["source", ...near])));
      case "/api/pairs":
        return (query) => json(stored.pairs(new Parameters(query, ["first", "second", "within", ...near])));
      case "/api/gaps":
        return (query) => json(stored.gaps(new Parameters(query, ["source", "before", "after", "id", "count"])));
      case "/api/range":
        return (query, withBody) =>
          downloads.give(new Parameters(query, ["from", "to", "source", "clock", "as"]), withBody);
      default:
        return undefined;
    }
  }

  async #ticket(request: Request): Promise<Response> {
    const { token, tickets } = this.#options;
    if (request.method !== "POST") return line("only POST", 405, { Allow: "POST" });
    if (!showsToken(request.headers.get("Authorization"), token)) return refused(noToken);
    const wanted = (await request.json().catch(() => undefined)) as Partial<TicketRequest> | null | undefined;
    const path = wanted?.path;
    if (typeof path !== "string" || !path.startsWith("/")) throw new Wrong(400, 'a path: {"path": "/api/range?…"}');
    return json({ ticket: tickets.issue(path) });
  }

  async #snapshot(key: SourceKey, query: URLSearchParams): Promise<Response> {
    const isSmall = new Parameters(query, ["size"]).word("size", ["full", "thumbnail"]) === "thumbnail";
    const frame = await this.#options.nextFrame(key, snapshotMs);
    if (frame === undefined) throw new Wrong(404, "there is no frame of that source");
    if (frame.bytes === undefined) throw new Wrong(404, `a frame of ${frame.facts.bytes} bytes, too large to be shown`);
    const { captured, stored } = frame.facts;
    const times = {
      "X-Framepipe-Captured": captured,
      ...(stored === undefined ? {} : { "X-Framepipe-Stored": stored }),
    };
    return isSmall ? this.#small(frame.bytes, times) : whole(frame.bytes, times);
  }

  async #frame(stored: StoredFrames, isSmall: boolean, id: number, query: URLSearchParams): Promise<Response> {
    if (query.keys().some((name) => name !== "ticket")) throw new Wrong(400, "it has no parameters");
    const { row, bytes } = await stored.bytesOf(id);
    const times = {
      "X-Framepipe-Captured": formatTime(row.timeNs),
      "X-Framepipe-Stored": formatTime(row.receivedNs),
    };
    return isSmall ? this.#small(bytes, times) : whole(bytes, times);
  }

  async #small(bytes: Uint8Array, times: Readonly<Record<string, string>>): Promise<Response> {
    const small = await this.#options.thumbnailOf(bytes);
    if (small === undefined) throw new Wrong(404, pictureKindOf(bytes).text ?? "it cannot be decoded");
    return answer(small, "image/jpeg", times);
  }
}

const near = ["at", "id", "before", "after", "clock"] as const;

/** Browsers are shown what is safe to show: anything else is saved. */
function whole(bytes: Uint8Array, times: Readonly<Record<string, string>>): Response {
  const { format, mediaType } = pictureKindOf(bytes);
  if (format === "jpeg" || format === "png") return answer(bytes, mediaType, times);
  return answer(bytes, "application/octet-stream", { ...times, "Content-Disposition": "attachment" });
}
