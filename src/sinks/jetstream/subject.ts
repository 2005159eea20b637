/** Paths as subjects of NATS and back: a token for each segment, with everything encoded that a token cannot have. */

/** Segments are joined by dots; `%` and two hexadecimal digits stand for a byte of what is no letter, digit, - or _. */
export function encodeTokens(path: string): string {
  return path.split("/").map(encodeToken).join(".");
}

export function decodeTokens(tokens: string): string {
  return tokens.split(".").map(decodeURIComponent).join("/");
}

function encodeToken(segment: string): string {
  const code = (character: string): string => `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(segment).replaceAll(/[.!~*'()]/g, code);
}
