import type { NodeHalf, Protocol, Write } from './protocol.ts';

type Order = { readonly unmap: readonly number[] } | { readonly update: Write; readonly map: readonly number[] };

/** The node's half has no state, so one serves all nodes of all runs. */
const node: NodeHalf = {
  *onMessage(context, body) {
    const order = body as Order;
    if ('unmap' in order) {
      for (const page of order.unmap) yield* context.unmap(page);
      return;
    }
    yield* context.store(order.update);
    yield* context.maintain(order.update);
    for (const page of order.map) yield* context.map(page);
  },
};

/**
 * Break-before-make for the whole machine: unmap the page on every node, then update every copy and map it again. Between
 * the two no core can fetch the old word, and the first to fetch after it fetches the new one, so fetches are linearizable.
 * Cores that touch the page meanwhile wait in EL2.
 */
export const bbm: Protocol = {
  name: 'bbm',
  description: 'unmap the page on all nodes, update every copy, map again; cores that fault wait',
  guarantee: 'atomic',
  wholeWrites: true,
  cost: {
    messages: (nodes) => 4 * nodes,
    tlbis: (nodes) => 2 * nodes,
    stall: 'a core that touches the page: two rounds to the slowest node, its TLBI and DSB',
    stallNs: 1500,
  },
  hypervisor() {
    return {
      *onWrite(context, write) {
        const pages = context.pagesOf(write);
        yield* context.ask(context.nodes, { unmap: pages } satisfies Order);
        yield* context.ask(context.nodes, { update: write, map: pages } satisfies Order);
        context.retire(write);
      },
    };
  },
  node: () => node,
};
