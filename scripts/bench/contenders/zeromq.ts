/** ZeroMQ push and pull, from Python, as laboratories write it: one message of name and bytes for each frame. */
import { join } from "node:path";
import { writeFileSync } from "node:fs";
import { type Contender, movedAll } from "../contender.ts";
import { freePort } from "../stage.ts";

const pushProgram = `
import os, sys, zmq
folder, address = sys.argv[1:]
context = zmq.Context()
push = context.socket(zmq.PUSH)
push.connect(address)
for name in sorted(os.listdir(folder)):
    with open(os.path.join(folder, name), "rb") as file:
        push.send_multipart([name.encode(), file.read()], copy=False)
push.send_multipart([b"", b""])
push.close()
context.term()
`;

const pullProgram = `
import os, sys, zmq
folder, address = sys.argv[1:]
pull = zmq.Context().socket(zmq.PULL)
pull.bind(address)
while True:
    name, payload = pull.recv_multipart(copy=False)
    if len(name) == 0:
        break
    with open(os.path.join(folder, name.bytes.decode()), "wb", buffering=0) as file:
        file.write(payload.buffer)
print("stored", flush=True)
`;

/** The first Python that has ZeroMQ; the one that comes first on the path may be another than Debian's. */
export function findPython(): string | undefined {
  const candidates = [Bun.which("python3"), Bun.which("/usr/bin/python3")].filter((path) => path !== null);
  return candidates.find((path) => Bun.spawnSync([path, "-c", "import zmq"]).success);
}
let python: string | undefined;

const requestProgram = `
import os, sys, zmq
folder, address = sys.argv[1:]
context = zmq.Context()
request = context.socket(zmq.REQ)
request.connect(address)
for name in sorted(os.listdir(folder)):
    with open(os.path.join(folder, name), "rb") as file:
        request.send_multipart([name.encode(), file.read()], copy=False)
    request.recv()
request.send_multipart([b"", b""])
request.recv()
request.close()
context.term()
`;

const replyProgram = `
import os, sys, zmq
folder, address = sys.argv[1:]
reply = zmq.Context().socket(zmq.REP)
reply.bind(address)
while True:
    name, payload = reply.recv_multipart(copy=False)
    if len(name) == 0:
        break
    path = os.path.join(folder, name.bytes.decode())
    with open(path + ".part", "wb", buffering=0) as file:
        file.write(payload.buffer)
    os.rename(path + ".part", path)
    reply.send(b"ok")
reply.send(b"ok")
print("stored", flush=True)
`;

interface ZeromqOptions {
  readonly name: string;
  readonly safe: boolean;
  readonly guarantees: string;
  readonly sender: string;
  readonly receiver: string;
}

function zeromqProgram({ name, safe, guarantees, sender, receiver }: ZeromqOptions): Contender {
  return {
    name,
    role: "peer",
    safe,
    guarantees: `${guarantees}; time to the last file written, in the receiver's words`,
    kinds: ["directory"],
    missing: () => {
      python ??= findPython();
      return python === undefined ? "python3-zmq" : undefined;
    },
    async run({ set, dest, scratch, stage }) {
      python ??= findPython();
      const address = `tcp://127.0.0.1:${freePort()}`;
      const [send, receive] = [join(scratch, "send.py"), join(scratch, "receive.py")];
      writeFileSync(send, sender);
      writeFileSync(receive, receiver);
      const child = stage.start("receiver", [python ?? "python3", receive, dest, address], { stdout: "lines" });
      await stage.listening(Number(address.split(":").at(-1)));
      await stage.time(() => {
        stage.start("sender", [python ?? "python3", send, set.folder, address]);
        return child.line();
      });
      return movedAll(set, dest);
    },
  };
}

export const zeromq: Contender = zeromqProgram({
  name: "zeromq",
  safe: false,
  guarantees: "push to pull, python3-zmq: no checksum, nothing acknowledged, lost with the process",
  sender: pushProgram,
  receiver: pullProgram,
});

export const zeromqReply: Contender = zeromqProgram({
  name: "zeromq-reply",
  safe: true,
  guarantees: "request and reply, python3-zmq: each frame answered when it has its name, and only then the next",
  sender: requestProgram,
  receiver: replyProgram,
});
