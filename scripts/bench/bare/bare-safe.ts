/**
 * As bare.ts, with what framepipe promises of each frame and nothing more: a checksum that is compared, a row in a
 * catalogue, and an acknowledgement once both the file and its row are there. Frames are committed in groups. It cannot
 * resume, and a name that is there already ends it. What is left is what the runtime takes for these guarantees.
 *
 *     bun scripts/bench/bare/bare-safe.ts receive PORT DIR      each connection stores in a folder of its own
 *     bun scripts/bench/bare/bare-safe.ts send PORT DIR
 *
 * On the wire, per file: its name's length, its size and its CRC-32, 32 bits each, little end first; name; bytes.
 * Answers are 32 bits: how many files of the connection are stored. Nothing is flushed to the disk, as with
 * `--sync never`.
 */
import { Database } from "bun:sqlite";
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
const headBytes = 12;
const flushBytes = 256 * 1024;
const groupFrames = 256;
const groupMs = 10;
const decoder = new TextDecoder();
const encoder = new TextEncoder();

interface Stored {
  readonly temporary: string;
  readonly name: string;
  readonly bytes: number;
  readonly crc32: number;
}

class Store {
  readonly #folder: string;
  readonly #database: Database;
  readonly #answer: (stored: number) => void;
  readonly #addRow;
  readonly #group: Stored[] = [];
  #stored = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #head = new Uint8Array(0);
  #name = "";
  #file = -1;
  #bytes = 0;
  #leftBytes = 0;
  #expectedCrc32 = 0;
  #crc32 = 0;
  #count = 0;

  constructor(folder: string, answer: (stored: number) => void) {
    this.#folder = folder;
    this.#answer = answer;
    mkdirSync(`${folder}/tmp`, { recursive: true });
    this.#database = new Database(`${folder}.db`, { create: true });
    this.#database.run("PRAGMA journal_mode = WAL");
    this.#database.run("PRAGMA synchronous = OFF");
    this.#database.run("CREATE TABLE frames (name TEXT PRIMARY KEY, bytes INTEGER, crc32 INTEGER) WITHOUT ROWID");
    this.#addRow = this.#database.prepare("INSERT INTO frames VALUES (?1, ?2, ?3)");
  }

  take(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length || this.#file !== -1) {
      if (this.#file === -1) {
        const bytes = this.#head.length === 0 ? chunk.subarray(at) : Buffer.concat([this.#head, chunk.subarray(at)]);
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        const nameBytes = bytes.length < headBytes ? 0 : view.getUint32(0, true);
        if (bytes.length < headBytes + nameBytes) {
          this.#head = bytes.slice();
          return;
        }
        this.#name = decoder.decode(bytes.subarray(headBytes, headBytes + nameBytes));
        this.#bytes = this.#leftBytes = view.getUint32(4, true);
        this.#expectedCrc32 = view.getUint32(8, true);
        at += headBytes + nameBytes - this.#head.length;
        this.#head = new Uint8Array(0);
        this.#crc32 = 0;
        this.#count += 1;
        this.#file = openSync(this.#temporary, "wx");
      }
      const piece = chunk.subarray(at, at + this.#leftBytes);
      if (piece.length > 0) {
        writeSync(this.#file, piece);
        this.#crc32 = Bun.hash.crc32(piece, this.#crc32);
      }
      at += piece.length;
      this.#leftBytes -= piece.length;
      if (this.#leftBytes > 0) return;
      closeSync(this.#file);
      this.#file = -1;
      if (this.#crc32 !== this.#expectedCrc32) throw new Error(`${this.#name}: wrong checksum`);
      this.#group.push({ temporary: this.#temporary, name: this.#name, bytes: this.#bytes, crc32: this.#crc32 });
      if (this.#group.length >= groupFrames) this.#commit();
      else this.#timer ??= setTimeout(() => this.#commit(), groupMs);
    }
  }

  get #temporary(): string {
    return `${this.#folder}/tmp/${this.#count}`;
  }

  #commit(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { temporary, name } of this.#group) renameSync(temporary, `${this.#folder}/${name}`);
    this.#database.transaction(() => {
      for (const { name, bytes, crc32 } of this.#group) this.#addRow.run(name, bytes, crc32);
    })();
    this.#stored += this.#group.length;
    this.#group.length = 0;
    this.#answer(this.#stored);
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
        socket.data = new Store(`${directory}/${connections}`, (stored) => socket.write(Uint32Array.of(stored)));
        connections += 1;
      },
      data(socket, chunk) {
        socket.data.take(chunk);
        // As framepipe does it: left to the collector, the chunks cost more.
        (chunk.buffer as ArrayBuffer).transfer(0);
      },
    },
  });
}

async function send(port: number, directory: string): Promise<void> {
  const buffer = new Uint8Array(16 * 1024 * 1024);
  const fields = new DataView(buffer.buffer);
  const names = readdirSync(directory);
  let drained = (): void => undefined;
  const answered = Promise.withResolvers<void>();
  let answers = Buffer.alloc(0);
  const socket = await Bun.connect({
    hostname,
    port,
    socket: {
      data(_, chunk) {
        answers = Buffer.concat([answers.subarray(answers.length - (answers.length % 4)), chunk]);
        const whole = answers.length - (answers.length % 4);
        if (whole > 0 && answers.readUInt32LE(whole - 4) === names.length) answered.resolve();
      },
      drain: () => drained(),
    },
  });
  const flush = async (length: number): Promise<void> => {
    for (let at = 0; at < length;) {
      at += Math.max(0, socket.write(buffer, at, length - at));
      if (at < length) await new Promise<void>((resolve) => (drained = resolve));
    }
  };
  let filled = 0;
  for (const name of names) {
    const path = `${directory}/${name}`;
    lstatSync(path);
    const file = openSync(path, "r");
    const { size } = fstatSync(file);
    const nameBytes = encoder.encodeInto(name, buffer.subarray(filled + headBytes)).written;
    const bytesAt = filled + headBytes + nameBytes;
    readSync(file, buffer, bytesAt, size, null);
    fstatSync(file);
    closeSync(file);
    fields.setUint32(filled, nameBytes, true);
    fields.setUint32(filled + 4, size, true);
    fields.setUint32(filled + 8, Bun.hash.crc32(buffer.subarray(bytesAt, bytesAt + size)), true);
    filled = bytesAt + size;
    if (filled < flushBytes) continue;
    await flush(filled);
    filled = 0;
  }
  await flush(filled);
  await answered.promise;
  socket.terminate();
}

const [role, port, directory = ""] = process.argv.slice(2);
if (role === "receive") receive(Number(port), directory);
else await send(Number(port), directory);
