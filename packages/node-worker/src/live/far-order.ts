import {
  ALL_OTHERS,
  REMOTE_LOAD_CELLS,
  REMOTE_NUMBERED,
  REMOTE_STORE_ORDERED,
  type RemotePort,
} from './remote-port.ts';
import type { MemoryOrder, StoreOrder, Storer } from './store-order.ts';

/** The operands of a store that another process performs, and back. */
export const orderedOperands = (
  first: number,
  words: readonly number[],
  seen: Float64Array | null,
  { origin, core }: Storer,
): number[] => [first, origin, core, words.length, ...words, ...(seen ?? [])];

/** Performs what {@link orderedOperands} describes. Returns the number, or 0. */
export const storeOrdered = (order: MemoryOrder, operands: readonly number[]): number => {
  const [first = 0, origin = 0, core = 0, count = 0, ...rest] = operands;
  const seen = rest.length > count ? Float64Array.from(rest.slice(count)) : null;
  return order.store(first, rest.slice(0, count), seen, { origin, core });
};

/**
 * The order of stores for threads of a run over processes: they are performed where the copy is, and every process is told
 * their numbers.
 */
export class FarOrder implements StoreOrder {
  private readonly port: RemotePort;
  private readonly own: MemoryOrder;
  private readonly firstWord: number;

  constructor(port: RemotePort, own: MemoryOrder, firstWord: number) {
    this.port = port;
    this.own = own;
    this.firstWord = firstWord;
  }

  cells(first: number, count: number): Float64Array {
    const { port } = this;
    if (!port.isElsewhere(0)) return this.own.cells(first, count);
    port.call(REMOTE_LOAD_CELLS, port.memberOfNode(0), 0, first, count);
    return port.answer.slice(0, count);
  }

  store(first: number, words: readonly number[], seen: Float64Array | null, by: Storer): number {
    const { port } = this;
    if (port.isElsewhere(0)) {
      return port.call(REMOTE_STORE_ORDERED, port.memberOfNode(0), ...orderedOperands(first, words, seen, by));
    }
    const number = this.own.store(first, words, seen, by);
    if (number > 0) port.post(REMOTE_NUMBERED, ALL_OTHERS, [number, this.firstWord + first, ...words]);
    return number;
  }
}
