import type { Duration } from '@numalab/base';
import { type NodeHalf, PRIMARY_NODE, type Protocol, type Write } from './protocol.ts';

type Order = { readonly update: Write } | { readonly collapse: readonly number[] } | { readonly clone: number };

/** The node's half has no state, so one serves all nodes of all runs. */
const node: NodeHalf = {
  *onMessage(context, body) {
    const order = body as Order;
    if ('update' in order) {
      yield* context.store(order.update);
      yield* context.maintain(order.update);
    } else if ('collapse' in order) for (const page of order.collapse) yield* context.map(page, 'primary');
    else {
      do yield* context.copyPage(order.clone);
      while (!(yield* context.verifyPage(order.clone)));
      yield* context.map(order.clone, 'own');
    }
  },
};

/**
 * The first write to a page makes every node map the primary instead of its replica; from then on writes go to the primary
 * alone. When a page has not been written for a while, replicas are made again: writes wait, each node copies, verifies and
 * swaps. Mass patching costs one store per word then, but its fetches are remote meanwhile.
 */
export const collapse: Protocol = {
  name: 'collapse',
  description: 'map the primary on all nodes while a page is being written, replicate again when it is quiet',
  guarantee: 'completed',
  options: { quietUs: 50 },
  cost: {
    // To the primary and back again.
    messages: (nodes) => 4 * (nodes - 1) + 2,
    tlbis: (nodes) => 4 * (nodes - 1),
    stall: 'a core that touches the page while it is swapped: one TLBI and DSB',
    stallNs: 720,
  },
  hypervisor() {
    /** When a page that is collapsed was written last. */
    const written = new Map<number, number>();
    return {
      *onWrite(context, write) {
        const quiet = Number(context.options.quietUs) * 1e6;
        const fresh = context.pagesOf(write).filter((page) => !written.has(page));
        const others = context.nodes.filter((node) => node !== PRIMARY_NODE);
        if (fresh.length > 0) yield* context.ask(others, { collapse: fresh } satisfies Order);
        yield* context.ask([PRIMARY_NODE], { update: write } satisfies Order);
        for (const page of context.pagesOf(write)) written.set(page, context.now);
        for (const page of fresh) context.setTimer(quiet as Duration, page);
        context.retire(write);
      },
      *onTimer(context, page) {
        const at = written.get(page);
        if (at === undefined) return;
        const left = at + Number(context.options.quietUs) * 1e6 - context.now;
        if (left > 0) {
          context.setTimer(left as Duration, page);
          return;
        }
        const others = context.nodes.filter((node) => node !== PRIMARY_NODE);
        yield* context.ask(others, { clone: page } satisfies Order);
        written.delete(page);
      },
      *onNodeBack(context, node) {
        if (node === PRIMARY_NODE || written.size === 0) return;
        yield* context.ask([node], { collapse: [...written.keys()] } satisfies Order);
      },
    };
  },
  node: () => node,
};
