/**
 * Good and bad bytes of lockstep, and what must come of them. The tests of the messages and of the receiving machine
 * run through the same tables, and the fuzz test starts from them.
 */
import { ProtocolCode } from "../../src/errors.ts";

const { malformed, limit } = ProtocolCode;

export interface SessionHeaderCase {
  readonly text: string;
  /** The source, `more` if bytes are missing, or the code of the error. */
  readonly expected: string | { readonly code: number };
}

export const sessionHeaders: readonly SessionHeaderCase[] = [
  { text: "visible|folder", expected: "visible/folder" },
  { text: "visible|a/b", expected: "visible/a/b" },
  { text: "visible|./vis", expected: "visible/vis" },
  { text: "visible|./vis/", expected: "visible/vis" },
  { text: "visible|/home/pi/vis", expected: "visible/vis" },
  { text: "visible|../../vis", expected: "visible/vis" },
  { text: "visible|C:\\frames\\vis", expected: "visible/vis" },
  { text: "infrarouge|été", expected: "infrarouge/été" },
  { text: "visible|a|b", expected: "visible/a|b" },
  { text: "visible", expected: "more" },
  { text: "", expected: "more" },
  { text: "|folder", expected: { code: malformed } },
  { text: "visible|", expected: { code: malformed } },
  { text: "visible|..", expected: { code: malformed } },
  { text: "visible|a/..", expected: { code: malformed } },
  { text: "visible|/", expected: { code: malformed } },
  { text: "..|folder", expected: { code: malformed } },
  { text: "a/b|folder", expected: { code: malformed } },
  { text: "/etc|folder", expected: { code: malformed } },
  { text: "a\\b|folder", expected: { code: malformed } },
  { text: ".hidden|folder", expected: { code: malformed } },
  { text: "visible|fol\nder", expected: { code: malformed } },
  { text: "visible|fol\u0000der", expected: { code: malformed } },
  { text: `visible|${"x".repeat(300)}`, expected: { code: malformed } },
  { text: `visible|${"x".repeat(1100)}`, expected: { code: limit } },
];

