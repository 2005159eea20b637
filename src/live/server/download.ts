/** Frames between two moments, given out as they are read (HTTP.md): a client that pauses pauses the reading. */
import { read } from "../../reading/read.ts";
import type { Output } from "../../reading/form.ts";
import { UserError } from "../../errors.ts";
import { answer, Wrong } from "./answer.ts";
import type { Parameters } from "./parameters.ts";
import type { StoredFrames } from "./stored-frames.ts";

export const downloadsMax = 4;
const forms = ["list", "json", "tar", "stream"] as const;
const mediaTypes: Readonly<Record<(typeof forms)[number], string>> = {
  list: "text/plain; charset=utf-8",
  json: "application/x-ndjson",
  tar: "application/x-tar",
  stream: "application/octet-stream",
};
const pieceBytesMax = 262_144;

export class Downloads {
  readonly #stored: StoredFrames;
  #running = 0;

  constructor(stored: StoredFrames) {
    this.#stored = stored;
  }

  /** Throws Wrong. `withBody` false: only what it would be. */
  give(parameters: Parameters, withBody: boolean): Response {
    const as = parameters.word("as", forms);
    const clock = parameters.word("clock", ["sender", "receiver"]);
    const [fromNs, toNs] = [parameters.time("from"), parameters.time("to")];
    const wanted = parameters.keys("source").map((key) => this.#stored.sourceOf(key));
    if (this.#running >= downloadsMax) throw new Wrong(503, `${downloadsMax} downloads run already`);
    const isFile = as === "tar" || as === "stream";
    const fields: Record<string, string> = isFile
      ? { "Content-Disposition": `attachment; filename="frames.${as === "tar" ? "tar" : "bin"}"` }
      : {};
    if (!withBody) return answer("", mediaTypes[as], fields);
    this.#running += 1;
    const leftOut: string[] = [];
    const body = pulled(
      (output, signal) =>
        read({
          directory: this.#stored.directory,
          wanted,
          fromNs,
          toNs,
          clock,
          as,
          output,
          leftOut: ({ path }, problem) => void leftOut.push(`${path} ${problem}\n`),
          remark: () => leftOut.join(""),
          signal,
        }),
      () => (this.#running -= 1),
    );
    return answer(body, mediaTypes[as], fields);
  }
}

/** What `write` gives out, as somebody reads it; `ended` is called once, however it ends. */
function pulled(write: (output: Output, signal: AbortSignal) => Promise<unknown>, ended: () => void): ReadableStream {
  const stop = new AbortController();
  /** Resolves when more is wanted. */
  let wanted = Promise.withResolvers<void>();
  return new ReadableStream(
    {
      start(controller) {
        const output: Output = async (view) => {
          for (let at = 0; at < view.length; at += pieceBytesMax) {
            await wanted.promise;
            if (stop.signal.aborted) throw new UserError("nobody reads it any more", []);
            wanted = Promise.withResolvers();
            // The view is another's when this returns.
            controller.enqueue(view.slice(at, at + pieceBytesMax));
          }
        };
        void write(output, stop.signal)
          .then(() => controller.close())
          .catch((error: unknown) => controller.error(error))
          .finally(ended);
      },
      pull: () => wanted.resolve(),
      cancel: () => {
        stop.abort();
        wanted.resolve();
      },
    },
    { highWaterMark: 1 },
  );
}
