import { type Instant, Random } from '@numalab/base';
import { CLASS_MEMORY, EventQueue, type Message, orderOf, READ_LINE } from '@numalab/interconnect';
import type { Figure } from './figure.ts';
import { BATCH, measureOperation } from './operation.ts';

const WAITING = 64;

/** One message out of the queue and one in, with as many waiting as a node has at a busy moment. */
export const eventQueue = (): Promise<Figure> => {
  const random = new Random(1, 'bench');
  const queue = new EventQueue();
  let sequence = 0;
  const push = (time: number): void => {
    const order = orderOf(CLASS_MEMORY, 0, sequence++);
    const message: Message = {
      time: time as Instant,
      order,
      to: 0,
      from: 0,
      kind: READ_LINE,
      a: 0,
      b: 0,
      c: 0,
      body: null,
    };
    queue.push(message);
  };
  for (let i = 0; i < WAITING; i++) push(random.below(100_000));
  return measureOperation('event queue', `push and pop, ${WAITING} waiting, the message made too`, () => {
    let time = 0;
    for (let i = 0; i < BATCH; i++) {
      ({ time } = queue.pop());
      push(time + random.below(100_000));
    }
    return time;
  });
};
