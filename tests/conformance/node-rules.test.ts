/** What a node's own code reports on the spot, each time with the defect that it is there for. */
import type { Step } from '@numalab/base';
import { Observations } from '@numalab/node-worker';
import { describe, expect, it } from 'vitest';
import { messagesOf, run, runAndKeep, writers } from './machine.ts';

const QUIET = ['workload.duration=60us', 'workload.duty=0.05'];
const ONE_STORE = writers('{kind: synthetic, forms: [str_w], sites: 1, at: 5us, writes: 1, cpus: [0]}');

describe('a node reports by itself', () => {
  it('R2: a plain store that the order sends back without a number', async () => {
    const judged = await run({
      set: [...QUIET, ONE_STORE],
      checks: { minEvidence: 0 },
      meddle: ({ hypervisor }) => {
        const answer = hypervisor.answer.bind(hypervisor);
        hypervisor.answer = (to, core, _number, serial, old) => answer(to, core, 0, serial, old);
      },
    });
    expect(messagesOf(judged, 'R2').join('\n')).toMatch(/^the store of CPU 0 .* came back without a number$/m);
  });

  it('L1: a store that nobody releases from its trap', async () => {
    const judged = await run({
      set: [...QUIET, ONE_STORE],
      checks: { minEvidence: 0 },
      meddle: ({ hypervisor }) => {
        hypervisor.answer = () => {};
      },
    });
    expect(messagesOf(judged, 'L1').join('\n')).toMatch(
      /^CPU 0 trapped with a store at .* and waits for ever: the write/m,
    );
  });

  it('L1: an access that faults again and again', async () => {
    const judged = await run({
      set: [...QUIET, writers()],
      checks: { minEvidence: 0 },
      meddle: ({ nodes }) => {
        // EL2 says that the memory is mapped, and it is not.
        nodes[1]!.host!.handleTranslationFault = function* () {
          yield* [];
          return 0;
        };
      },
    });
    expect(messagesOf(judged, 'L1').join('\n')).toMatch(/^CPU [345] has faulted 256 times in a row on IPA/m);
  });

  it('R3: a load of a word that no writer writes, which holds something else', async () => {
    const { judged } = await runAndKeep({
      set: [...QUIET, writers()],
      checks: { minEvidence: 0 },
      meddle: (machine) => {
        const node = machine.nodes[1]!;
        const { start } = node.spec.kernel.text;
        const pa = node.copyOf(start);
        node.memory.store32(pa, (node.memory.load32(pa) ^ 1) >>> 0);
        const load = function* (): Step<void> {
          yield node.walk.loadWord(node.cpus[0]!, start);
        };
        machine.startTask(1, 0, load, 5e6);
      },
    });
    expect(messagesOf(judged, 'R3').join('\n')).toMatch(/^CPU 3 loaded [0-9a-f]+ from word \d+$/m);
  });

  it('R3: one number seen with two values', () => {
    const seen = new Observations(0, 2);
    seen.fetched(7, 0xd503201f, 3, 0, 10, 20);
    seen.fetched(7, 0xd503201f, 3, 1, 30, 40);
    expect(seen.findings).toEqual([]);
    seen.loaded(7, 0x14000001, 3, 1, 50, 60);
    expect(seen.findings.map(({ id, timePs }) => [id, timePs])).toEqual([['R3', 60]]);
  });
});
