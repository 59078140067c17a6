import type { Protocol, Write } from './protocol.ts';

/**
 * Broadcast, and retire when every node has stored, maintained and acknowledged: no core can fetch the old word after the
 * writer's store is over. During the broadcast some nodes are ahead of others, so fetches are not linearizable.
 */
export const ack: Protocol = {
  name: 'ack',
  description: 'broadcast, retire when every node has applied, maintained and acknowledged',
  guarantee: 'completed',
  cost: { messages: (nodes) => 2 * nodes, tlbis: () => 0, stall: 'none; the writer waits for the slowest node' },
  hypervisor() {
    const open = new Map<number, { readonly write: Write; readonly missing: Set<number> }>();
    return {
      onWrite(context, write) {
        open.set(write.number, { write, missing: new Set(context.nodes) });
        context.broadcast(write);
      },
      onMessage(context, node, body) {
        const entry = open.get(body as number);
        if (entry === undefined || !entry.missing.delete(node) || entry.missing.size > 0) return;
        open.delete(body as number);
        context.retire(entry.write);
      },
      onNodeDown(context, node) {
        for (const { write, missing } of [...open.values()]) {
          if (!missing.delete(node) || missing.size > 0) continue;
          open.delete(write.number);
          context.retire(write);
        }
      },
    };
  },
  node() {
    return {
      *onMessage(context, body) {
        const write = body as Write;
        yield* context.store(write);
        yield* context.maintain(write);
        context.send(write.number);
      },
    };
  },
};
