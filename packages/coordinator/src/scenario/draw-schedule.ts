import { Random } from '@numalab/base';
import type { ScheduleShape } from './resolve-schedule.ts';
import type { ScheduleChoice } from './scenario.ts';

/** Who decides whose turn it is; see {@link drawSchedule}. */
export const SCHEDULERS = ['random', 'pct', 'starvation', 'mixed'] as const;

export type Scheduler = (typeof SCHEDULERS)[number];

/** What a draw depends on beside seed and scheduler. */
export interface ScheduleOptions extends ScheduleShape {
  /** Nothing is held up later than this. */
  readonly horizonPs: number;
}

/** However low a priority is, whoever has it is not slower than this. */
const SLOWEST = 64;
const MAX_CHANGES = 5;
const MAX_WINDOWS = 4;
/** A window of starvation takes up to this part of a run, and in absolute terms no less and no more than this. */
const WINDOW_SHARE = 0.5;
const MIN_WINDOW_PS = 1_000_000;
const MAX_WINDOW_PS = 300_000_000;

const actorsOf = ({ nodes, coresPerNode }: ScheduleShape): string[] => {
  const actors: string[] = [];
  for (let cpu = 0; cpu < nodes * coresPerNode; cpu++) actors.push(`cpu ${cpu}`);
  for (let node = 0; node < nodes; node++) actors.push(`el2 ${node}`);
  actors.push('hyp');
  return actors;
};

/** Whole nanoseconds: short to write down. */
const moment = (random: Random, horizonPs: number): number =>
  1000 * random.below(Math.max(1, Math.floor(horizonPs / 1000)));

/**
 * Probabilistic concurrency testing: every actor has a priority, and at a few moments one falls to the lowest. Hardware runs
 * in parallel, so whoever has a low priority is not stopped but slowed down, the more the lower it is.
 */
const drawPct = (options: ScheduleOptions, seed: number): ScheduleChoice[] => {
  const { horizonPs } = options;
  const actors = actorsOf(options);
  /** By actor, as all that follows. */
  const priorities: number[] = [];
  for (let i = 0; i < actors.length; i++) priorities.push(new Random(seed, 'pct priority', i).next());
  const changes: { readonly at: number; readonly actor: number; readonly order: number }[] = [];
  for (let i = new Random(seed, 'pct changes').below(MAX_CHANGES + 1) - 1; i >= 0; i--) {
    const random = new Random(seed, 'pct change', i);
    changes.push({ at: Math.max(1000, moment(random, horizonPs)), actor: random.below(actors.length), order: i });
  }
  changes.sort((x, y) => x.at - y.at || x.order - y.order);
  const slowOf = (actor: number): number => {
    let rank = 0;
    for (const priority of priorities) if (priority > priorities[actor]!) rank++;
    return rank === 0 ? 0 : Math.min(SLOWEST, 1 + 2 * rank);
  };
  const choices: ScheduleChoice[] = [];
  const since: { readonly at: number; readonly slow: number }[] = [];
  for (let actor = 0; actor < actors.length; actor++) since.push({ at: 0, slow: slowOf(actor) });
  const close = (actor: number, to: number): void => {
    const { at, slow } = since[actor]!;
    if (slow > 1 && at < to) choices.push({ target: actors[actor]!, during: [at, to], slow });
  };
  for (const { at, actor, order } of changes) {
    priorities[actor] = -1 - order;
    for (let other = 0; other < actors.length; other++) {
      const slow = slowOf(other);
      if (slow === since[other]!.slow) continue;
      close(other, at);
      since[other] = { at, slow };
    }
  }
  for (let actor = 0; actor < actors.length; actor++) close(actor, horizonPs);
  return choices;
};

const starvedOf = (random: Random, { nodes, coresPerNode }: ScheduleOptions): string => {
  const node = random.below(nodes);
  const cpu = random.below(nodes * coresPerNode);
  const other = random.below(nodes);
  const links = [`${node}>hyp`, `hyp>${node}`, other === node ? `*>${node}` : `${node}>${other}`];
  const targets = [`cpu ${cpu}`, `el2 ${node}`, `node ${node}`, 'hyp', links[random.below(links.length)]!];
  return targets[random.below(targets.length)]!;
};

/** Windows in which one node, vCPU, link or the hypervisor gets nothing or almost nothing. Each has a stream of its own. */
const drawStarvation = (options: ScheduleOptions, seed: number): ScheduleChoice[] => {
  const { horizonPs } = options;
  const longest = Math.min(MAX_WINDOW_PS, Math.max(2 * MIN_WINDOW_PS, Math.floor(horizonPs * WINDOW_SHARE)));
  const count = 1 + new Random(seed, 'starvation').below(MAX_WINDOWS);
  return Array.from({ length: count }, (_, i): ScheduleChoice => {
    const random = new Random(seed, 'starvation window', i);
    const target = starvedOf(random, options);
    const from = moment(random, horizonPs);
    const span = MIN_WINDOW_PS + moment(random, longest - MIN_WINDOW_PS);
    const slow = random.chance(1, 4) ? SLOWEST : null;
    return { target, during: [from, from + span], slow };
  });
};

/**
 * The choices that `scheduler` makes with `seed`, as entries that a scenario file can hold. `random`: none, so that order is up
 * to jitter alone; `pct`: priorities that change; `starvation`: windows without time; `mixed`: one of these.
 */
export const drawSchedule = (
  options: ScheduleOptions,
  seed: number,
  scheduler: Scheduler,
): readonly ScheduleChoice[] => {
  const chosen =
    scheduler === 'mixed'
      ? (['random', 'pct', 'starvation'] as const)[new Random(seed, 'scheduler').below(3)]!
      : scheduler;
  if (chosen === 'pct') return drawPct(options, seed);
  return chosen === 'starvation' ? drawStarvation(options, seed) : [];
};
