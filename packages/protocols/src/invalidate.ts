import { PRIMARY_NODE, type Protocol, type Write } from './protocol.ts';

type Order = { readonly unmap: readonly number[] } | { readonly update: Write } | { readonly copy: number };

/**
 * A write unmaps its page everywhere, changes the primary and is over; a node that touches the page later copies it, under
 * the page's lock: the hypervisor's half does one thing at a time, so no write changes a page that is being copied. Cheap for
 * text that is patched often and run rarely.
 */
export const invalidate: Protocol = {
  name: 'invalidate',
  description: 'unmap the page on all nodes, write the primary; a node that faults copies the page',
  guarantee: 'atomic',
  wholeWrites: true,
  // Every node that touches the page afterwards adds three messages.
  cost: {
    messages: (nodes) => 2 * nodes + 2,
    tlbis: (nodes) => 2 * nodes,
    stall:
      'a core that touches the page: the write, and a copy of the page for each node that does so, one after the other',
    stallNs: 77_000,
  },
  hypervisor() {
    /** Nodes that do not map a page; a page that is not here is mapped everywhere. */
    const unmapped = new Map<number, Set<number>>();
    return {
      *onWrite(context, write) {
        const pages = context.pagesOf(write);
        const mapped = context.nodes.filter((node) => pages.some((page) => unmapped.get(page)?.has(node) !== true));
        if (mapped.length > 0) yield* context.ask(mapped, { unmap: pages } satisfies Order);
        for (const page of pages) unmapped.set(page, new Set(context.nodes));
        yield* context.ask([PRIMARY_NODE], { update: write } satisfies Order);
        context.retire(write);
      },
      *onMessage(context, node, body) {
        const page = body as number;
        yield* context.ask([node], { copy: page } satisfies Order);
        unmapped.get(page)?.delete(node);
      },
      onNodeBack(_context, node) {
        for (const nodes of unmapped.values()) nodes.delete(node);
      },
    };
  },
  node(bugs = []) {
    const [copiesEarly, mapsEarly] = ['25', '37'].map((id) => bugs.includes(id));
    return {
      *onMessage(context, body) {
        const order = body as Order;
        if ('unmap' in order) for (const page of order.unmap) yield* context.unmap(page);
        else if ('update' in order) {
          yield* context.store(order.update);
          yield* context.maintain(order.update);
        } else {
          // Bug 37: the copy is not locked as a whole, so cores see it while it is being made.
          if (mapsEarly) yield* context.map(order.copy);
          if (context.node !== PRIMARY_NODE && !copiesEarly) yield* context.copyPage(order.copy);
          yield* context.map(order.copy);
        }
      },
      *onFault(context, page) {
        // Bug 25: copied before the page's lock is held, and mapped although a write has come between.
        if (copiesEarly && context.node !== PRIMARY_NODE) yield* context.copyPage(page);
        context.send(page);
      },
    };
  },
};
