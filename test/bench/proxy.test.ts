/**
 * The proxy's promises: bytes arrive in order and whole, never early, never faster than the rate, and no more are held
 * than it says. Times have a lower bound, which a slow machine cannot break.
 */
import { afterEach, expect, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import { type LinkShape, type Proxy, startProxy } from "../../scripts/bench/proxy.ts";
import { Random } from "../support/random.ts";

const toClose: (() => void)[] = [];

afterEach(() => {
  for (const close of toClose.splice(0)) close();
});

/** A server behind a proxy, and a client in front of it. */
async function connectThrough(shape: LinkShape, serve: (socket: Socket) => void): Promise<[Socket, Proxy]> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    // A socket that the proxy drops at the end of a test.
    socket.on("error", () => undefined);
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const proxy = startProxy({ ...shape, toPort: address.port });
  const client = connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true });
  client.on("error", () => undefined);
  toClose.push(
    () => client.destroy(),
    () => proxy.stop(),
    () => server.close(),
  );
  return [client, proxy];
}

/** Everything up to the FIN. The socket stays as it is, so that the other direction goes on. */
function readAll(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  socket.on("data", (piece: Buffer) => pieces.push(piece));
  socket.resume();
  return new Promise((resolve, reject) => {
    socket.once("end", () => resolve(Buffer.concat(pieces)));
    socket.once("error", reject);
  });
}

async function readSome(socket: Socket): Promise<Buffer> {
  return new Promise((resolve) => socket.once("data", resolve));
}

test("bytes pass in both directions, in order and whole, and so does the end of each", async () => {
  const random = new Random(1);
  const up = Buffer.from(random.bytes(1_500_000));
  const down = Buffer.from(random.bytes(700_000));
  const arrived = Promise.withResolvers<Buffer>();
  const [client] = await connectThrough({ oneWayMs: 3, bitsPerSecond: 400e6 }, async (socket) => {
    // The answer begins at once, and ends before the client has ended.
    socket.end(down);
    arrived.resolve(await readAll(socket));
  });
  const answer = readAll(client);
  for (let at = 0; at < up.length;) {
    const bytes = 1 + random.int(90_000);
    client.write(up.subarray(at, at + bytes));
    at += bytes;
    if (random.chance(0.3)) await Bun.sleep(1);
  }
  expect(Bun.hash.crc32(await answer)).toBe(Bun.hash.crc32(down));
  client.end();
  const received = await arrived.promise;
  expect(received.length).toBe(up.length);
  expect(Bun.hash.crc32(received)).toBe(Bun.hash.crc32(up));
});

test("a question and its answer take a round trip, and the first one the connection's round trip as well", async () => {
  const oneWayMs = 30;
  const [client] = await connectThrough({ oneWayMs }, (socket) => void socket.pipe(socket));
  const startedMs = performance.now();
  for (const question of ["first", "second"]) {
    const askedMs = question === "first" ? startedMs : performance.now();
    client.write(question);
    expect((await readSome(client)).toString()).toBe(question);
    const waitedMs = performance.now() - askedMs;
    expect(waitedMs).toBeGreaterThanOrEqual((question === "first" ? 4 : 2) * oneWayMs - 1);
    expect(waitedMs).toBeLessThan(5_000);
  }
});

test("nothing is faster than the rate", async () => {
  const bytes = 250_000;
  const [client] = await connectThrough({ oneWayMs: 1, bitsPerSecond: 10e6 }, (socket) => {
    socket.end(Buffer.alloc(bytes, 7));
  });
  const startedMs = performance.now();
  expect((await readAll(client)).length).toBe(bytes);
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(200);
});

test("a link with a rate carries nothing before the connection's round trip is over", async () => {
  const [oneWayMs, bytes] = [40, 100_000];
  const [client] = await connectThrough({ oneWayMs, bitsPerSecond: 8e6 }, (socket) => {
    void readAll(socket).then(() => socket.end("done"));
  });
  const startedMs = performance.now();
  client.end(Buffer.alloc(bytes, 7));
  expect((await readAll(client)).toString()).toBe("done");
  // Connecting, 100 ms of bytes, and their way and that of the answer.
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(2 * oneWayMs + 100 + 2 * oneWayMs - 1);
});

test("a reader that rests stops the sender, and what is held stays bounded", async () => {
  const total = 60_000_000;
  const shape = { oneWayMs: 5, bitsPerSecond: 1e9 };
  const accepted = Promise.withResolvers<Socket>();
  const [client, proxy] = await connectThrough(shape, (socket) => {
    socket.pause();
    accepted.resolve(socket);
  });
  const payload = Buffer.from(new Random(2).bytes(1_000_000));
  for (let at = 0; at < total; at += payload.length) client.write(payload);
  client.end();
  const reader = await accepted.promise;
  // Until nothing moves any more: the sender has bytes left, and cannot get rid of them.
  for (let before = -1; before !== client.bytesWritten - client.writableLength + proxy.heldBytes;) {
    before = client.bytesWritten - client.writableLength + proxy.heldBytes;
    await Bun.sleep(150);
  }
  expect(proxy.heldBytes).toBeGreaterThan(0);
  // The system hands over half a MiB in one read, and one more may come after a pause.
  expect(proxy.heldBytes).toBeLessThanOrEqual(proxy.heldBytesMax + 2 * 512 * 1024);
  const received = await readAll(reader);
  expect(received.length).toBe(total);
  for (let at = 0; at < total; at += payload.length) {
    expect(received.subarray(at, at + payload.length).equals(payload)).toBe(true);
  }
  expect(proxy.heldBytes).toBe(0);
});

test("a connection that is dropped at one end is dropped at the other", async () => {
  const [client] = await connectThrough({ oneWayMs: 1 }, (socket) => {
    socket.once("data", () => socket.resetAndDestroy());
  });
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  client.resume();
  client.write("hello");
  await closed;
});

test("without a receiver behind it, the connection is dropped", async () => {
  const [client] = await connectThrough({ oneWayMs: 1 }, () => undefined);
  client.destroy();
  const unused = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  unused.stop(true);
  const proxy = startProxy({ oneWayMs: 1, toPort: unused.port });
  toClose.push(() => proxy.stop());
  const lost = connect({ port: proxy.port, host: "127.0.0.1" });
  lost.on("error", () => undefined);
  await new Promise<void>((resolve) => lost.once("close", () => resolve()));
});
