import type { Protocol, Write } from './protocol.ts';

/**
 * Broadcast, and retire when every node has stored, maintained and acknowledged: no core can fetch the old word after the
 * writer's store is over. During the broadcast some nodes are ahead of others, so fetches are not linearizable.
 */
export const ack: Protocol = {
  name: 'ack',
  description: 'broadcast, retire when every node has applied, maintained and acknowledged',
  guarantee: 'completed',
  hypervisor() {
    const missing = new Map<number, { write: Write; count: number }>();
    return {
      onWrite(context, write) {
        missing.set(write.number, { write, count: context.nodes.length });
        for (const node of context.nodes) context.send(node, write);
      },
      onMessage(context, _node, body) {
        const number = body as number;
        const entry = missing.get(number)!;
        entry.count--;
        if (entry.count > 0) return;
        missing.delete(number);
        context.retire(entry.write);
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
