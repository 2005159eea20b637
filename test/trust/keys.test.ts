/** Key files on the disk. */
import { expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { parseKeyFile } from "../../src/security/key-file.ts";
import { readKey, readOrMakeKey, readOrMakeReceiverKey, updateKey } from "../../src/trust/key-files.ts";
import { keyOne, keyZero } from "../security/vectors.ts";
import { TrustPlace } from "./folder.ts";

const isWindows = process.platform === "win32";

test("a key is made once, for its owner alone", () => {
  using place = new TrustPlace();
  const path = place.path("rig-7.key");
  const before = process.umask(0o777);
  const made = readOrMakeKey(path);
  process.umask(before);
  expect(made.made).toBe(true);
  if (!isWindows) expect(statSync(path).mode & 0o777).toBe(0o600);
  const again = readOrMakeKey(path);
  expect([again.made, again.pair.fingerprint]).toEqual([false, made.pair.fingerprint]);
  expect(readOrMakeKey(place.path("other.key")).pair.fingerprint).not.toBe(made.pair.fingerprint);
  expect(readdirSync(place.root).toSorted()).toEqual(["other.key", "rig-7.key"]);
});

test("processes that make the same key at once have one key", async () => {
  using place = new TrustPlace();
  const library = new URL("../../src/trust/key-files.ts", import.meta.url).pathname;
  const script = `const { readOrMakeKey } = await import(${JSON.stringify(library)});
    console.log(readOrMakeKey(${JSON.stringify(place.path("key"))}).pair.fingerprint);`;
  const children = Array.from({ length: 6 }, () => Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" }));
  const keys = await Promise.all(children.map((child) => child.stdout.text()));
  expect(new Set(keys).size).toBe(1);
  expect(keys[0]).toStartWith("fp1");
  expect(readdirSync(place.root)).toEqual(["key"]);
});

test.skipIf(isWindows)("a key that others can read is refused", () => {
  using place = new TrustPlace();
  const path = place.path("key");
  writeFileSync(path, `${keyZero.line}\n`);
  for (const mode of [0o644, 0o640, 0o604, 0o660, 0o610, 0o602]) {
    chmodSync(path, mode);
    expect(() => readKey(path)).toThrow("other users can read the key");
  }
  for (const mode of [0o600, 0o400, 0o700]) {
    chmodSync(path, mode);
    expect(readKey(path)?.pair.fingerprint).toBe(keyZero.fingerprint);
  }
});

test("what is no key is refused without showing it", () => {
  using place = new TrustPlace();
  const path = place.path("key");
  const write = (text: string): void => writeFileSync(path, text, { mode: 0o600 });
  write("correct horse battery staple\n");
  expect(() => readKey(path)).toThrow(/^(?!.*horse).*is no key file/);
  write("x".repeat(70_000));
  expect(() => readKey(path)).toThrow("cannot read the key");
  rmSync(path);
  mkdirSync(path);
  expect(() => readKey(path)).toThrow("it is no ordinary file");
  expect(() => readOrMakeKey(path)).toThrow("it is no ordinary file");
  expect(() => readOrMakeKey(place.path("no", "key"))).toThrow("its directory is not there");
  expect(existsSync(place.path("no"))).toBe(false);
});

test("copies of a key that a killed process left are removed, and nothing that is being written", () => {
  using place = new TrustPlace();
  const path = place.path("recorder.key");
  const { file } = readOrMakeReceiverKey(path);
  const old = (...names: string[]): void => {
    for (const name of names) {
      writeFileSync(place.path(name), "");
      utimesSync(place.path(name), 1_700_000_000, 1_700_000_000);
    }
  };
  old(".recorder.key.0123456789ab.tmp", ".recorder.key.spare.0123456789ab.tmp");
  old(".other.key.0123456789ab.tmp", ".recorder.key.mine.tmp");
  writeFileSync(place.path(".recorder.key.ba9876543210.tmp"), "");
  renameSync(place.path("recorder.key.spare"), place.path("kept-elsewhere"));
  expect(readOrMakeReceiverKey(path).file).toMatchObject({ seed: file.seed });
  expect(readdirSync(place.root).toSorted()).toEqual([
    ".other.key.0123456789ab.tmp",
    ".recorder.key.ba9876543210.tmp",
    ".recorder.key.mine.tmp",
    "kept-elsewhere",
    "recorder.key",
  ]);
});

test.skipIf(isWindows)("a link that leads to nothing is refused, whoever looks for a key there", () => {
  using place = new TrustPlace();
  symlinkSync(place.path("unmounted", "key"), place.path("key"));
  const refused = "the link there leads to nothing";
  expect(() => readKey(place.path("key"))).toThrow(refused);
  expect(() => readOrMakeKey(place.path("key"))).toThrow(refused);
  symlinkSync(place.path("nowhere"), place.path("recorder.key.spare"));
  expect(() => readOrMakeReceiverKey(place.path("recorder.key"))).toThrow(refused);
  expect(readdirSync(place.root).toSorted()).toEqual(["key", "recorder.key", "recorder.key.spare"]);
});

test.skipIf(isWindows)("a named pipe in its place does not stop the program", () => {
  using place = new TrustPlace();
  Bun.spawnSync(["mkfifo", "-m", "600", place.path("key")]);
  expect(() => readKey(place.path("key"))).toThrow("it is no ordinary file");
});

test("an update changes only what is to change, and follows a link", () => {
  using place = new TrustPlace();
  const [path, link] = [place.path("key"), place.path("link")];
  writeFileSync(path, `# mine\n${keyZero.line}\nspare ${keyOne.fingerprint}\n`, { mode: 0o400 });
  symlinkSync(path, link);
  const receiver = { address: "recorder:8000", pins: [keyOne.fingerprint] };
  updateKey(link, (file) => ({ ...file, receiver }));
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(parseKeyFile(readFileSync(path, "utf8"))).toMatchObject({ receiver, spare: keyOne.fingerprint });
  const { ino } = statSync(path);
  updateKey(path, (file) => file);
  expect(statSync(path).ino).toBe(ino);
  expect(readdirSync(place.root).toSorted()).toEqual(["key", "link"]);
  rmSync(path);
  expect(() => updateKey(path, (file) => file)).toThrow("is gone");
});

test("a receiver has a spare, which is made once", () => {
  using place = new TrustPlace();
  const { keyPath } = place;
  const first = readOrMakeReceiverKey(keyPath);
  expect(first.made).toBe(true);
  expect(first.madeSpare).toBe(`${keyPath}.spare`);
  expect(readKey(`${keyPath}.spare`)?.pair.fingerprint).toBe(first.pins[1]);
  // It is kept elsewhere.
  rmSync(`${keyPath}.spare`);
  const second = readOrMakeReceiverKey(keyPath);
  expect([second.pins, second.madeSpare]).toEqual([first.pins, undefined]);
  expect(existsSync(`${keyPath}.spare`)).toBe(false);
});

test("the spare moved over the key is the key, and has a spare of its own", () => {
  using place = new TrustPlace();
  const { keyPath } = place;
  const [, b] = readOrMakeReceiverKey(keyPath).pins;
  renameSync(`${keyPath}.spare`, keyPath);
  const after = readOrMakeReceiverKey(keyPath);
  expect(after.pins[0]).toBe(b);
  expect(after.pins[1]).not.toBe(b);
  expect(after.madeSpare).toBeDefined();
});

test("the spare copied over the key is never its own spare", () => {
  using place = new TrustPlace();
  const { keyPath } = place;
  const [, b] = readOrMakeReceiverKey(keyPath).pins;
  copyFileSync(`${keyPath}.spare`, keyPath);
  const after = readOrMakeReceiverKey(keyPath);
  expect(after.pins[0]).toBe(b);
  expect(after.pins[1]).not.toBe(b);
});

test("a spare that was made and not named, because the power went, is taken up", () => {
  using place = new TrustPlace();
  const { keyPath } = place;
  readOrMakeKey(keyPath);
  const spare = readOrMakeKey(`${keyPath}.spare`).pair.fingerprint;
  expect(readOrMakeReceiverKey(keyPath).pins[1]).toBe(spare);
});
