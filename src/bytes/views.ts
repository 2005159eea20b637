/** Lists of views that are written by one call. A system may take less than it is given, in the middle of a view. */

/** What is left of `views` behind the first `count` bytes. */
export function viewsBehind(views: readonly Uint8Array[], count: number): Uint8Array[] {
  let left = count;
  let index = 0;
  for (let view = views[0]; view !== undefined && view.byteLength <= left; view = views[index]) {
    left -= view.byteLength;
    index += 1;
  }
  const [first, ...others] = views.slice(index);
  return first === undefined ? [] : [first.subarray(left), ...others];
}
