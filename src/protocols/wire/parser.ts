/**
 * The ring-buffer parser: bytes in as the socket hands them over, messages and payload views out.
 *
 *     push(chunk)*  then  next() until "more"
 *
 * - "message": `kind`, `flags`, `head` and `payloadBytes` of a message are valid until the next call.
 * - "payload": `piece` is the next part of that message's payload, as it lies in the chunk, until the next call.
 *   `payloadLeft` is what is still to come.
 * - "more": nothing complete is here.
 *
 * Payload bytes are never copied (but see bytes/ring.ts on crumbs). Kinds that are not known are skipped here, so
 * nobody else sees them. The first failure is kept and thrown again by every later call: after a bad length no
 * boundary can be trusted.
 */
import { crc32 } from "../../bytes/checksum.ts";
import { u32At } from "../../bytes/field-reader.ts";
import { ByteRing } from "../../bytes/ring.ts";
import { ProtocolCode, ProtocolError } from "../../errors.ts";
import { headBytesMax, helloBytesMax, payloadBytesMax } from "../../limits.ts";
import { checkBytes, headerBytes, Kind, kindName, magic, version } from "./constants.ts";

export class MessageParser {
  readonly #ring = new ByteRing();
  #failure: ProtocolError | undefined;
  /** The header has been checked; head and check are awaited. */
  #headerSeen = false;
  #headBytes = 0;
  #skipping = false;

  /** Only HELLO may come, and it is refused by its header if it claims too much: a stranger's. */
  greeting = false;
  /** The version of the present message. */
  version: number = version;
  kind = 0;
  flags = 0;
  /** The fields. Valid until the next call of `next`. */
  head: Uint8Array = new Uint8Array(0);
  /** Payload of the present message in all. */
  payloadBytes = 0;
  /** Payload of the present message still to come. */
  payloadLeft = 0;
  piece: Uint8Array = this.head;

  /** Takes ownership of `chunk`. */
  push(chunk: Uint8Array): void {
    this.#ring.push(chunk);
  }

  /** Pause the socket. */
  get full(): boolean {
    return this.#ring.full;
  }

  /** A message has begun and is not complete up to its payload. */
  get inHead(): boolean {
    return this.payloadLeft === 0 && (this.#headerSeen || this.#ring.byteLength > 0);
  }

  /** Bytes that were copied because they straddled chunks or came in crumbs. */
  get joinedBytes(): number {
    return this.#ring.joinedBytes;
  }

  /** What was given before is no longer valid. Throws ProtocolError, the same one ever after. */
  next(): "message" | "payload" | "more" {
    if (this.#failure !== undefined) throw this.#failure;
    this.#ring.release();
    for (;;) {
      if (this.payloadLeft > 0) {
        if (this.#ring.byteLength === 0) return "more";
        const piece = this.#ring.take(this.payloadLeft);
        this.payloadLeft -= piece.length;
        if (this.#skipping) continue;
        this.piece = piece;
        return "payload";
      }
      if (!this.#headerSeen && !this.#readHeader()) return "more";
      if (!this.#readHead()) return "more";
      if (!this.#skipping) return "message";
    }
  }

  #readHeader(): boolean {
    // Bytes of another protocol are recognised by the first, not after waiting for twelve.
    if (this.#ring.byteLength > 0 && this.#ring.byteAt(0) !== magic) {
      this.#fail(ProtocolCode.malformed, `first byte ${this.#ring.byteAt(0)}, expected ${magic}`);
    }
    const header = this.#ring.tryView(headerBytes);
    if (header === undefined) return false;
    this.version = header[1] as number;
    this.kind = header[2] as number;
    // REFUSE has the same layout in every version, so that versions can tell each other which they speak.
    if (this.version !== version && this.kind !== Kind.refuse) {
      this.#fail(ProtocolCode.version, `version ${this.version}, expected ${version}`);
    }
    this.flags = header[3] as number;
    this.#headBytes = u32At(header, 4);
    this.payloadBytes = u32At(header, 8);
    if (this.greeting && this.kind !== Kind.hello) {
      this.#fail(ProtocolCode.unexpected, `${(kindName(this.kind) ?? `kind ${this.kind}`).toUpperCase()} before HELLO`);
    }
    const headMax = this.greeting ? helloBytesMax : headBytesMax;
    if (this.#headBytes > headMax) {
      this.#fail(ProtocolCode.limit, `head of ${this.#headBytes} bytes, limit ${headMax}`);
    }
    const mayCarry = this.kind === Kind.frame || this.kind === Kind.chunk || kindName(this.kind) === undefined;
    const payloadMax = mayCarry ? payloadBytesMax : 0;
    if (this.payloadBytes > payloadMax) {
      this.#fail(ProtocolCode.limit, `payload of ${this.payloadBytes} bytes in kind ${this.kind}, limit ${payloadMax}`);
    }
    this.#headerSeen = true;
    return true;
  }

  #readHead(): boolean {
    const checkedBytes = headerBytes + this.#headBytes;
    const view = this.#ring.tryView(checkedBytes + checkBytes);
    if (view === undefined) return false;
    if (crc32(view.subarray(0, checkedBytes)) !== u32At(view, checkedBytes)) {
      this.#fail(ProtocolCode.damaged, "the check of a message does not hold");
    }
    this.#ring.skip(checkedBytes + checkBytes);
    this.head = view.subarray(headerBytes, checkedBytes);
    this.payloadLeft = this.payloadBytes;
    this.#headerSeen = false;
    this.#skipping = kindName(this.kind) === undefined;
    return true;
  }

  #fail(code: ProtocolCode, message: string): never {
    this.#failure = new ProtocolError(code, message);
    throw this.#failure;
  }
}
