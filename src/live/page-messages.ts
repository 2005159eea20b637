/** What the process that stores and the page's process say to each other: neither believes the other without need. */
import { MiB, KiB } from "../limits.ts";
import type { Figures, FrameFacts, SourceKey } from "./page-api.ts";

/** The word that starts the page's process. It is no option: nobody types it. */
export const pageWord = "page-process";

/** First of all. */
export interface PageStart {
  readonly hostname: string;
  readonly port: number;
  readonly token: string;
  /** PEM; undefined: not encrypted. */
  readonly tls?: { readonly certificate: string; readonly privateKey: string } | undefined;
  /** Where frames are stored, absolute. Undefined: there is no catalogue. */
  readonly directory: string | undefined;
}

/** To the page's process. */
export type HostMessage =
  | { readonly start: PageStart }
  /** The frame follows; `shown` false: it is too large to. */
  | { readonly frame: FrameFacts; readonly serial: number; readonly follows: boolean }
  | { readonly figures: Figures }
  | { readonly metrics: string }
  | { readonly health: string };

/** From it. */
export type PageMessage =
  | { readonly listening: string }
  | { readonly failed: { readonly message: string; readonly hints: readonly string[] } }
  /** The next frame of this source is to be shown, or the next two: then there is time to ask for another. */
  | { readonly want: SourceKey; readonly frames: 1 | 2 }
  | { readonly ask: Question };
export type Question = "figures" | "metrics" | "health";

/** Figures of a thousand sources, with long names. */
export const hostJsonBytesMax: number = 16 * MiB;
export const pageJsonBytesMax: number = 16 * KiB;

/** Undefined: it is none of these. */
export function asPageMessage(value: unknown): PageMessage | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { listening, want, frames, ask, failed } = value as Record<string, unknown>;
  if (typeof listening === "string") return { listening };
  if (typeof want === "string") return { want, frames: frames === 2 ? 2 : 1 };
  if (ask === "figures" || ask === "metrics" || ask === "health") return { ask };
  if (typeof failed !== "object" || failed === null) return undefined;
  const { message, hints } = failed as Record<string, unknown>;
  if (typeof message !== "string" || !Array.isArray(hints)) return undefined;
  return { failed: { message, hints: hints.filter((hint) => typeof hint === "string") } };
}
