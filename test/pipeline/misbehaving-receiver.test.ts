/** A sender whose receiver answers as none should: what was wrong is said, and no wait is for ever. */
import { describe, expect, test } from "bun:test";
import { encode, Fields, kinds } from "../e2e/wire-peer.ts";
import { encoded } from "../protocols/wire/cases.ts";
import { Strange, welcome } from "./strange-receiver.ts";

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
