/** A sender whose receiver answers as none should: what was wrong is said, and no wait is for ever. */
import { describe, expect, test } from "bun:test";
import { ExitStatus } from "../../src/errors.ts";
import { answerMs, answerSaidMs } from "../../src/limits.ts";
import type { Welcome } from "../../src/protocols/wire/messages.ts";
import { encode, Fields, kinds, type Message } from "../e2e/wire-peer.ts";
import { encoded } from "../protocols/wire/cases.ts";
import {
  ackStored,
  rejectAgain,
  type Said,
  Strange,
  type StrangeOptions,
  wantAll,
  welcome,
} from "./strange-receiver.ts";

/** Why the sender gave up its first connection. */
function reasonAfter(greeting: Uint8Array): string {
  const strange = new Strange({
    files: [new Uint8Array(1)],
    answer: ({ kind }, { say }) => {
      if (kind === kinds.hello) say(greeting);
    },
  });
  strange.time.pass(20_000);
  const [lost] = strange.all("disconnected");
  return lost?.event === "disconnected" ? lost.reason : "none";
}

describe("an answer that is no welcome", () => {
  test("of another protocol is named", () => {
    const text = (line: string): Uint8Array => new TextEncoder().encode(line);
    expect(reasonAfter(text("HTTP/1.1 400 Bad Request\r\n\r\n"))).toBe(
      'strange:1 does not speak framepipe: an HTTP server answers: "HTTP/1.1 400 Bad Request"…',
    );
    expect(reasonAfter(text("SSH-2.0-OpenSSH_9.6\r\n"))).toContain("an SSH server answers");
    expect(reasonAfter(Uint8Array.of(0x15, 3, 1, 0, 2, 2, 70))).toContain("a TLS server answers");
    expect(reasonAfter(text("220 mail ESMTP\r\n"))).toContain('something else answers: "220 mail ESMTP\\x0d\\x0a"');
  });

  test("is damaged, malformed, of another kind or late", () => {
    const good = encoded((w) => w.welcome(welcome));
    const damaged = good.slice();
    damaged[20] = (damaged[20] ?? 0) ^ 1;
    expect(reasonAfter(damaged)).toBe("what the receiver sent arrived damaged: the check of a message does not hold");
    expect(reasonAfter(encoded((w) => w.farewell()))).toBe(
      "the receiver broke the protocol: FAREWELL in state greeting",
    );
    expect(reasonAfter(encode(kinds.welcome, new Fields().u32(0)))).toContain("the receiver broke the protocol: ");
    expect(reasonAfter(encoded((w) => w.welcome({ ...welcome, windowFrames: 0 })))).toContain("frames of the window");
    expect(reasonAfter(encoded((w) => w.welcome({ ...welcome, windowBytes: 0 })))).toContain("bytes of the window");
    expect(reasonAfter(encoded((w) => w.ping(0n)))).toBe("no welcome in 10 s");
  });
});

const minute = 60_000;

/** Greets, wants everything, ends in order; FRAMEs are the test's. */
function answering(
  onFrame: (sequence: number, said: Said, message: Message) => void,
  greeting: Partial<Welcome> = {},
): StrangeOptions["answer"] {
  return (message, said) => {
    const { kind } = message;
    if (kind === kinds.hello) said.say(encoded((w) => w.welcome({ ...welcome, ...greeting })));
    else if (kind === kinds.offer) said.say(wantAll(message));
    else if (kind === kinds.ping) said.say(encoded((w) => w.pong({ echoNs: 0n, clockNs: 0n })));
    else if (kind === kinds.frame) {
      message.skip(4);
      onFrame(message.u64(), said, message);
    } else if (kind === kinds.gap) {
      message.skip(4);
      const firstSequence = message.u64();
      const ranges = [{ firstSequence, count: message.u32(), outcome: "recorded" as const }];
      said.say(encoded((w) => w.ack({ sourceIndex: 0, receivedBytes: 0, ranges })));
    } else if (kind === kinds.end) said.say(encoded((w) => w.ended({ sourceIndex: 0, account: undefined })));
    else if (kind === kinds.bye) said.say(encoded((w) => w.farewell()));
  };
}

