/** A receiver that may open few files: connections must not take all of them. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { differences, openPlace } from "../support/processes.ts";

test.skipIf(process.platform !== "linux")(
  "connections beyond what the system allows are refused as busy",
  async () => {
    await using place = await openPlace();
    const [dir, out] = [place.path("vis"), place.path("captures")];
    await makeFrameSet(dir, { kind: "jpeg", count: 300, bytes: 2_000 });
    const script = 'ulimit -n 360 && exec "$0" --receive 127.0.0.1:0 --json --out "$1"';
    const receiver = place.startOther("sh", ["-c", script, place.executable, out]);
    const { address } = await receiver.waitFor("listening");
    const port = Number(String(address).split(":").at(-1));
    const senders = Array.from({ length: 10 }, (_, at) =>
      place.start(["--send", `127.0.0.1:${port}`, "--device", `camera-${at}`, "--json", "--watch", `visible=${dir}`]),
    );
    const refused = (): number =>
      senders.filter((sender) => sender.all("disconnected").some(({ reason }) => String(reason).includes("busy")))
        .length;
    while (refused() === 0) await Bun.sleep(20);
    // Those that were taken are served.
    const served = await waitForFirst(() => senders.findIndex((sender) => sender.count("connected") > 0));
    const stored = join(out, `camera-${served}`, "visible");
    while (differences(dir, stored).length > 0) await Bun.sleep(50);
    expect(receiver.ended).toBe(false);
  },
  60_000,
);

/** What is said first reaches us last now and then. */
async function waitForFirst(find: () => number): Promise<number> {
  for (;;) {
    const found = find();
    if (found !== -1) return found;
    await Bun.sleep(20);
  }
}