export interface FrameHeaderCase {
  readonly bytes: Uint8Array;
  readonly expected:
    | "more"
    | { readonly code: number }
    | { readonly bytes: number; readonly name: string; readonly atOnce: boolean };
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

export const frameHeaders: readonly FrameHeaderCase[] = [
  { bytes: utf8("101234|17.jpg"), expected: { bytes: 101234, name: "17.jpg", atOnce: true } },
  { bytes: utf8("0|17.JPG"), expected: { bytes: 0, name: "17.JPG", atOnce: true } },
  { bytes: utf8("1|17.Tiff"), expected: { bytes: 1, name: "17.Tiff", atOnce: true } },
  { bytes: utf8("1|17.tif"), expected: { bytes: 1, name: "17.tif", atOnce: false } },
  { bytes: utf8("1|17"), expected: { bytes: 1, name: "17", atOnce: false } },
  { bytes: utf8("1|jpg"), expected: { bytes: 1, name: "jpg", atOnce: false } },
  { bytes: utf8("12|"), expected: { bytes: 12, name: "", atOnce: false } },
  { bytes: utf8("5|a|b.png"), expected: { bytes: 5, name: "a|b.png", atOnce: true } },
  { bytes: utf8("5|../../etc/passwd"), expected: { bytes: 5, name: "../../etc/passwd", atOnce: false } },
  { bytes: utf8("007|x.png"), expected: { bytes: 7, name: "x.png", atOnce: true } },
  { bytes: utf8("70368744177664|x.png"), expected: { bytes: 70368744177664, name: "x.png", atOnce: true } },
  {
    bytes: Uint8Array.of(0x31, 0x7c, 0xe9, 0x2e, 0x70, 0x6e, 0x67),
    expected: { bytes: 1, name: "\\xe9.png", atOnce: true },
  },
  { bytes: utf8("1|a\u0007.png"), expected: { bytes: 1, name: "a\u0007.png", atOnce: true } },
  { bytes: utf8(""), expected: "more" },
  { bytes: utf8("1012"), expected: "more" },
  { bytes: utf8("9007199254740991"), expected: "more" },
  { bytes: utf8("70368744177665|x.png"), expected: { code: limit } },
  { bytes: utf8("9007199254740991|x.png"), expected: { code: limit } },
  { bytes: utf8("9223372036854775808|x.png"), expected: { code: malformed } },
  { bytes: utf8("-1|x.png"), expected: { code: malformed } },
  { bytes: utf8("+1|x.png"), expected: { code: malformed } },
  { bytes: utf8(" 1|x.png"), expected: { code: malformed } },
  { bytes: utf8("1.5|x.png"), expected: { code: malformed } },
  { bytes: utf8("1e3|x.png"), expected: { code: malformed } },
  { bytes: utf8("0x10|x.png"), expected: { code: malformed } },
  { bytes: utf8("|x.png"), expected: { code: malformed } },
  { bytes: utf8("ok"), expected: { code: malformed } },
  { bytes: utf8("continue98765|18.jpg"), expected: { code: malformed } },
  { bytes: utf8(`1|${"x".repeat(1098)}`), expected: { bytes: 1, name: "x".repeat(1098), atOnce: false } },
  { bytes: utf8(`1|${"x".repeat(1099)}`), expected: { code: limit } },
];

export interface PrefixCase {
  readonly bytes: Uint8Array;
  readonly expected: "yes" | "no" | "more";
}

export const prefixes: readonly PrefixCase[] = [
  { bytes: utf8("visible|folder"), expected: "yes" },
  { bytes: utf8("v|"), expected: "yes" },
  { bytes: utf8("été|folder"), expected: "yes" },
  { bytes: utf8("été|folder").subarray(0, 1), expected: "more" },
  { bytes: utf8("été|dossié").subarray(0, -1), expected: "yes" },
  { bytes: utf8(""), expected: "more" },
  { bytes: utf8("visib"), expected: "more" },
  { bytes: utf8("x".repeat(1099)), expected: "more" },
  { bytes: utf8("x".repeat(1100)), expected: "no" },
  { bytes: utf8(`${"x".repeat(1100)}|`), expected: "no" },
  { bytes: utf8("|folder"), expected: "no" },
  { bytes: utf8("GET / HTTP/1.1\r\nHost: a|b\r\n\r\n"), expected: "no" },
  { bytes: utf8("GET /a|b HTTP/1.1\r\n"), expected: "no" },
  { bytes: Uint8Array.of(0x16, 0x03, 0x01), expected: "no" },
  { bytes: Uint8Array.of(0xf5, 0x66, 0x70), expected: "no" },
  { bytes: Uint8Array.of(0), expected: "no" },
  { bytes: utf8("visible|fol\u0085der"), expected: "no" },
];

export interface ExpectedFrame {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Refused by the driver: nothing of it may be stored. */
  readonly refused?: boolean;
}

/** What the client says, and how many times `ok` it waits for then. */
export interface Turn {
  readonly say: Uint8Array;
  readonly oks: number;
}

export interface Conversation {
  readonly title: string;
  readonly turns: readonly Turn[];
  readonly frames: readonly ExpectedFrame[];
  /** Instead of the end: what the machine must throw in answer to the last turn. */
  readonly fails?: number;
}

function turn(say: string | Uint8Array, oks: number): Turn {
  return { say: typeof say === "string" ? utf8(say) : say, oks };
}

function conversation(title: string, frames: readonly ExpectedFrame[], glue: boolean): Conversation {
  const turns = [turn("visible|folder", 1)];
  for (const [index, { name, bytes }] of frames.entries()) {
    const before = index > 0 ? "continue" : "";
    if (before !== "" && !glue) turns.push(turn(before, 0));
    // Nothing is to be said between the two replies of an empty frame.
    turns.push(turn(`${glue ? before : ""}${bytes.length}|${name}`, bytes.length === 0 ? 2 : 1));
    if (bytes.length > 0) turns.push(turn(bytes, 1));
  }
  turns.push(turn("over", 0));
  return { title, turns, frames };
}

const picture = (length: number): Uint8Array => Uint8Array.from({ length }, (_, at) => (at * 7 + length) & 0xff);

const mixed: readonly ExpectedFrame[] = [
  { name: "1.jpg", bytes: picture(40) },
  { name: "2.tif", bytes: picture(1) },
  { name: "3.tiff", bytes: picture(0) },
  { name: "noext", bytes: picture(13) },
  { name: "../../etc/passwd", bytes: picture(9), refused: true },
  { name: "", bytes: picture(5), refused: true },
  { name: "", bytes: picture(0), refused: true },
  { name: `${"x".repeat(300)}.png`, bytes: picture(3), refused: true },
  { name: "été|2.png", bytes: picture(8) },
  // Payloads that look like messages.
  { name: "4.png", bytes: utf8("continue") },
  { name: "5.png", bytes: utf8("over") },
];

const header = turn("visible|folder", 1);

export const conversations: readonly Conversation[] = [
  conversation("no frames", [], false),
  conversation("one frame", [{ name: "17.jpg", bytes: picture(30) }], false),
  conversation("kept apart", mixed, false),
  conversation("glued", mixed, true),
  { title: "continue without a frame", turns: [header, turn("continue", 0)], frames: [], fails: malformed },
  { title: "header without a length", turns: [header, turn("|a.jpg", 0)], frames: [], fails: malformed },
  { title: "length of 2^63", turns: [header, turn("9223372036854775808|a.jpg", 0)], frames: [], fails: malformed },
  { title: "length above the ceiling", turns: [header, turn("70368744177665|a.jpg", 0)], frames: [], fails: limit },
  { title: "session header with a line end", turns: [turn("visible|fol\nder", 0)], frames: [], fails: malformed },
  { title: "unsafe session header", turns: [turn("visible|..", 0)], frames: [], fails: malformed },
  {
    title: "neither continue nor over",
    turns: [header, turn("2|a.jpg", 1), turn("xx", 1), turn("conclude", 0)],
    frames: [{ name: "a.jpg", bytes: utf8("xx") }],
    fails: malformed,
  },
];
