/** A source as one text that fits a path (HTTP.md, Names): never taken apart, only looked up. */
import type { SourceKey } from "./page-api.ts";

export function sourceKey(device: string, source: string): SourceKey {
  return `${encodeURIComponent(device)}/${encodeURIComponent(source)}`;
}
