import { judgeApplied, WritePages } from '@numalab/checkers';
import type { Guarantee } from '@numalab/protocols';
import type { LocalState } from './automaton.ts';
import type { MachineState } from './choices.ts';
import type { NodeView } from './node-view.ts';
import type { SmallMachine } from './small-machine.ts';
import type { Cell } from './small-memory.ts';

/** What is remembered of what fetches may have seen on the way to a state; part of the state. */
export interface Seen {
  /** The highest number that any fetch may have seen. */
  readonly highest: number;
  /** By node: the highest that memory has shown to its cores. */
  readonly byNode: readonly number[];
}

/** A rule or a level that does not hold in a state. */
export interface Broken {
  /** `R1` …, or `level`. */
  readonly id: string;
  readonly level: Guarantee | null;
  readonly message: string;
}

export const NOTHING_SEEN = (nodes: number): Seen => ({ highest: 0, byNode: Array.from({ length: nodes }, () => 0) });

/** What cores of `node` may see of the word. */
const visibleTo = (state: MachineState, node: number): readonly Cell[] => {
  const { sees, visible } = state.nodes[node]!.view;
  if (sees === 'nothing') return [];
  return sees === 'own' ? visible : state.nodes[0]!.view.visible;
};

/**
 * Judges states. A fetch takes part in nothing, so none is needed to know what one would see: in every state, every core of
 * every node may fetch the word, or not. `completed` is refuted where a fetch may see less than a write that is over; `atomic`
 * where it may see less than a fetch before it. A state in which nothing is left to happen is judged by R1, R2 and L1, and
 * by the judge of what was applied, the same as after a run. Does not verify: tables, emulation, the kernel's own synchronisation.
 */
export class Monitor {
  private readonly machine: SmallMachine;
  private readonly applied = new WeakMap<LocalState<NodeView>, Map<number, readonly Broken[]>>();
  /** Fetches that could have shown something, by level. */
  readonly evidence: Record<Guarantee, number> = { eventual: 0, ordered: 0, completed: 0, atomic: 0 };

  constructor(machine: SmallMachine) {
    this.machine = machine;
  }

  /** What has been seen when `state` is reached after `before`. */
  seen(state: MachineState, before: Seen): Seen {
    let { highest } = before;
    const byNode = before.byNode.map((old, node) => {
      const cells = visibleTo(state, node);
      for (const { number } of cells) if (number > highest) highest = number;
      return Math.max(old, cells[0]?.number ?? 0);
    });
    return { highest, byNode };
  }

  /** What does not hold in `state`; `seen` is what {@link Monitor.seen} gives for it. */
  judge(state: MachineState, seen: Seen): readonly Broken[] {
    const broken: Broken[] = [];
    const over = Math.max(0, ...state.nodes.flatMap(({ view }) => view.ended));
    for (let node = 0; node < state.nodes.length; node++) {
      const cells = visibleTo(state, node);
      if (cells.length === 0) continue;
      if (over > 0) this.evidence.completed++;
      if (seen.highest > 0) this.evidence.atomic++;
      for (const cell of cells) this.judgeFetch(state, node, cell, over, seen.highest, broken);
      if (this.isTorn(state, node)) {
        const message = `a core of node ${node} can fetch one word of a write and then another of an older one`;
        broken.push({ id: 'R6', level: null, message });
      }
      const { number } = cells[0]!;
      if (number < seen.byNode[node]!) {
        const message = `a core of node ${node} that has fetched ${name(seen.byNode[node]!)} fetches ${name(number)} after it`;
        broken.push({ id: 'R4', level: null, message });
      }
    }
    return broken;
  }

  private isTorn(state: MachineState, node: number): boolean {
    if (this.machine.protocol.wholeWrites !== true) return false;
    const { sees, isTorn } = state.nodes[node]!.view;
    return sees === 'own' ? isTorn : state.nodes[0]!.view.isTorn;
  }

  private judgeFetch(
    state: MachineState,
    node: number,
    { number, value }: Cell,
    over: number,
    highest: number,
    broken: Broken[],
  ): void {
    if (number < over) {
      const message = `write ${over} is over, and a core of node ${node} can still fetch ${name(number)}`;
      broken.push({ id: 'level', level: 'completed', message });
    }
    if (number < highest) {
      const message = `a fetch has seen write ${highest}, and a later one on node ${node} can still see ${name(number)}`;
      broken.push({ id: 'level', level: 'atomic', message });
    }
    const write = state.order.view.journal[number - 1]?.write;
    const { word, image, layout } = this.machine;
    const expected = number === 0 ? image[word - (layout.spanStart >> 2)] : write?.words[word - write.word];
    if (expected === value) return;
    const message = `a core of node ${node} fetches 0x${value.toString(16)} as ${name(number)}, which never wrote that`;
    broken.push({ id: 'R3', level: null, message });
  }

