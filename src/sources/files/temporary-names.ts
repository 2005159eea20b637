/**
 * Names that programs give a file, or a folder, while they write it. What has one is no frame yet: it gets its name
 * when it is finished, or is left behind by a program that was stopped.
 */

/** Ends of names, as the help lists them: browsers, copying programs, editors, cameras' programs. */
export const temporaryEnds: readonly string[] = [
  ".tmp",
  ".temp",
  ".part",
  ".partial",
  ".filepart",
  ".crdownload",
  ".download",
  ".opdownload",
  ".incomplete",
  ".inprogress",
  ".uploading",
  ".writing",
  ".aria2",
  ".swp",
  ".swx",
  "~",
];

/** `1.jpg.tmp`, and `1.jpg.tmp-4711` of those who write in several processes. */
const ends = new RegExp(`(?:${temporaryEnds.map((end) => RegExp.escape(end)).join("|")}|\\.tmp[-._]?\\w{1,12})$`, "i");
/** `mkstemp` of gphoto2, and Python's `tempfile`. */
const whole = /^(?:tmpfile\w{6}|tmp[a-z0-9_]{8})$/;

export function isTemporaryName(baseName: string): boolean {
  return ends.test(baseName) || whole.test(baseName);
}
