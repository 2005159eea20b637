import { expect, test } from "bun:test";
import { lockstepPauseMs, lockstepPauseMsMax } from "../../../src/limits.ts";
import { LockstepPace } from "../../../src/protocols/lockstep/pace.ts";

test("the pause grows with the payload and with the slowest recent reply", () => {
  const pace = new LockstepPace();
  expect(pace.pauseMs(0)).toBe(lockstepPauseMs);
  expect(pace.pauseMs(20_000_000)).toBe(lockstepPauseMs + 1000);
  expect(pace.pauseMs(1)).toBe(lockstepPauseMs + 1);
  pace.replied(300);
  for (let reply = 0; reply < 15; reply++) pace.replied(2);
  expect(pace.pauseMs(0)).toBe(lockstepPauseMs + 300);
  pace.replied(2);
  expect(pace.pauseMs(0)).toBe(lockstepPauseMs + 2);
  pace.replied(60_000);
  expect(pace.pauseMs(0)).toBe(2000);
});

test("a glued header doubles it, up to the limit", () => {
  const pace = new LockstepPace({ pauseMs: 40 });
  expect(pace.pauseMs(0)).toBe(40);
  pace.glued();
  expect(pace.pauseMs(0)).toBe(80);
  for (let times = 0; times < 30; times++) pace.glued();
  expect(pace.pauseMs(0)).toBe(lockstepPauseMsMax);
});
