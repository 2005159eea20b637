/**
 * TLS 1.3 by hand, as much of it as a liar needs: no library signs a handshake with a key that is not the one of its
 * certificate, and an attacker does. One cipher (AES-128-GCM, SHA-256), one group (X25519), Ed25519; RFC 8446.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";
import type { Socket } from "bun";

/** What a liar shows, and what it signs with. */
export interface Mask {
  /** DER; undefined: it shows none. */
  readonly certificate: Uint8Array | undefined;
  readonly signWith: KeyObject | undefined;
  readonly alpn?: string;
}

const handshakeType = {
  clientHello: 1,
  serverHello: 2,
  encryptedExtensions: 8,
  certificate: 11,
  request: 13,
  verify: 15,
  finished: 20,
};
const record = { change: 20, alert: 21, handshake: 22, data: 23 };
const empty = Buffer.alloc(0);
const spkiHead = Buffer.from("302a300506032b656e032100", "hex");

const sha256 = (...parts: Uint8Array[]): Buffer => createHash("sha256").update(Buffer.concat(parts)).digest();
const hmac = (key: Uint8Array, data: Uint8Array): Buffer => createHmac("sha256", key).update(data).digest();

/** A length of so many bytes, and what it is of. */
function sized(lengthBytes: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(body.length, 0, lengthBytes);
  return Buffer.concat([length, body]);
}

const u16 = (...values: number[]): Buffer => Buffer.from(values.flatMap((value) => [value >> 8, value & 255]));
const extension = (type: number, ...parts: Uint8Array[]): Buffer => Buffer.concat([u16(type), sized(2, ...parts)]);
const message = (type: number, ...parts: Uint8Array[]): Buffer => Buffer.concat([Buffer.of(type), sized(3, ...parts)]);

function expandLabel(secret: Uint8Array, label: string, context: Uint8Array, bytes: number): Buffer {
  const info = Buffer.concat([u16(bytes), sized(1, Buffer.from(`tls13 ${label}`)), sized(1, context), Buffer.of(1)]);
  return hmac(secret, info).subarray(0, bytes);
}

/** One direction's keys. */
class Protection {
  readonly #key: Buffer;
  readonly #iv: Buffer;
  #count = 0;

  constructor(secret: Uint8Array) {
    this.#key = expandLabel(secret, "key", empty, 16);
    this.#iv = expandLabel(secret, "iv", empty, 12);
  }

