import { describe, expect, it } from 'vitest';
import { runMachine } from '../engine/run-machine.ts';
import { buildSpec } from '../machine/build-spec.ts';
import { loadScenario } from '../scenario/load.ts';
import { faultsOf, makeCell } from './cell.ts';
import { runLease } from './run-lease.ts';
import { Tally } from './tally.ts';
import { tallyOf } from './tally-run.ts';

describe('a lease', () => {
  it.each(['none', 'swarm'] as const)(
    'counts what each seed gives on a machine of its own (faults %s)',
    async (faults) => {
      const cell = makeCell(loadScenario('small', { duration: '20us' }), faults);
      const answer = await runLease({ cell, from: 5, to: 12, stop: new Int32Array(1) });
      const alone = new Tally();
      for (let seed = 5; seed <= 12; seed++) {
        const { spec, watch } = buildSpec(cell.scenario, seed, { faults: faultsOf(cell, seed) });
        const run = await runMachine(spec, watch, cell.scenario.checks, { placement: 'inline', threads: null });
        alone.addRun(tallyOf(run, seed, []));
      }
      expect(answer).toMatchObject({ kind: 'done', outcome: { to: 12, tally: alone.data() } });
    },
  );

  it('that is stopped before its first run has done nothing', async () => {
    const cell = makeCell(loadScenario('small'), 'none');
    expect(await runLease({ cell, from: 1, to: 2, stop: Int32Array.of(1) })).toEqual({ kind: 'nothing' });
  });

  it('of a scenario that cannot be built is refused', async () => {
    const scenario = loadScenario('small');
    const machine = { ...scenario.machine, memoryPerNode: 2 ** 21 };
    const cell = makeCell({ ...scenario, machine }, 'none');
    const answer = await runLease({ cell, from: 1, to: 2, stop: new Int32Array(1) });
    expect(answer).toMatchObject({ kind: 'refused', where: expect.stringContaining('machine.memoryPerNode') });
  });
});
