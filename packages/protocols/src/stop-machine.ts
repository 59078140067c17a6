import type { NodeHalf, Protocol, Write } from './protocol.ts';

const wordByWord = (write: Write): readonly Write[] =>
  write.words.map((value, i) => ({ ...write, word: write.word + i, words: [value] }));

/** The node's half has no state, so one serves all nodes of all runs. */
const node: NodeHalf = {
  *onMessage(context, body) {
    if (body === null) {
      yield* context.park();
      return;
    }
    const write = body as Write;
    yield* context.store(write);
    yield* context.maintain(write);
    yield* context.resume();
  },
};

/**
 * Stops every core, updates every copy, and lets the cores go on through a context synchronisation: nobody fetches between
 * the first store and the last. What Linux's own stop_machine does, from EL2, where no core can keep interrupts off.
 */
export const stopMachine: Protocol = {
  name: 'stop-machine',
  description: 'park every core, update every copy, resume with a context synchronisation',
  guarantee: 'atomic',
  wholeWrites: true,
  cost: {
    messages: (nodes) => 4 * nodes,
    tlbis: () => 0,
    stall: 'every core: two rounds to the slowest node, one interrupt to each core',
    stallNs: 1500,
  },
  hypervisor(bugs = []) {
    // Bug 8: the cores go on between two words of a write.
    const partsOf = bugs.includes('8') ? wordByWord : (write: Write): readonly Write[] => [write];
    return {
      *onWrite(context, write) {
        for (const part of partsOf(write)) {
          yield* context.ask(context.nodes, null);
          yield* context.ask(context.nodes, part);
        }
        context.retire(write);
      },
    };
  },
  node: () => node,
};