/** A receiver that lives: it pings, and does nothing else by itself. */
function pinging(strange: Strange, said: () => Said | undefined): void {
  const ping = (): void => {
    said()?.say(encoded((w) => w.ping(0n)));
    strange.time.after(1000, ping);
  };
  strange.time.after(1000, ping);
}

function saidBy(strange: Strange): string[] {
  return strange.all("waiting").map((event) => (event.event === "waiting" ? event.detail : ""));
}

describe("a receiver that owes an answer", () => {
  for (const [what, files, mute] of [
    ["to an offer", 1, kinds.offer],
    ["to a frame", 1, kinds.frame],
    ["to BYE", 0, kinds.bye],
  ] as const) {
    test(`${what}, and pings: said after a minute, given up after five`, () => {
      let last: Said | undefined;
      const answer = answering((sequence, { say }) => say(ackStored(sequence)));
      const strange = new Strange({
        files: Array.from({ length: files }, () => new Uint8Array(10)),
        answer: (message, said) => {
          last = said;
          if (message.kind !== mute) answer(message, said);
        },
      });
      pinging(strange, () => last);
      strange.time.pass(answerSaidMs - 5000);
      expect(strange.events.map(({ event }) => event)).not.toContain("waiting");
      strange.time.pass(15_000);
      expect(saidBy(strange)).toEqual(["the receiver has answered nothing for 60 s"]);
      expect(strange.openedAtMs).toHaveLength(1);
      strange.time.pass(answerMs - answerSaidMs);
      expect(strange.openedAtMs).toHaveLength(2);
      expect(strange.all("disconnected")).toMatchObject([{ reason: "no answer to what was sent for 300 s" }]);
    });
  }

  test("to END, and says FAREWELL, is asked again on the next connection", () => {
    const answer = answering(() => undefined);
    let asked = 0;
    const strange = new Strange({
      files: [],
      answer: (message, said) => {
        if (message.kind !== kinds.end || ++asked > 1) answer(message, said);
      },
    });
    strange.time.pass(minute);
    expect(strange.all("disconnected")).toMatchObject([
      { reason: "the receiver broke the protocol: FAREWELL before all was answered" },
    ]);
    expect(strange.results).toMatchObject([{ status: ExitStatus.ok }]);
  });

  test("and holds us is waited for, as long as --retry-for says", () => {
    let last: Said | undefined;
    const answer = answering((_, { say }) => say(encoded((w) => w.hold({ sourceIndex: undefined, text: "full" }))));
    const strange = new Strange({
      files: [new Uint8Array(10)],
      sending: { retryForMs: 20 * minute },
      answer: (message, said) => answer(message, (last = said)),
    });
    pinging(strange, () => last);
    strange.time.pass(19 * minute);
    expect(strange.all("held")).toHaveLength(1);
    expect(strange.openedAtMs).toHaveLength(1);
    expect(strange.results).toEqual([]);
    strange.time.pass(2 * minute);
    expect(strange.results).toMatchObject([{ status: ExitStatus.gaveUp }]);
  });

  test("and holds a source is waited for as long, if nothing else is left", () => {
    let last: Said | undefined;
    const answer = answering((_, { say }) => say(encoded((w) => w.hold({ sourceIndex: 0, text: "its folder" }))));
    const strange = new Strange({
      files: [new Uint8Array(10)],
      sending: { retryForMs: 20 * minute },
      answer: (message, said) => answer(message, (last = said)),
    });
    pinging(strange, () => last);
    strange.time.pass(19 * minute);
    expect(strange.all("held")).toEqual([
      { event: "held", reason: "its folder", source: "visible", retryForMs: 20 * minute },
    ]);
    expect(strange.results).toEqual([]);
    strange.time.pass(2 * minute);
    expect(strange.results).toMatchObject([{ status: ExitStatus.gaveUp }]);
  });

  test("and holds us on connections that do not last is given up as soon", () => {
    // Some of these times are over while there is no connection.
    for (let seconds = 60; seconds < 70; seconds += 0.25) {
      const answer = answering((_, { say }) => say(encoded((w) => w.hold({ sourceIndex: undefined, text: "full" }))));
      let opened = -1;
      const strange: Strange = new Strange({
        files: [new Uint8Array(10)],
        sending: { retryForMs: seconds * 1000 },
        answer: (message, said) => {
          answer(message, said);
          if (said.connection === opened) return;
          opened = said.connection;
          strange.time.after(6000, () => said.close());
        },
      });
      strange.time.pass((seconds + 4) * 1000);
      expect(strange.results).toMatchObject([{ status: ExitStatus.gaveUp }]);
      expect(strange.openedAtMs.length).toBeGreaterThan(5);
      expect(strange.all("held")).toHaveLength(1);
    }
  });

  test.each([0, undefined])(
    "again and again (%p) says so once, and that it stores again when it has",
    (sourceIndex) => {
      let round = 0;
      const strange: Strange = new Strange({
        files: [new Uint8Array(10), new Uint8Array(10)],
        answer: answering((sequence, { say }) => {
          if (sequence === 0 && round < 4) {
            say(rejectAgain(0));
            say(encoded((w) => w.hold({ sourceIndex, text: `for the ${round}th time` })));
            strange.time.after(2000, () => say(encoded((w) => w.resume(sourceIndex))));
            round += 1;
          } else say(ackStored(sequence));
        }),
      });
      strange.time.pass(8000);
      expect(round).toBeGreaterThan(2);
      expect(strange.events.map(({ event }) => event)).toEqual(["connecting", "connected", "held"]);
      strange.time.pass(minute);
      const named = sourceIndex === undefined ? {} : { source: "visible" };
      expect(strange.all("held")).toEqual([{ event: "held", reason: "for the 0th time", ...named }]);
      expect(strange.all("resumed")).toEqual([{ event: "resumed", ...named }]);
      expect(strange.results).toMatchObject([{ status: ExitStatus.ok }]);
    },
  );

  test("and takes its time is not given up while it gets on", () => {
    let last: Said | undefined;
    const answer = answering(
      (sequence, { say }) => void strange.time.after(4 * minute, () => say(ackStored(sequence))),
      {
        windowFrames: 1,
      },
    );
    const strange: Strange = new Strange({
      files: Array.from({ length: 5 }, () => new Uint8Array(10)),
      answer: (message, said) => answer(message, (last = said)),
    });
    pinging(strange, () => last);
    strange.time.pass(21 * minute);
    expect(strange.openedAtMs).toHaveLength(1);
    expect(strange.results).toMatchObject([{ status: ExitStatus.ok }]);
  });
});

