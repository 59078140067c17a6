/** The trace of a run is the same wherever its processes live. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSpec, closeMembers, loadScenario, type PlacementOptions, runMachine } from '@numalab/coordinator';
import { afterAll, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'numalab-traces-'));
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await closeMembers();
});

const SCENARIO = loadScenario('small', {
  set: ['faults=[{ kind: drop, match: protocol, nth: 2 }, { kind: crash, target: 1, at: 20us }]'],
});
const NAMES = ['node-0.trace', 'node-1.trace', 'hypervisor.trace'];

it('a trace is the same, byte for byte, in one thread, in two, and over two processes', async () => {
  const traceOf = async (options: PlacementOptions): Promise<Buffer[]> => {
    const trace = mkdtempSync(join(folder, 'run-'));
    const { spec, watch } = buildSpec(SCENARIO, 5);
    await runMachine(spec, watch, SCENARIO.checks, { ...options, trace });
    return NAMES.map((name) => readFileSync(join(trace, name)));
  };
  const inline = await traceOf({ placement: 'inline', threads: null });
  expect(inline.every((bytes) => bytes.length > 2000)).toBe(true);
  expect(
    (await traceOf({ placement: 'inline', threads: null, windowDivisor: 3 })).map((bytes, i) =>
      bytes.equals(inline[i]!),
    ),
  ).toEqual([true, true, true]);
  expect((await traceOf({ placement: 'threads', threads: 2 })).map((bytes, i) => bytes.equals(inline[i]!))).toEqual([
    true,
    true,
    true,
  ]);
  expect(
    (await traceOf({ placement: 'cluster', threads: 2, processes: 2 })).map((bytes, i) => bytes.equals(inline[i]!)),
  ).toEqual([true, true, true]);
});
