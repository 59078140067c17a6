import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CLI, numalab, signalAfterFirstBytes } from './spawn.ts';

const folder = mkdtempSync(join(tmpdir(), 'numalab-exhaustive-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Tells both nodes, and waits for one. */
const MINE = `
const wait = {
  name: 'mine', description: 'waits for node 0', guarantee: 'completed',
  hypervisor: () => ({
    *onWrite(context, write) {
      context.send(1, write);
      yield* context.ask([0], write);
      context.retire(write);
    },
  }),
  node: () => ({ *onMessage(context, write) { yield* context.store(write); yield* context.maintain(write); } }),
};
export default wait;
`;

const hunt = (...args: readonly string[]) => numalab(['hunt', '--exhaustive', ...args]);

describe('hunt --exhaustive', () => {
  it('tells the shortest story of what is wrong with a protocol of one’s own, and exits 1', () => {
    const file = join(folder, 'mine.ts');
    writeFileSync(file, MINE);
    const { code, stdout } = hunt('--protocol', file, '--crashes', '0', '--json');
    expect(code).toBe(1);
    const { runs, failures, faultsFired, exhaustive, verdict } = JSON.parse(stdout);
    expect([verdict, runs.total > 1000, runs.perSecond > 0]).toEqual(['fail', true, true]);
    expect(faultsFired).toEqual({ 'hyp-crash': 0, crash: 0 });
    expect(exhaustive.searches[0]).toMatchObject({ subject: 'mine', declared: 'completed', held: 'ordered' });
    expect(failures[0]).toMatchObject({ invariant: 'R5', subject: 'mine', seed: null, folder: null });
    expect(failures[0].message).toBe(
      'write 1 is over, and a core of node 1 can still fetch the word as it was at boot',
    );
    expect(failures[0].story).toHaveLength(6);
    expect(failures[0].story[1]).toMatch(/^the hypervisor takes a store that trapped from node 0; numbers it: write 1/);
  });

  it('prints the bounds, how much it covered and that it covered all, and exits 0', () => {
    const { code, stdout } = hunt('--protocol', 'post', '--crashes', '0');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^within: 2 nodes; 2 writes/);
    expect(stdout).toMatch(/PASS post, declares ordered, ordered held: [\d,]+ states, [\d,]+ orders, all covered/);
    expect(stdout).toMatch(/not completed: write 1 is over/);
  });

  it('exits 3 when its budget runs out', () => {
    const { code, stdout } = hunt('--protocol', 'ack', '--max-states', '50');
    expect(code).toBe(3);
    expect(stdout).toMatch(/UNKNOWN ack.*not all covered: more than 50 states/);
  });

  it.each([
    [['--seeds', '1..2'], /^--seeds: has no meaning with --exhaustive$/],
    [['--set', 'machine.nodes=5'], /machine\.nodes: --exhaustive takes 2 to 3 nodes, not 5$/],
    [['--set', 'workload.writes=4'], /workload\.writes: --exhaustive takes 1 to 3 writes, not 4$/],
    [['--crashes', '7'], /--crashes/],
    [['--protocol', 'nonsense'], /nonsense/],
  ] as const)('refuses %j with one line', (args, line) => {
    const { code, stdout, stderr } = hunt(...args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr.trim()).toMatch(line);
  });

  it('is asked for by name: without it there must be seeds', () => {
    const { code, stderr } = numalab(['hunt', '--protocol', 'ack']);
    expect([code, stderr.trim()]).toEqual([2, '--seeds: is needed, unless --exhaustive goes without']);
  });

  it('prints what it has when it is interrupted', async () => {
    const args = [CLI, 'hunt', '--exhaustive', '--set', 'workload.writes=1'];
    const { code, stdout } = await signalAfterFirstBytes(args, 'SIGINT');
    expect(code).toBe(130);
    expect(stdout).toMatch(/^PASS post/m);
    expect(stdout).toMatch(/UNKNOWN it was interrupted\n$/);
  });
});
