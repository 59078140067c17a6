import { describe, expect, it } from 'vitest';
import { Queue } from './queue.ts';
import { Random } from './random.ts';

describe('Queue', () => {
  it('does what an array does, whatever is asked of it', () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = new Random(seed, 'queue');
      const queue = new Queue<number>();
      const array: number[] = [];
      for (let i = 0; i < 2000; i++) {
        // By turns it grows and shrinks.
        const grows = random.chance(i % 400 < 200 ? 3 : 1, 4);
        if (random.chance(1, 300)) {
          queue.clear();
          array.length = 0;
        } else if (!grows) expect(queue.shift()).toBe(array.shift());
        else if (random.chance(1, 16)) {
          queue.unshift(i);
          array.unshift(i);
        } else {
          queue.push(i);
          array.push(i);
        }
        expect(queue.length).toBe(array.length);
        const at = random.below(array.length + 2);
        expect(queue.at(at)).toBe(array[at]);
      }
      expect([...queue]).toEqual(array);
    }
  });
});
