/** Which sources are meant by `rig-7/visible`, or by the beginning of such a text (READING.md, Which frames). */
import { ExitStatus, UserError } from "../errors.ts";
import type { StoredSource } from "../sinks/directory/catalogue-questions.ts";

/** Named in a hint. */
const namedMax = 8;

export function sourceText({ device, source }: StoredSource): string {
  return `${device}/${source}`;
}

/**
 * The sources that any of `wanted` means, in the order of `wanted`, each once; without any, all. Throws UserError for
 * one that means none.
 */
export function selectSources(
  directory: string,
  all: readonly StoredSource[],
  wanted: readonly (string | StoredSource)[],
): readonly StoredSource[] {
  if (wanted.length === 0) return all;
  const selected = wanted.flatMap((text) => {
    if (typeof text !== "string") return text;
    const meant = all.filter((source) => `${sourceText(source)}/`.startsWith(`${text}/`));
    if (meant.length === 0) throw unknownSource(directory, all, text);
    return meant;
  });
  return [...new Set(selected)];
}

function unknownSource(directory: string, all: readonly StoredSource[], text: string): UserError {
  const names = all.slice(0, namedMax).map(sourceText).join(", ");
  const more = all.length > namedMax ? ` and ${all.length - namedMax} more` : "";
  const hint = all.length === 0 ? "it holds no frames yet" : `it has ${names}${more}`;
  return new UserError(`${directory} has nothing of ${text}`, [hint], ExitStatus.failure);
}
