import type { Stall } from '@numalab/interconnect';
import type { FaultProblem } from './resolve-faults.ts';
import { linkOf } from './resolve-faults.ts';
import type { ScheduleChoice } from './scenario.ts';

/** What the targets of a schedule are checked against. */
export interface ScheduleShape {
  readonly nodes: number;
  readonly coresPerNode: number;
}

type Target = Pick<Stall, 'whom' | 'from' | 'to' | 'core'>;

const numbered = (text: string, { nodes, coresPerNode }: ScheduleShape, problem: FaultProblem): Target | null => {
  const found = /^(cpu|el2|node) (\d{1,6})$/.exec(text);
  if (found === null) return null;
  const number = Number(found[2]);
  if (found[1] === 'cpu') {
    if (number < nodes * coresPerNode) {
      return { whom: 'cpu', from: Math.floor(number / coresPerNode), to: -1, core: number % coresPerNode };
    }
    return problem('target', `vCPU ${number} is beyond the last of ${nodes * coresPerNode}`);
  }
  if (number >= nodes) problem('target', `node ${number} is beyond the last of ${nodes}`);
  return { whom: found[1] as 'el2' | 'node', from: number, to: -1, core: -1 };
};

/** One choice of a scheduler as the machine wants it; a link both ways is two. Calls `problem` if it makes no sense. */
export const stallsOf = (choice: ScheduleChoice, shape: ScheduleShape, problem: FaultProblem): Stall[] => {
  const { target, during, slow } = choice;
  if (during[0] >= during[1]) problem('during', 'must end after it begins');
  const when = { fromPs: during[0], toPs: during[1], slow: slow ?? 0 };
  if (target === 'hyp') return [{ whom: 'hyp', from: shape.nodes, to: -1, core: -1, ...when }];
  const one = numbered(target, shape, problem);
  if (one !== null) return [{ ...one, ...when }];
  if (!/[>|]/.test(target)) {
    problem('target', `${target.slice(0, 40)} is none of cpu N, el2 N, node N, hyp, or a link such as 0>hyp`);
  }
  const { from, to, bothWays } = linkOf(target, shape.nodes, problem);
  const stall: Stall = { whom: 'link', from, to, core: -1, ...when };
  return bothWays ? [stall, { ...stall, from: to, to: from }] : [stall];
};
