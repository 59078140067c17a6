import type { Protocol } from './protocol.ts';

/**
 * EL2 on the hypervisor's core stores into every copy itself, maintains the lines of each, and retires after the DSB. No
 * node's EL2 takes part: what it costs is remote stores and the maintenance broadcasts.
 */
export const direct: Protocol = {
  name: 'direct',
  description: 'EL2 stores into every replica itself, maintains each, DSB',
  guarantee: 'completed',
  cost: {
    messages: () => 0,
    tlbis: () => 0,
    stall: 'none; the writer waits for remote stores and one DSB',
    stallNs: 0,
  },
  hypervisor() {
    return {
      independentWrites: true,
      *onWrite(context, write) {
        // Not `for of`: an engine makes an object for each of its turns in a generator.
        for (let i = 0, { nodes } = context; i < nodes.length; i++) yield* context.storeCopy(nodes[i]!, write);
        yield* context.dsb();
        for (let i = 0, { nodes } = context; i < nodes.length; i++) yield* context.maintainCopy(nodes[i]!, write);
        yield* context.dsb();
        context.retire(write);
      },
    };
  },
  node() {
    return { onMessage() {} };
  },
};
