/** Processes of live runs that are killed in the middle of it, and what comes back in their place. */
import { closeMembers, type LiveScenarioRun, loadScenario, runLiveScenario } from '@numalab/coordinator';
import { afterAll, expect, it } from 'vitest';

const SET = [
  'machine.coresPerNode=2',
  'machine.memoryPerNode=512MiB',
  'interconnect.latencyScale=0',
  'workload.duty=0.1',
  // Then what is finite goes on until it is done, by nodes that come back too.
  'workload.duration=400ms',
];

/** A place in the run whose process is killed when so many milliseconds have passed, and then each that takes it, so often. */
interface Kill {
  readonly place: number;
  /** Less than 0: so long after it was started. */
  readonly atMs: number;
  readonly again?: number;
}

type Lived = LiveScenarioRun & { readonly killed: readonly number[] };

/** How long one that takes a place lives. */
const AGAIN_MS = 20;

const live = async (
  protocol: string,
  nodes: number,
  writers: string,
  kills: readonly Kill[],
  set: readonly string[] = [],
  processes = nodes,
): Promise<Lived> => {
  const scenario = loadScenario('small', {
    set: [...SET, `machine.nodes=${nodes}`, `kernel.writers=[${writers}]`, ...set],
    protocol,
    mode: 'live',
  });
  const left = kills.map((one) => ({ ...one, again: one.again ?? 0, isDue: true }));
  let pids: readonly number[] = [];
  const killed: number[] = [];
  const kill = (one: (typeof left)[number]): void => {
    if (one.isDue) one.isDue = false;
    else one.again--;
    killed.push(pids[one.place]!);
    process.kill(pids[one.place]!, 'SIGKILL');
  };
  const lived = await runLiveScenario(scenario, {
    seed: 1,
    cluster: {
      processes,
      ownHypervisor: false,
      started: (started) => {
        for (const one of left) {
          const isNew = pids.length > 0 && pids[one.place] !== started[one.place];
          if (isNew && one.again > 0) setTimeout(kill, AGAIN_MS, one);
          if (pids.length === 0 && one.atMs < 0) setTimeout(kill, -one.atMs, one);
        }
        pids = started;
      },
    },
    progress: (ms) => {
      for (const one of left) if (one.isDue && ms >= one.atMs) kill(one);
    },
  });
  return { ...lived, killed };
};

/** Nothing is wrong, and every node has taken part to the end. */
const isWell = ({ result, run }: Lived): void => {
  expect(result.violations).toEqual([]);
  expect(result.verdict).toBe('pass');
  expect(run.rested).toBe(true);
  for (const { id, counts } of run.nodes) {
    expect([id, counts.writesOver > 0, counts.checked > 0]).toEqual([id, true, true]);
  }
  expect(result.nodes.map(({ id }) => id)).toEqual(Array.from(result.nodes, (_, id) => id));
};

/** That, and what process 2, with node 2, was before it was killed is told. */
const comesBack = (lived: Lived): void => {
  isWell(lived);
  const { result, killed } = lived;
  expect(result.nodes.length).toBe(3);
  expect(result.lostProcesses).toMatchObject([
    { process: 2, pid: killed[0], nodes: [2], how: 'was killed by SIGKILL', backMs: expect.any(Number) },
  ]);
  expect(result.warnings.join()).toMatch(/another process took its place, and it was back after \d+ ms/);
};

afterAll(closeMembers);

const WRITES = '{kind: synthetic, inFlight: 6, writes: 3000}';
const KILL: readonly Kill[] = [{ place: 2, atMs: 200 }];

it.each(['ack', 'direct', 'bbm', 'invalidate', 'stop-machine', 'collapse'])(
  '%s goes on when a process is killed, and its node comes back in another',
  async (protocol) => {
    comesBack(await live(protocol, 3, WRITES, KILL));
  },
  60_000,
);