describe("a receiver that promises progress and reports none", () => {
  test("does not stop us, and that is said once", () => {
    let last: Said | undefined;
    const answer = answering(() => undefined, { features: 1 });
    const strange = new Strange({
      files: Array.from({ length: 40 }, () => new Uint8Array(10_000)),
      live: true,
      answer: (message, said) => answer(message, (last = said)),
    });
    pinging(strange, () => last);
    strange.time.pass(4000);
    expect(strange.bytes).toBeLessThan(100_000);
    strange.time.pass(10_000);
    expect(strange.bytes).toBeGreaterThan(400_000);
    expect(saidBy(strange)).toEqual(["the receiver does not report what arrives; sending on without"]);
  });
});

describe("a receiver that wants a frame again", () => {
  test("without end: the pauses grow, the source is said to be held, and one frame goes at a time", () => {
    let tries = 0;
    let last: Said | undefined;
    const answer = answering((sequence, { say }) => {
      tries += 1;
      say(rejectAgain(sequence));
    });
    const strange = new Strange({
      files: Array.from({ length: 20 }, () => new Uint8Array(10_000)),
      answer: (message, said) => answer(message, (last = said)),
    });
    pinging(strange, () => last);
    strange.time.pass(minute);
    expect(tries).toBeLessThan(20 + 15);
    const before = tries;
    strange.time.pass(60 * minute);
    // One frame in half a minute.
    expect(tries - before).toBeLessThan(125);
    expect(tries - before).toBeGreaterThan(100);
    expect(strange.all("held")).toEqual([{ event: "held", reason: "try again", source: "visible" }]);
    expect(strange.results).toEqual([]);
  });

  test("and stores it then: said to go on, and everything arrives", () => {
    let tries = 0;
    const strange = new Strange({
      files: Array.from({ length: 20 }, () => new Uint8Array(100)),
      answer: answering((sequence, { say }) =>
        say(sequence === 0 && ++tries < 7 ? rejectAgain(0) : ackStored(sequence)),
      ),
    });
    strange.time.pass(minute);
    expect(strange.events.map(({ event }) => event)).toEqual([
      "connecting",
      "connected",
      "held",
      "resumed",
      "source-ended",
      "finished",
    ]);
    expect(strange.results).toMatchObject([{ status: ExitStatus.ok }]);
  });

  test("on one connection after the other: the pauses go on growing", () => {
    let tries = 0;
    const strange = new Strange({
      files: [new Uint8Array(100)],
      answer: answering((sequence, { say, close }) => {
        tries += 1;
        say(rejectAgain(sequence));
        strange.time.after(10, close);
      }),
    });
    strange.time.pass(10 * minute);
    expect(tries).toBeLessThan(35);
  });
});