  #nonce(): Buffer {
    const nonce = Buffer.from(this.#iv);
    const count = this.#count++;
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ count) >>> 0, 8);
    return nonce;
  }

  seal(type: number, bytes: Uint8Array): Buffer {
    const head = Buffer.concat([Buffer.of(record.data), u16(0x0303, bytes.length + 17)]);
    const cipher = createCipheriv("aes-128-gcm", this.#key, this.#nonce()).setAAD(head);
    return Buffer.concat([
      head,
      cipher.update(bytes),
      cipher.update(Buffer.of(type)),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
  }

  open(head: Uint8Array, body: Uint8Array): { type: number; bytes: Buffer } {
    const cipher = createDecipheriv("aes-128-gcm", this.#key, this.#nonce())
      .setAAD(head)
      .setAuthTag(body.subarray(-16));
    const plain = Buffer.concat([cipher.update(body.subarray(0, -16)), cipher.final()]);
    const last = plain.findLastIndex((byte) => byte !== 0);
    return { type: plain[last] ?? 0, bytes: plain.subarray(0, last) };
  }
}

/** What both ends of a liar's connection have in common: records, messages, keys. */
class Conversation {
  readonly #transcript: Buffer[] = [];
  readonly #mine = generateKeyPairSync("x25519");
  #incoming: Buffer = empty;
  #messages: Buffer = empty;
  #handshakeSecret: Buffer = empty;
  reads: Protection | undefined;
  writes: Protection | undefined;

  get share(): Buffer {
    return Buffer.from(this.#mine.publicKey.export({ type: "spki", format: "der" })).subarray(-32);
  }

  note(...messages: Buffer[]): Buffer {
    this.#transcript.push(...messages);
    return Buffer.concat(messages);
  }

  get hash(): Buffer {
    return sha256(...this.#transcript);
  }

  /** The traffic secrets of the handshake, from the other end's share. */
  agree(share: Uint8Array): { client: Buffer; server: Buffer } {
    const publicKey = createPublicKey({ key: Buffer.concat([spkiHead, share]), format: "der", type: "spki" });
    const shared = diffieHellman({ privateKey: this.#mine.privateKey, publicKey });
    const early = hmac(Buffer.alloc(32), Buffer.alloc(32));
    this.#handshakeSecret = hmac(expandLabel(early, "derived", sha256(), 32), shared);
    return this.#traffic(this.#handshakeSecret, "hs");
  }

  /** Those of what follows, when the server's Finished has been noted. */
  applicationSecrets(): { client: Buffer; server: Buffer } {
    return this.#traffic(hmac(expandLabel(this.#handshakeSecret, "derived", sha256(), 32), Buffer.alloc(32)), "ap");
  }

  #traffic(secret: Buffer, stage: string): { client: Buffer; server: Buffer } {
    const of = (end: string): Buffer => expandLabel(secret, `${end} ${stage} traffic`, this.hash, 32);
    return { client: of("c"), server: of("s") };
  }

  certificate(mask: Mask, context: Uint8Array, end: "client" | "server"): Buffer[] {
    const entry = mask.certificate === undefined ? empty : Buffer.concat([sized(3, mask.certificate), u16(0)]);
    const shown = [this.note(message(handshakeType.certificate, sized(1, context), sized(3, entry)))];
    if (mask.signWith === undefined) return shown;
    const label = Buffer.from(`TLS 1.3, ${end} CertificateVerify\0`);
    const signature = sign(null, Buffer.concat([Buffer.alloc(64, 0x20), label, this.hash]), mask.signWith);
    return [...shown, this.note(message(handshakeType.verify, u16(0x0807), sized(2, signature)))];
  }

  finished(secret: Uint8Array): Buffer {
    return this.note(message(handshakeType.finished, hmac(expandLabel(secret, "finished", empty, 32), this.hash)));
  }

  /** Records of what has arrived: messages of the handshake one by one, everything else as it is. */
  *take(chunk: Uint8Array): Generator<{ type: number; bytes: Buffer }> {
    this.#incoming = Buffer.concat([this.#incoming, chunk]);
    while (this.#incoming.length >= 5) {
      const end = 5 + this.#incoming.readUInt16BE(3);
      if (this.#incoming.length < end) return;
      const [head, body] = [this.#incoming.subarray(0, 5), this.#incoming.subarray(5, end)];
      this.#incoming = this.#incoming.subarray(end);
      if (head[0] === record.change) continue;
      const { type, bytes } =
        head[0] === record.data && this.reads !== undefined
          ? this.reads.open(head, body)
          : { type: head[0] ?? 0, bytes: Buffer.from(body) };
      if (type !== record.handshake) {
        yield { type, bytes };
        continue;
      }
      this.#messages = Buffer.concat([this.#messages, bytes]);
      while (this.#messages.length >= 4) {
        const length = 4 + this.#messages.readUIntBE(1, 3);
        if (this.#messages.length < length) break;
        const whole = Buffer.from(this.#messages.subarray(0, length));
        this.#messages = this.#messages.subarray(length);
        yield { type, bytes: whole };
      }
    }
  }
}

const plainRecord = (bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.of(record.handshake), u16(0x0303), sized(2, bytes)]);

function alpnExtension(alpn: string): Buffer {
  return extension(16, sized(2, sized(1, Buffer.from(alpn))));
}

/** What came of it. */
export interface Meeting {
  /** Everything that the other end said within TLS once the handshake was done, alerts not counted. */
  readonly heard: Buffer;
  /** The other end's certificate was seen, and its Finished held. */
  readonly shaken: boolean;
  /** An alert of TLS. */
  readonly alert: number | undefined;
}

/**
 * Connects as a client that lies about its key, and says `says` as soon as it can; `damage` changes what goes out. Ends
 * when the other end does.
 */
export async function lieToServer(
  port: number,
  mask: Mask,
  says: Uint8Array,
  damage: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes,
): Promise<Meeting> {
  const talk = new Conversation();
  const { promise, resolve } = Promise.withResolvers<Meeting>();
  let heard: Buffer = empty;
  let context: Buffer = empty;
  let shaken = false;
  let alert: number | undefined;
  let secrets: { client: Buffer; server: Buffer } | undefined;
  const answer = (socket: Socket, { type, bytes }: { type: number; bytes: Buffer }): void => {
    if (type === record.alert) alert = bytes[1];
    if (type === record.data) heard = Buffer.concat([heard, bytes]);
    if (type !== record.handshake || shaken) return;
    const kind = bytes[0];
    if (kind === handshakeType.finished && secrets !== undefined) {
      const expected = hmac(expandLabel(secrets.server, "finished", empty, 32), talk.hash);
      if (!expected.equals(bytes.subarray(4))) throw new Error("the server's Finished does not hold");
    }
    talk.note(bytes);
    if (kind === handshakeType.serverHello) {
      secrets = talk.agree(shareOf(bytes, 4 + 2 + 32 + 1 + (bytes[38] ?? 0) + 3));
      talk.reads = new Protection(secrets.server);
      talk.writes = new Protection(secrets.client);
    } else if (kind === handshakeType.request) context = bytes.subarray(5, 5 + (bytes[4] ?? 0));
    else if (kind === handshakeType.finished && secrets !== undefined && talk.writes !== undefined) {
      shaken = true;
      const application = talk.applicationSecrets();
      const words = [...talk.certificate(mask, context, "client"), talk.finished(secrets.client)];
      socket.write(damage(talk.writes.seal(record.handshake, Buffer.concat(words))));
      talk.reads = new Protection(application.server);
      talk.writes = new Protection(application.client);
      socket.write(damage(talk.writes.seal(record.data, says)));
    }
  };
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => {
        const hello = talk.note(
          message(
            handshakeType.clientHello,
            u16(0x0303),
            randomBytes(32),
            sized(1, randomBytes(32)),
            sized(2, u16(0x1301)),
            sized(1, Buffer.of(0)),
            sized(
              2,
              extension(43, sized(1, u16(0x0304))),
              extension(10, sized(2, u16(0x001d))),
              extension(13, sized(2, u16(0x0807, 0x0403))),
              extension(51, sized(2, u16(0x001d), sized(2, talk.share))),
              alpnExtension(mask.alpn ?? "framepipe/1"),
            ),
          ),
        );
        socket.write(damage(plainRecord(hello)));
      },
      data: (socket, chunk) => {
        for (const each of talk.take(chunk)) answer(socket, each);
      },
      close: () => resolve({ heard, shaken, alert }),
      error: () => undefined,
    },
  });
  return promise;
}

/** The X25519 share in the extensions that begin at `at`. */
function shareOf(hello: Buffer, at: number): Buffer {
  for (let next = at + 2; next + 4 <= hello.length; next += 4 + hello.readUInt16BE(next + 2)) {
    if (hello.readUInt16BE(next) !== 51) continue;
    const body = hello.subarray(next + 4, next + 4 + hello.readUInt16BE(next + 2));
    // A client has a list of shares, a server one.
    for (let share = hello[0] === handshakeType.clientHello ? 2 : 0; share + 4 <= body.length;) {
      const length = body.readUInt16BE(share + 2);
      if (body.readUInt16BE(share) === 0x001d) return body.subarray(share + 4, share + 4 + length);
      share += 4 + length;
    }
  }
  throw new Error("no X25519 share");
}

/**
 * A server that lies about its key. `met` is called with what each client said within TLS after the handshake, and
 * whether it showed its key before.
 */
export function lyingServer(
  mask: Mask,
  met: (said: Buffer, showed: boolean) => void,
): { readonly port: number; stop(): void } {
  interface State {
    readonly talk: Conversation;
    secrets: { client: Buffer; server: Buffer } | undefined;
    said: Buffer;
    showed: boolean;
    done: boolean;
  }
  const server = Bun.listen<State>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => {
        socket.data = { talk: new Conversation(), secrets: undefined, said: empty, showed: false, done: false };
      },
      data: (socket, chunk) => {
        const { talk } = socket.data;
        for (const { type, bytes } of talk.take(chunk)) {
          if (type === record.data) socket.data.said = Buffer.concat([socket.data.said, bytes]);
          if (type !== record.handshake) continue;
          if (bytes[0] === handshakeType.certificate) socket.data.showed = true;
          if (bytes[0] === handshakeType.clientHello) {
            talk.note(bytes);
            greetClient(socket.data, bytes, mask, (words) => socket.write(words));
          } else if (bytes[0] === handshakeType.finished && !socket.data.done) {
            socket.data.done = true;
            talk.reads = new Protection(socket.data.secrets?.client ?? empty);
          }
        }
      },
      close: (socket) => met(socket.data.said, socket.data.showed),
      error: () => undefined,
    },
  });
  return { port: server.port, stop: () => server.stop(true) };

  function greetClient(state: State, hello: Buffer, own: Mask, write: (words: Buffer) => void): void {
    const { talk } = state;
    const sessionAt = 38;
    const session = hello.subarray(sessionAt + 1, sessionAt + 1 + (hello[sessionAt] ?? 0));
    let at = sessionAt + 1 + session.length;
    at += 2 + hello.readUInt16BE(at);
    at += 1 + (hello[at] ?? 0);
    const answer = talk.note(
      message(
        handshakeType.serverHello,
        u16(0x0303),
        randomBytes(32),
        sized(1, session),
        u16(0x1301),
        Buffer.of(0),
        sized(2, extension(43, u16(0x0304)), extension(51, u16(0x001d), sized(2, talk.share))),
      ),
    );
    const secrets = talk.agree(shareOf(hello, at));
    const writes = new Protection(secrets.server);
    talk.reads = new Protection(secrets.client);
    const words = [
      talk.note(message(handshakeType.encryptedExtensions, sized(2, alpnExtension(own.alpn ?? "framepipe/1")))),
      talk.note(message(handshakeType.request, sized(1), sized(2, extension(13, sized(2, u16(0x0807)))))),
      ...talk.certificate(own, empty, "server"),
      talk.finished(secrets.server),
    ];
    state.secrets = talk.applicationSecrets();
    write(Buffer.concat([plainRecord(answer), writes.seal(record.handshake, Buffer.concat(words))]));
  }
}