it.each([
  ['of the default scenario', '{kind: jump-label, writes: 120}, {kind: ftrace, writes: 400, batch: 4, cpus: [4, 5]}'],
  ['that store data', '{kind: ftrace-literal, writes: 150}'],
  ['that stop all cores', '{kind: kprobe, writes: 60}, {kind: alternatives, writes: 30}'],
])(
  'patchers %s take up again what a killed process has left half done',
  async (_, patchers) => {
    comesBack(await live('ack', 3, patchers, KILL, ['checks.minEvidence=0']));
  },
  60_000,
);

it('finite work goes on where it was', async () => {
  const lived = await live('ack', 3, WRITES, KILL);
  isWell(lived);
  const { numbered, retired, withoutEffect, orphaned } = lived.run.hypervisor;
  expect(numbered).toBe(retired);
  expect(orphaned).toBeGreaterThan(0);
  // What was under way is written again, or is over without its core; so is what the process had not told yet.
  expect(numbered + withoutEffect).toBeGreaterThanOrEqual(3000);
  expect(numbered + withoutEffect).toBeLessThan(3100);
}, 60_000);

it('without replication stores of the process that comes back reach the one copy again', async () => {
  const lived = await live('ack', 3, WRITES, KILL, ['replication.strategy=none']);
  comesBack(lived);
}, 60_000);

it.each(['ack', 'bbm'])(
  '%s: all nodes of a process that has several come back at once',
  async (protocol) => {
    const lived = await live(
      protocol,
      6,
      '{kind: synthetic, inFlight: 12, writes: 3000}',
      [{ place: 1, atMs: 200 }],
      [],
      2,
    );
    isWell(lived);
    expect(lived.result.lostProcesses).toMatchObject([{ nodes: [3, 4, 5], backMs: expect.any(Number) }]);
  },
  60_000,
);

it('two processes that are killed at once come back one after the other, and a third meanwhile', async () => {
  const kills = [
    { place: 2, atMs: 150 },
    { place: 3, atMs: 150 },
    { place: 1, atMs: 300 },
  ];
  const lived = await live('ack', 4, WRITES, kills);
  isWell(lived);
  expect(lived.result.lostProcesses.map(({ process, backMs }) => [process, typeof backMs]).sort()).toEqual([
    [1, 'number'],
    [2, 'number'],
    [3, 'number'],
  ]);
}, 60_000);

it('what dies again and again is done without', async () => {
  const { result, run } = await live('ack', 3, WRITES, [{ place: 2, atMs: 200, again: 10 }]);
  expect(result.violations).toEqual([]);
  expect([result.verdict, run.rested]).toEqual(['pass', true]);
  expect(result.lostProcesses.map(({ process, backMs }) => [process, backMs])).toEqual(Array(4).fill([2, null]));
  expect(run.nodes.map(({ id }) => id)).toEqual([0, 1]);
  expect(result.warnings.join()).toContain('the run went on without');
}, 60_000);

it('what dies once more while it comes back is replaced once more', async () => {
  const lived = await live('direct', 3, WRITES, [{ place: 2, atMs: 200, again: 1 }]);
  isWell(lived);
  expect(lived.result.lostProcesses.map(({ pid }) => pid)).toEqual(lived.killed);
}, 60_000);

it('rules that are broken after a process has come back are found', async () => {
  const file = new URL('../live/loses-a-store.ts', import.meta.url).pathname;
  const { result } = await live(file, 3, WRITES, KILL);
  expect(result.lostProcesses).toMatchObject([{ process: 2, backMs: expect.any(Number) }]);
  expect(result.violations.map(({ id }) => id)).toContain('R1');
}, 60_000);

it.each([
  [0, 1],
  [0, 150],
  [1, 200],
])(
  'process %i is killed %i ms after it was started, and all begin anew',
  async (place, afterMs) => {
    const lived = await live('ack', 3, WRITES, [{ place, atMs: -afterMs }]);
    isWell(lived);
    expect(lived.result.lostProcesses).toMatchObject([
      { process: place, pid: lived.killed[0], backMs: expect.any(Number) },
    ]);
    expect(lived.result.warnings.join()).toContain('all began anew');
  },
  60_000,
);
