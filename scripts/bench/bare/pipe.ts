/**
 * A live stream over one connection, and nothing else: standard input is copied to a socket, and what comes out of it
 * is cut into files of a fixed size. What is left is what the runtime takes for it.
 *
 *     bun scripts/bench/bare/pipe.ts receive PORT DIR BYTES
 *     bun scripts/bench/bare/pipe.ts send PORT
 */
import { closeSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";

const hostname = "127.0.0.1";

function receive(port: number, folder: string, frameBytes: number): void {
  mkdirSync(`${folder}/tmp`, { recursive: true });
  let [file, leftBytes, count] = [-1, 0, 0];
  Bun.listen({
    hostname,
    port,
    socket: {
      binaryType: "uint8array",
      data(_, chunk) {
        for (let at = 0; at < chunk.length;) {
          if (file === -1) {
            count += 1;
            file = openSync(`${folder}/tmp/${count}`, "wx");
            leftBytes = frameBytes;
          }
          const length = Math.min(leftBytes, chunk.length - at);
          writeSync(file, chunk, at, length);
          at += length;
          leftBytes -= length;
          if (leftBytes > 0) continue;
          closeSync(file);
          file = -1;
          renameSync(`${folder}/tmp/${count}`, `${folder}/${count}`);
        }
        // As framepipe does it: left to the collector, the chunks cost more.
        (chunk.buffer as ArrayBuffer).transfer(0);
      },
    },
  });
}

async function send(port: number): Promise<void> {
  let drained = (): void => undefined;
  const socket = await Bun.connect({ hostname, port, socket: { data: () => undefined, drain: () => drained() } });
  for await (const chunk of Bun.stdin.stream()) {
    for (let at = 0; at < chunk.length;) {
      at += Math.max(0, socket.write(chunk, at, chunk.length - at));
      if (at < chunk.length) await new Promise<void>((resolve) => (drained = resolve));
    }
  }
  socket.end();
}

const [role, port, folder = "", frameBytes] = process.argv.slice(2);
if (role === "receive") receive(Number(port), folder, Number(frameBytes));
else await send(Number(port));
