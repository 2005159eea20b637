/**
 * The article's sender for a link of the proxy. In the original, Nagle's algorithm keeps `continue` and the next header
 * apart until the receiver's system has acknowledged the first, which takes 40 ms and a round trip. The proxy's side of
 * the connection is on this machine and acknowledges at once, so both would arrive together, and the original receiver
 * takes each read for one message and waits for ever. So this sender waits itself, for the 40 ms alone, which is more
 * than fair to it.
 *
 *     bun scripts/bench/article-sender.ts PORT FORMAT DIR
 */
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { basename, join } from "node:path";

const delayedAckMs = 40;

const [port, format = "", folder = "."] = process.argv.slice(2);
const socket = connect(Number(port), "127.0.0.1");
const replies = socket[Symbol.asyncIterator]();

async function expectOk(): Promise<void> {
  const { value } = await replies.next();
  if (String(value) !== "ok") throw new Error(`expected ok, got ${String(value)}`);
}

socket.write(`${format}|${basename(folder)}`);
await expectOk();
const names = readdirSync(folder).toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
for (const [index, name] of names.entries()) {
  if (index > 0) {
    socket.write("continue");
    await Bun.sleep(delayedAckMs);
  }
  const bytes = readFileSync(join(folder, name));
  socket.write(`${bytes.length}|${name}`);
  await expectOk();
  socket.write(bytes);
  await expectOk();
}
socket.end("over");
