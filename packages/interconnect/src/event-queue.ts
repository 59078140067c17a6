import { type Instant, NEVER } from '@numalab/base';
import { isBefore, type Message } from './message.ts';

/** The messages of one process that have not taken effect yet: a binary heap ordered by (time, class, sender, sequence). */
export class EventQueue {
  private readonly heap: Message[] = [];

  get size(): number {
    return this.heap.length;
  }

  /** When the next message takes effect; {@link NEVER} if there is none. */
  nextTime(): Instant {
    return this.heap.length === 0 ? NEVER : this.heap[0]!.time;
  }

  push(message: Message): void {
    const { heap } = this;
    let i = heap.length;
    heap.push(message);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent]!;
      if (!isBefore(message, above)) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = message;
  }

  /** Removes and returns the next message. The queue must not be empty. */
  pop(): Message {
    const { heap } = this;
    const top = heap[0]!;
    const last = heap.pop()!;
    const count = heap.length;
    if (count === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= count) break;
      if (child + 1 < count && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return top;
  }

  clear(): void {
    this.heap.length = 0;
  }
}
