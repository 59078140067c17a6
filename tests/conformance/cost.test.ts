/** What `numalab protocols` says that a write costs, against what is counted in a run. */
import type { InlineMachine } from '@numalab/coordinator';
import { PROTOCOLS } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { run, writers } from './machine.ts';

/** Messages between the halves and broadcast TLBIs of a run of so many writes of one word to pages that every node maps. */
const countedOf = async (protocol: string, nodes: number, writes: number) => {
  let kept: InlineMachine | null = null;
  await run({
    protocol,
    set: [
      `machine.nodes=${nodes}`,
      'workload.duty=0',
      'workload.probe=false',
      'workload.duration=20us',
      // Further apart than collapse waits.
      writers(`{kind: synthetic, forms: [str_w], sites: 1, at: 0, writes: ${writes}, rate: 2k/s}`),
    ],
    checks: { minEvidence: 0 },
    meddle: (machine) => {
      kept = machine;
    },
  });
  const { nodes: processes, hypervisor } = kept! as InlineMachine;
  expect(hypervisor.journal.length).toBe(writes);
  return {
    messages: hypervisor.host.sent + processes.reduce((sum, node) => sum + node.agent.sent, 0),
    tlbis: processes.reduce((sum, node) => sum + node.maintenance.tlbis, 0),
  };
};

/** What the second write adds: the first one splits blocks, and finds every page mapped. */
const addedBy = async (protocol: string, nodes: number) => {
  const first = await countedOf(protocol, nodes, 1);
  const both = await countedOf(protocol, nodes, 2);
  return { messages: both.messages - first.messages, tlbis: both.tlbis - first.tlbis };
};

describe('what a write costs', () => {
  const names = Object.keys(PROTOCOLS).filter((name) => name !== 'invalidate');

  it.each(names)('under %s is what it says, on 2 and on 4 nodes', async (protocol) => {
    const { cost } = PROTOCOLS[protocol]!;
    for (const nodes of [2, 4]) {
      expect(await addedBy(protocol, nodes)).toEqual({ messages: cost!.messages(nodes), tlbis: cost!.tlbis(nodes) });
    }
  });

  it('under invalidate is what it says for the one node that has touched the page, and three messages for its copy', async () => {
    const { cost } = PROTOCOLS.invalidate!;
    expect(await addedBy('invalidate', 4)).toEqual({ messages: cost!.messages(1) + 3, tlbis: cost!.tlbis(1) });
  });
});
