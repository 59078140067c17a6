/** Planned crashes of nodes whose threads are in several processes of the operating system. */
import { closeMembers, type LiveScenarioRun, loadScenario, runLiveScenario } from '@numalab/coordinator';
import { afterAll, expect, it } from 'vitest';

const SET = [
  'machine.nodes=3',
  'machine.coresPerNode=2',
  'machine.memoryPerNode=512MiB',
  'interconnect.latencyScale=0',
  'workload.duty=0.2',
  'workload.duration=800ms',
];

const live = (
  fault: string,
  writers: string,
  protocol: string,
  cluster: { processes: number; ownHypervisor: boolean },
): Promise<LiveScenarioRun> =>
  runLiveScenario(
    loadScenario('small', {
      set: [...SET, `faults=[${fault}]`, `kernel.writers=[${writers}]`],
      protocol,
      mode: 'live',
    }),
    { seed: 1, cluster },
  );

const comesBack = ({ result, run }: LiveScenarioRun, node: number): void => {
  expect(result.violations).toEqual([]);
  expect(result.verdict).toBe('pass');
  expect(run.rested).toBe(true);
  expect(result.faults[0]).toMatchObject({ kind: 'crash', outcome: 'repaired', fired: 1, repaired: 1 });
  expect(result.outages).toMatchObject([{ node, backMs: expect.any(Number) }]);
  // In its second life it takes part again.
  expect(result.nodes.map(({ id }) => id)).toEqual([0, 1, 2]);
  expect(result.lostProcesses).toEqual([]);
  expect(result.warnings.join()).toContain(`node ${node} went down`);
};

afterAll(closeMembers);

const ENDLESS = '{kind: synthetic, inFlight: 6}';

it.each([
  ['of another process than the order', 'ack', 2, false],
  ['of a process without the order', 'invalidate', 1, true],
  ['with the primary', 'direct', 0, true],
  ['of the process with the order', 'ack', 1, false],
] as const)(
  'a node %s crashes and comes back: %s',
  async (_, protocol, node, ownHypervisor) => {
    const fault = `{kind: crash, target: ${node}, at: 20ms, for: 20ms${node > 0 ? ', memory: lost' : ''}}`;
    const processes = ownHypervisor ? 3 : 2;
    comesBack(await live(fault, ENDLESS, protocol, { processes, ownHypervisor }), node);
  },
  60_000,
);

it('a crash by count leaves no lock behind, and finite work goes on where it was', async () => {
  const writers = '{kind: synthetic, inFlight: 6, writes: 90, sync: stop-machine}';
  const lived = await live('{kind: crash, target: 2, nth: 5, for: 5ms}', writers, 'ack', {
    processes: 3,
    ownHypervisor: false,
  });
  comesBack(lived, 2);
  const { numbered, retired, withoutEffect, orphaned } = lived.run.hypervisor;
  expect(numbered).toBe(retired);
  // What was under way when it crashed is written again, or is over without its core.
  expect(numbered + withoutEffect).toBeGreaterThanOrEqual(90);
  expect(orphaned).toBeLessThanOrEqual(6);
}, 60_000);