describe("a receiver that greets and ends the connection", () => {
  test("is not asked again at once, and told of once", () => {
    const strange: Strange = new Strange({
      files: [new Uint8Array(1)],
      answer: ({ kind }, { say }) => {
        if (kind !== kinds.hello) return;
        say(encoded((w) => w.welcome(welcome)));
        say(encoded((w) => w.refuse(4, "no")));
      },
    });
    strange.time.pass(minute);
    expect(strange.openedAtMs.length).toBeLessThan(35);
    expect(strange.events.map(({ event }) => event)).toEqual(["connecting", "connected", "disconnected", "connected"]);
  });
});

describe("a frame that is larger than the receiver takes", () => {
  test("is refused here, by name, and no byte of it is sent", () => {
    const strange = new Strange({
      files: [new Uint8Array(5_000), new Uint8Array(100)],
      live: true,
      answer: answering((sequence, { say }) => say(ackStored(sequence)), { frameBytesMax: 1_000 }),
    });
    strange.time.pass(minute);
    expect(strange.all("refused")).toEqual([
      {
        event: "refused",
        source: "visible",
        name: "0.jpg",
        count: 1,
        reason: "too-large",
        detail: "5000 bytes, limit 1000 (--max-frame of the receiver)",
      },
    ]);
    expect(strange.bytes).toBeLessThan(2_000);
    expect(strange.results).toMatchObject([
      { status: ExitStatus.incomplete, totals: [{ totals: { frames: 2, stored: 1, refused: 1 } }] },
    ]);
  });
});

describe("a receiver that does not share our totals", () => {
  test("is believed: said, with both counts, and the run ends with 4", () => {
    const answer = answering((sequence, { say }) => say(ackStored(sequence)));
    const account = { frames: 1, stored: 1, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
    const strange = new Strange({
      files: [new Uint8Array(1), new Uint8Array(1)],
      answer: (message, said) => {
        if (message.kind !== kinds.end) answer(message, said);
        else said.say(encoded((w) => w.ended({ sourceIndex: 0, account })));
      },
    });
    strange.time.pass(minute);
    const claimed = { ...account, frames: 2, stored: 2 };
    expect(strange.all("totals-differ")).toEqual([
      { event: "totals-differ", source: "visible", claimed, found: account },
    ]);
    expect(strange.results).toMatchObject([{ status: ExitStatus.incomplete }]);
  });
});
