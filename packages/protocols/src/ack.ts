import type { Duration } from '@numalab/base';
import type { NodeHalf, Protocol, Write } from './protocol.ts';

/** Bugs 44 and 59: an answer that has not come by then is given up. */
const PATIENCE_PS = 20e6 as Duration;

/** The node's half has no state, so one serves all nodes of all runs. */
const node: NodeHalf = {
  *onMessage(context, body) {
    const write = body as Write;
    yield* context.store(write);
    yield* context.maintain(write);
    context.send(write.number);
  },
};

/** Whether a node was missing; it is no more. */
const strike = (missing: number[], node: number): boolean => {
  const at = missing.indexOf(node);
  if (at < 0) return false;
  for (let i = at + 1; i < missing.length; i++) missing[i - 1] = missing[i]!;
  missing.pop();
  return true;
};

/**
 * Broadcast, and retire when every node has stored, maintained and acknowledged: no core can fetch the old word after the
 * writer's store is over. During the broadcast some nodes are ahead of others, so fetches are not linearizable.
 */
export const ack: Protocol = {
  name: 'ack',
  description: 'broadcast, retire when every node has applied, maintained and acknowledged',
  guarantee: 'completed',
  cost: {
    messages: (nodes) => 2 * nodes,
    tlbis: () => 0,
    stall: 'none; the writer waits for the slowest node',
    stallNs: 0,
  },
  hypervisor(bugs = []) {
    const [isEarly, isLease, isRetry] = ['10', '44', '59'].map((id) => bugs.includes(id));
    /** By number: writes that are under way, and the nodes that have not answered. */
    const open = new Map<number, { readonly write: Write; readonly missing: number[] }>();
    return {
      independentWrites: true,
      onWrite(context, write) {
        // All are down: each has the write when it is back, and nobody is left to say so.
        if (context.nodes.length === 0) {
          context.retire(write);
          return;
        }
        open.set(write.number, { write, missing: [...context.nodes] });
        context.broadcast(write);
        if (isLease || isRetry) context.setTimer(PATIENCE_PS, write.number);
      },
      onMessage(context, node, body) {
        const entry = open.get(body as number);
        if (entry === undefined || !strike(entry.missing, node)) return;
        // Bug 10: the first to answer is enough.
        if (entry.missing.length > 0 && !isEarly) return;
        open.delete(body as number);
        context.retire(entry.write);
      },
      onTimer(context, number) {
        const entry = open.get(number);
        if (entry === undefined) return;
        // Bug 59: told again, as if the first time had been lost.
        if (isRetry) for (const node of entry.missing) context.send(node, entry.write);
        // Bug 44: who is silent is taken for dead, and goes on with what it has when it wakes up.
        else if (open.delete(number)) context.retire(entry.write);
      },
      onNodeDown(context, node) {
        for (const { write, missing } of [...open.values()]) {
          if (!strike(missing, node) || missing.length > 0) continue;
          open.delete(write.number);
          context.retire(write);
        }
      },
    };
  },
  node: () => node,
};
