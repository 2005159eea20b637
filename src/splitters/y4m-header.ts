/** The line that a YUV4MPEG2 stream begins with: how many bytes of data each frame has. */

interface Planes {
  /** Planes of width x height. */
  readonly full: number;
  /** How many luma samples, across and down, share a sample in both chroma planes. Infinite: there are none. */
  readonly chroma: readonly [across: number, down: number];
}

const noChroma = [Infinity, Infinity] as const;

/** By the words behind `C` for 8 bits a sample. What follows 420 says where chroma lies, not how much. */
const planesByColour: ReadonlyMap<string, Planes> = new Map([
  ["420", { full: 1, chroma: [2, 2] }],
  ["422", { full: 1, chroma: [2, 1] }],
  ["440", { full: 1, chroma: [1, 2] }],
  ["411", { full: 1, chroma: [4, 1] }],
  ["410", { full: 1, chroma: [4, 4] }],
  ["444", { full: 3, chroma: noChroma }],
  ["444alpha", { full: 4, chroma: noChroma }],
  ["mono", { full: 1, chroma: noChroma }],
]);
const siting = /(?<=^4[0-4]\d)(?:jpeg|mpeg2|paldv)$/;
/** `420p10`, `mono16`: more bits, in two bytes a sample. */
const deepColour = /^(?:(4[0-4]\d)p|(mono))(?:9|1[0-6])$/;

export interface Y4mHeader {
  readonly frameBytes: number;
  /** If `frameBytes` is only what is usual: all lengths that are possible. */
  readonly openBytes: readonly number[];
}

/** What the header line says, or why it says nothing. */
export function readY4mHeader(header: string): Y4mHeader | string {
  if (!/^[\x20-\x7e]*\r?\n?$/.test(header)) return "a stream header that is no text";
  // Its line has lost its end.
  if (/.(?:YUV4MPEG2|FRAME)/.test(header)) return "a stream header that was cut";
  let width = 0;
  let height = 0;
  let colour: string | undefined;
  let extension: string | undefined;
  for (const word of header.trimEnd().split(" ").slice(1)) {
    // Nine digits: products stay finite, and no picture is larger.
    if (/^W\d{1,9}$/.test(word)) width = Number(word.slice(1));
    else if (/^H\d{1,9}$/.test(word)) height = Number(word.slice(1));
    else if (word.startsWith("C")) colour = word.slice(1);
    else if (word.startsWith("XYSCSS=")) extension = word.slice(7).toLowerCase();
  }
  if (width === 0 || height === 0) return "a stream header without width or height";
  // The older word counts where there is no other, as for ffmpeg and mjpegtools.
  const said = colour ?? extension;
  const frameBytes = bytesOf(said ?? "420", width, height);
  if (frameBytes === undefined) return `a stream of an unknown colour space, ${JSON.stringify(said)}`;
  if (said !== undefined) return { frameBytes, openBytes: [frameBytes] };
  const eight = [...planesByColour.keys()].map((each) => bytesOf(each, width, height) ?? 0);
  return { frameBytes, openBytes: [...eight, ...eight.map((bytes) => 2 * bytes)] };
}

function bytesOf(colour: string, width: number, height: number): number | undefined {
  const [, sampled, mono] = deepColour.exec(colour) ?? [];
  const deep = sampled ?? mono;
  const planes = planesByColour.get(deep ?? colour.replace(siting, ""));
  if (planes === undefined) return undefined;
  const [across, down] = planes.chroma;
  const samples = planes.full * width * height + 2 * Math.ceil(width / across) * Math.ceil(height / down);
  return deep === undefined ? samples : 2 * samples;
}
