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
function findPython(): string | undefined {
  const candidates = [Bun.which("python3"), Bun.which("/usr/bin/python3")].filter((path) => path !== null);
  return candidates.find((path) => Bun.spawnSync([path, "-c", "import zmq"]).success);
}
let python: string | undefined;

export const zeromq: Contender = {
  name: "zeromq",
  role: "peer",
  guarantees:
    "push to pull, python3-zmq: no checksum, nothing acknowledged, lost with the process; time to the last file " +
    "written, in the receiver's words",
  kinds: ["directory"],
  missing: () => {
    python ??= findPython();
    return python === undefined ? "python3-zmq" : undefined;
  },
  async run({ set, dest, scratch, stage }) {
    python ??= findPython();
    const address = `tcp://127.0.0.1:${freePort()}`;
    const [push, pull] = [join(scratch, "push.py"), join(scratch, "pull.py")];
    writeFileSync(push, pushProgram);
    writeFileSync(pull, pullProgram);
    const receiver = stage.start("receiver", [python ?? "python3", pull, dest, address], { stdout: "lines" });
    await stage.listening(Number(address.split(":").at(-1)));
    await stage.time(() => {
      stage.start("sender", [python ?? "python3", push, set.folder, address]);
      return receiver.line();
    });
    return movedAll(set, dest);
  },
};
