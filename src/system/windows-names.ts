/**
 * Which paths Windows can have files at. It takes some others without an error and means something else by them: `aux`
 * is a device, `a:b` a second stream of `a`, and `a.` and `a ` are `a`.
 */

/** Alone, or followed by an extension or by spaces, which are dropped. */
const device = /^(?:con|prn|aux|nul|(?:com|lpt)[1-9\u00b9\u00b2\u00b3]) *(?:\..*)?$/is;
const reserved = /[<>:"|?*\\]/;

/** `path`: safe segments joined by `/`. */
export function mayNameOnWindows(path: string): boolean {
  return path.split("/").every((segment) => !device.test(segment) && !reserved.test(segment) && !/[. ]$/.test(segment));
}
