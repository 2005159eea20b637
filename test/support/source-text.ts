/**
 * What the repository's own rules read of a TypeScript file: its imports and its words, without being misled by
 * comments and strings.
 */

/** Comments blanked, and in `codeOnly` strings too. Line breaks stay, so that lines keep their numbers. */
export interface SourceText {
  readonly withoutComments: string;
  readonly codeOnly: string;
}

const comment = /\/\/[^\n]*|\/\*[\s\S]*?\*\//;
const quoted = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[\s\S])*`/;
/** A slash starts a regular expression where a value may begin, which is what stands before it tells. */
const regularExpression =
  /(?<=(?:^|[=(,:;!&|?{}[\]>\n]|return)[ \t]*)\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/;
/** What may hide something else, in one expression, because each may hide the others. */
const hiding = new RegExp(`(${comment.source})|${quoted.source}|${regularExpression.source}`, "g");

export function readSource(text: string): SourceText {
  const withoutComments = text.replace(hiding, (match, isComment: string | undefined) =>
    isComment === undefined ? match : blank(match),
  );
  // A template may hold code between `${` and `}`; that part stays, so that nothing can hide there.
  const codeOnly = text.replace(hiding, (match) =>
    match.startsWith("`")
      ? match.replace(/\$\{[^}]*\}|[^\n]/g, (part) => (part.length > 1 ? part : " "))
      : blank(match),
  );
  return { withoutComments, codeOnly };
}

/** The comments alone, each in its place. */
export function commentsOf(text: string): string {
  let comments = "";
  let at = 0;
  for (const { 0: match, 1: isComment, index } of text.matchAll(hiding)) {
    comments += blank(text.slice(at, index)) + (isComment === undefined ? blank(match) : match);
    at = index + match.length;
  }
  return comments + blank(text.slice(at));
}

function blank(text: string): string {
  return text.replace(/[^\n]/g, " ");
}

/** What a file imports or re-exports, types included, as written. */
export function importsOf(text: string): string[] {
  const { withoutComments } = readSource(text);
  const forms = /\b(?:import|export)\b[^"';]*?\bfrom\s*["']([^"']+)["']|\bimport\s*\(?\s*["']([^"']+)["']/g;
  return [...withoutComments.matchAll(forms)].map(([, from, bare]) => from ?? bare ?? "");
}
