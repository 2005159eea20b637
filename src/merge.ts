/** Several streams in order, as one. */
import { Heap } from "./heap.ts";

/**
 * All items of `streams`, each of which is in the order of `isBefore`, in that order. Takes one item of each ahead. Of
 * equal items it does not say which comes first.
 */
export function* merged<Item>(
  streams: readonly Iterable<Item>[],
  isBefore: (a: Item, b: Item) => boolean,
): Generator<Item, void> {
  const heap = new Heap<{ item: Item; readonly rest: Iterator<Item> }>((a, b) => isBefore(a.item, b.item));
  const opened: Iterator<Item>[] = [];
  try {
    for (const stream of streams) {
      const rest = stream[Symbol.iterator]();
      opened.push(rest);
      const { done, value } = rest.next();
      if (done !== true) heap.push({ item: value, rest });
    }
    for (let first = heap.pop(); first !== undefined; first = heap.pop()) {
      yield first.item;
      const { done, value } = first.rest.next();
      if (done === true) continue;
      first.item = value;
      heap.push(first);
    }
  } finally {
    for (const rest of opened) rest.return?.();
  }
}