  // ---- the end --------------------------------------------------------------------------------------------------------------

  /** What does not hold in a state in which nothing is left to happen. */
  judgeEnd(state: MachineState): readonly Broken[] {
    const broken: Broken[] = [...this.judgeProgress(state)];
    if (broken.length > 0) return broken;
    broken.push(...this.judgeWrites(state));
    for (const node of state.nodes.keys()) broken.push(...this.judgeCopy(state, node), ...this.judgeLog(state, node));
    return broken;
  }

  private judgeProgress(state: MachineState): readonly Broken[] {
    const { isUp, isRecovering, journal } = state.order.view;
    const waits: string[] = [];
    for (const [node, { view }] of state.nodes.entries()) {
      if (!view.isUp) waits.push(`node ${node} is ${view.state}`);
      else if (view.waiting.length > 0) waits.push(`a core of node ${node} waits for its write`);
      if (view.touching) waits.push(`a core of node ${node} waits for its page`);
    }
    for (const { write, retired } of journal) if (retired < 0) waits.push(`write ${write.number} is not retired`);
    if (!isUp) waits.push('the hypervisor is down');
    else if (isRecovering) waits.push('the hypervisor is still recovering');
    if (waits.length === 0) return [];
    return [{ id: 'L1', level: null, message: `nothing is left to happen, and ${waits.join('; ')}` }];
  }

  /** Every store that trapped is in the order once. */
  private judgeWrites(state: MachineState): readonly Broken[] {
    const { journal } = state.order.view;
    const broken: Broken[] = [];
    const seen = new Map<string, number>();
    for (const { write, core, serial } of journal) {
      const store = `${write.origin} ${core} ${serial}`;
      const first = seen.get(store);
      seen.set(store, write.number);
      if (first === undefined) continue;
      const message = `the store of node ${write.origin} is in the order twice, as writes ${first} and ${write.number}`;
      broken.push({ id: 'R2', level: null, message });
    }
    const stores = this.machine.writes.flat(2).length;
    if (seen.size < stores) {
      broken.push({ id: 'R2', level: null, message: `${stores} stores have returned, ${seen.size} are in the order` });
    }
    return broken;
  }

  private judgeCopy(state: MachineState, node: number): readonly Broken[] {
    const { view } = state.nodes[node]!;
    if (view.page !== 'own') return [];
    this.evidence.eventual++;
    const { word, image, layout } = this.machine;
    const { journal, changes } = state.order.view;
    const number = journal.length;
    for (const [i, cell] of view.stored.entries()) {
      const value = changes.get(word + i) ?? image[word + i - (layout.spanStart >> 2)]!;
      if (cell.number === number && cell.value === value) continue;
      const message = `at the end the copy of node ${node} holds ${name(cell.number)}, the reference ${name(number)}`;
      return [{ id: 'R1', level: 'eventual', message }];
    }
    return [];
  }

  private judgeLog(state: MachineState, node: number): readonly Broken[] {
    const local = state.nodes[node]!;
    const { journal } = state.order.view;
    const known = this.applied.get(local) ?? new Map<number, readonly Broken[]>();
    this.applied.set(local, known);
    this.evidence.ordered++;
    const found = known.get(journal.length);
    if (found !== undefined) return found;
    const pages = new WritePages(
      this.machine.spec,
      journal.map(({ write }) => write),
    );
    const { ordered, lost, repeated } = judgeApplied(node, local.view.log, pages, true);
    const broken: Broken[] = [
      ...(ordered === null ? [] : [{ id: 'level', level: 'ordered' as const, message: ordered.message }]),
      ...lost.map((number) => rule2(`write ${number} was never applied on node ${node}`)),
      ...repeated.map((number) => rule2(`write ${number} was applied again on node ${node}`)),
    ];
    known.set(journal.length, broken);
    return broken;
  }
}

const name = (number: number): string => (number === 0 ? 'the word as it was at boot' : `write ${number}`);
const rule2 = (message: string): Broken => ({ id: 'R2', level: null, message });
