import { expect, test } from "bun:test";
import { Heap } from "../src/heap.ts";
import { Random } from "./support/random.ts";

test("gives what sorting gives, whatever is put in, taken out and filtered in between", () => {
  for (let seed = 0; seed < 200; seed += 1) {
    const random = new Random(seed);
    const heap = new Heap<number>((a, b) => a < b);
    let model: number[] = [];
    for (let step = 0; step < 200; step += 1) {
      if (random.chance(0.6)) {
        const item = random.int(50);
        heap.push(item);
        model.push(item);
        model.sort((a, b) => a - b);
      } else if (random.chance(0.95)) {
        expect([heap.first, heap.pop()]).toEqual([model[0], model.shift()]);
      } else {
        const kept = random.int(7);
        heap.filter((item) => item % 7 !== kept);
        model = model.filter((item) => item % 7 !== kept);
      }
      expect(heap.size).toBe(model.length);
    }
    while (model.length > 0) expect(heap.pop()).toBe(model.shift());
    expect([heap.first, heap.pop()]).toEqual([undefined, undefined]);
  }
});
