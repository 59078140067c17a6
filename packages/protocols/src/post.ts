import type { NodeHalf, Protocol, Write } from './protocol.ts';

/** The node's half has no state, so one serves all nodes of all runs. */
const node: NodeHalf = {
  *onMessage(context, body) {
    const write = body as Write;
    yield* context.store(write);
    yield* context.maintain(write);
  },
};

/**
 * Broadcast and retire at once. Every node applies the writes in order, but the writer goes on while some nodes still run
 * the old word: too weak for Linux, which relies on the store being over when the instruction after it runs ([arm64
 * reference 0.10]).
 */
export const post: Protocol = {
  name: 'post',
  description: 'broadcast, retire at once',
  guarantee: 'ordered',
  cost: { messages: (nodes) => nodes, tlbis: () => 0, stall: 'none', stallNs: 0 },
  hypervisor() {
    return {
      independentWrites: true,
      onWrite(context, write) {
        context.broadcast(write);
        context.retire(write);
      },
    };
  },
  node: () => node,
};
