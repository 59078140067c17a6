import { type Instant, NEVER } from '@numalab/base';
import type { Message } from './message.ts';

/**
 * The messages of one process that have not taken effect yet: a binary heap ordered by (time, class, sender, sequence). What
 * it is ordered by lies in arrays of its own, so that finding a message's place touches no message. They are no typed arrays,
 * whose contents would lie outside the heap and cost a short run more than all that is done with them.
 */
export class EventQueue {
  private readonly messages: Message[] = [];
  private readonly times: number[] = [];
  private readonly orders: number[] = [];

  get size(): number {
    return this.messages.length;
  }

  /** When the next message takes effect; {@link NEVER} if there is none. */
  nextTime(): Instant {
    return this.messages.length === 0 ? NEVER : (this.times[0]! as Instant);
  }

  push(message: Message): void {
    const { messages } = this;
    let i = messages.length;
    const { times, orders } = this;
    const { time, order } = message;
    messages.push(message);
    times.push(time);
    orders.push(order);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = times[parent]!;
      if (above < time || (above === time && orders[parent]! < order)) break;
      times[i] = above;
      orders[i] = orders[parent]!;
      messages[i] = messages[parent]!;
      i = parent;
    }
    times[i] = time;
    orders[i] = order;
    messages[i] = message;
  }

  /** Removes and returns the next message. The queue must not be empty. */
  pop(): Message {
    const { messages, times, orders } = this;
    const top = messages[0]!;
    const last = messages.pop()!;
    const time = times.pop()!;
    const order = orders.pop()!;
    const count = messages.length;
    if (count === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= count) break;
      const right = child + 1;
      if (
        right < count &&
        (times[right]! < times[child]! || (times[right] === times[child] && orders[right]! < orders[child]!))
      ) {
        child = right;
      }
      const below = times[child]!;
      if (below > time || (below === time && orders[child]! > order)) break;
      times[i] = below;
      orders[i] = orders[child]!;
      messages[i] = messages[child]!;
      i = child;
    }
    times[i] = time;
    orders[i] = order;
    messages[i] = last;
    return top;
  }

  clear(): void {
    this.messages.length = 0;
    this.times.length = 0;
    this.orders.length = 0;
  }
}
