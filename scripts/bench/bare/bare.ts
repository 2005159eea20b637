/**
 * Files over one connection, and nothing else: no checksum, no catalogue, no acknowledgement but one at the end. What
 * is left is what the runtime and the system take for the same work: look, open, read, send; receive, create, write,
 * rename. Names and sizes are trusted.
 *
 *     bun scripts/bench/bare/bare.ts receive PORT DIR      each connection stores in a folder of its own: DIR/0, DIR/1
 *     bun scripts/bench/bare/bare.ts send PORT DIR
 *
 * On the wire, per file: its name's length and its size, 32 bits each, little end first; name; bytes. A name of no
 * length ends it, and is answered with one byte.
 */
import {
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  writeSync,
} from "node:fs";

const hostname = "127.0.0.1";
const headBytes = 8;
const flushBytes = 256 * 1024;
const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** What one connection has sent of the file in hand, and the head that has not come to its end. */
class Store {
  readonly #folder: string;
  #head = new Uint8Array(0);
  #name = "";
  #file = -1;
  #leftBytes = 0;
  #count = 0;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(`${folder}/tmp`, { recursive: true });
  }

  /** Returns whether the last file is stored. */
  take(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.length || this.#file !== -1) {
      if (this.#file === -1) {
        const bytes = this.#head.length === 0 ? chunk.subarray(at) : Buffer.concat([this.#head, chunk.subarray(at)]);
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        const nameBytes = bytes.length < headBytes ? 0 : view.getUint32(0, true);
        if (bytes.length < headBytes + nameBytes) {
          this.#head = bytes.slice();
          return false;
        }
        if (nameBytes === 0) return true;
        this.#name = decoder.decode(bytes.subarray(headBytes, headBytes + nameBytes));
        this.#leftBytes = view.getUint32(4, true);
        at += headBytes + nameBytes - this.#head.length;
        this.#head = new Uint8Array(0);
        this.#count += 1;
        this.#file = openSync(this.#temporary, "wx");
      }
      const length = Math.min(this.#leftBytes, chunk.length - at);
      if (length > 0) writeSync(this.#file, chunk, at, length);
      at += length;
      this.#leftBytes -= length;
      if (this.#leftBytes > 0) return false;
      closeSync(this.#file);
      this.#file = -1;
      renameSync(this.#temporary, `${this.#folder}/${this.#name}`);
    }
    return false;
  }

  get #temporary(): string {
    return `${this.#folder}/tmp/${this.#count}`;
  }
}

function receive(port: number, directory: string): void {
  let connections = 0;
  Bun.listen<Store>({
    hostname,
    port,
    socket: {
      binaryType: "uint8array",
      open(socket) {
        socket.data = new Store(`${directory}/${connections}`);
        connections += 1;
      },
      data(socket, chunk) {
        if (socket.data.take(chunk)) socket.write("k");
        // As framepipe does it: left to the collector, the chunks cost more.
        (chunk.buffer as ArrayBuffer).transfer(0);
      },
    },
  });
}

async function send(port: number, directory: string): Promise<void> {
  const buffer = new Uint8Array(16 * 1024 * 1024);
  const fields = new DataView(buffer.buffer);
  let drained = (): void => undefined;
  const answered = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    hostname,
    port,
    socket: { data: () => answered.resolve(), drain: () => drained() },
  });
  const flush = async (length: number): Promise<void> => {
    for (let at = 0; at < length;) {
      at += Math.max(0, socket.write(buffer, at, length - at));
      if (at < length) await new Promise<void>((resolve) => (drained = resolve));
    }
  };
  let filled = 0;
  for (const name of readdirSync(directory)) {
    const path = `${directory}/${name}`;
    lstatSync(path);
    const file = openSync(path, "r");
    const { size } = fstatSync(file);
    const nameBytes = encoder.encodeInto(name, buffer.subarray(filled + headBytes)).written;
    fields.setUint32(filled, nameBytes, true);
    fields.setUint32(filled + 4, size, true);
    filled += headBytes + nameBytes;
    filled += readSync(file, buffer, filled, size, null);
    fstatSync(file);
    closeSync(file);
    if (filled < flushBytes) continue;
    await flush(filled);
    filled = 0;
  }
  fields.setUint32(filled, 0, true);
  fields.setUint32(filled + 4, 0, true);
  await flush(filled + headBytes);
  await answered.promise;
  socket.terminate();
}

const [role, port, directory = ""] = process.argv.slice(2);
if (role === "receive") receive(Number(port), directory);
else await send(Number(port), directory);
