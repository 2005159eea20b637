/** Bytes that are of none of our protocols: how they begin, and whose they look like, for a person. */

/** The first of them that are shown. */
const shownBytes = 24;

/** Fit for a log line: nothing of it is taken for a control character. */
export function shownStart(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes.subarray(0, shownBytes)) {
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `"${text}"${bytes.length > shownBytes ? "…" : ""}`;
}

/** A record of TLS: an alert or a handshake, of a version that begins with 3. */
export function isTls(bytes: Uint8Array): boolean {
  return (bytes[0] === 0x15 || bytes[0] === 0x16) && (bytes[1] === undefined || bytes[1] === 3);
}

/** What begins to talk to a receiver; `keyed` inside of TLS. */
export function describeCaller(bytes: Uint8Array, keyed: boolean): string {
  const shown = shownStart(bytes);
  if (!keyed && isTls(bytes)) return `it speaks TLS, as a sender with a key does (--key here, too): ${shown}`;
  return `not one of our protocols: ${shown}`;
}

/** What greets us in place of a receiver. */
export function describeAnswer(bytes: Uint8Array): string {
  const start = String.fromCharCode(...bytes.subarray(0, shownBytes));
  const shown = shownStart(bytes);
  if (start.startsWith("HTTP/")) return `an HTTP server answers: ${shown}`;
  if (start.startsWith("SSH-")) return `an SSH server answers: ${shown}`;
  if (isTls(bytes)) {
    return `a TLS server answers, as a receiver with a key does (--key here, too): ${shown}`;
  }
  return `something else answers: ${shown}`;
}
