import { type Bounds, type Choice, Choices, keyOf, type MachineState } from './choices.ts';
import { type Broken, Monitor, NOTHING_SEEN, type Seen } from './monitor.ts';
import type { Uses } from './reduction.ts';
import type { SmallMachine } from './small-machine.ts';

/** Something that does not hold, where it was found first: after the fewest choices. */
export interface Found extends Broken {
  /** States in which it does not hold. */
  count: number;
  readonly path: readonly Choice[];
}

/** What a search has covered, and what it has found. */
export interface Searched {
  readonly states: number;
  readonly transitions: number;
  /** Ways from the beginning to an end: orders in which everything can happen. */
  readonly executions: number;
  /** Ends: states in which nothing is left to happen. */
  readonly ends: number;
  /** Choices on the longest way. */
  readonly depth: number;
  /** States of single processes, and events that real code was run for. */
  readonly localStates: number;
  readonly eventsRun: number;
  /** Everything within the bounds is covered. */
  readonly complete: boolean;
  /** Why not, in words. */
  readonly cut: string;
  readonly found: readonly Found[];
  readonly evidence: Monitor['evidence'];
  readonly faults: Readonly<Record<string, number>>;
  /** What the ends come to, each once, sorted: see {@link outcomeOf}. */
  readonly outcomes: readonly string[];
  readonly interrupted: boolean;
}

export interface SearchOptions {
  readonly bounds: Bounds;
  readonly maxStates: number;
  /** Once this is found the search ends soon: whatever else it would find. */
  readonly isFailure?: (broken: Broken) => boolean;
  readonly signal?: AbortSignal;
  readonly progress?: (states: number, found: number) => void;
  readonly keepOutcomes?: boolean;
}

const PAUSE_STATES = 2000;
/** States that are still looked at when a failure has been found: these, and half as many as before. */
const MORE_STATES = 2000;

interface Pending {
  readonly state: MachineState;
  readonly seen: Seen;
}

/** What an end comes to for whoever looks at the machine from outside. */
const outcomeOf = (state: MachineState): string =>
  [
    state.order.view.journal.map(({ write }) => write.origin),
    ...state.nodes.map(
      ({ view }) =>
        `${view.page} ${view.stored.map(({ number }) => number)} ${view.visible.map(({ number }) => number)}`,
    ),
  ].join('; ');

/** Everything that `machine` can do within the bounds. */
export const search = async (machine: SmallMachine, options: SearchOptions): Promise<Searched> => {
  let uses: Uses = { operations: false, primary: false };
  for (;;) {
    const run = new Search(machine, options, uses);
    const searched = await run.run(uses);
    if (searched !== null) return searched;
    uses = run.uses;
  }
};

/** Breadth first, so that what is found is found after the fewest choices. */
class Search {
  private readonly choices: Choices;
  private readonly monitor: Monitor;
  private readonly options: SearchOptions;
  private readonly numbers = new Map<string, number>();
  private readonly parents: number[] = [];
  private readonly picks: number[] = [];
  private readonly edges: number[] = [];
  /** Where the edges of a state begin. */
  private readonly starts: number[] = [];
  private readonly frontier: Pending[] = [];
  private readonly found = new Map<string, { broken: Broken; state: number; pick: number; count: number }>();
  private readonly outcomes = new Set<string>();
  private ends = 0;
  private cut = '';
  private limit: number;

  constructor(machine: SmallMachine, options: SearchOptions, uses: Uses) {
    this.choices = new Choices(machine, uses);
    this.monitor = new Monitor(machine);
    this.options = options;
    this.limit = options.maxStates;
  }

  get uses(): Uses {
    return this.choices.used;
  }

  /** Null: more happens than was assumed. */
  async run(assumed: Readonly<Uses>): Promise<Searched | null> {
    const { signal, progress } = this.options;
    const first = this.choices.first(this.options.bounds);
    this.reach(first, NOTHING_SEEN(first.nodes.length), -1, 0);
    for (let at = 0; at < this.frontier.length; at++) {
      if (at % PAUSE_STATES === 0) {
        progress?.(this.parents.length, this.found.size);
        await new Promise((resolve) => setImmediate(resolve));
        if (signal?.aborted === true) this.cut = 'it was interrupted';
      }
      const isFull = this.parents.length > this.limit;
      if (isFull)
        this.cut ||= this.limit < this.options.maxStates ? 'a failure was found' : `more than ${this.limit} states`;
      if (isFull || (signal?.aborted === true && at % PAUSE_STATES === 0)) break;
      this.expand(at);
      const { operations, primary } = this.uses;
      if ((operations && !assumed.operations) || (primary && !assumed.primary)) return null;
    }
    return this.result(signal?.aborted === true);
  }

  private expand(at: number): void {
    const { state, seen } = this.frontier[at]!;
    (this.frontier as (Pending | undefined)[])[at] = undefined;
    this.starts.push(this.edges.length);
    const choices = this.choices.from(state);
    for (const [pick, { next, error }] of choices.entries()) {
      if (error !== null) this.report({ id: 'error', level: null, message: error }, at, pick);
      else this.edges.push(this.reach(next, seen, at, pick));
    }
    if (choices.every(({ isOptional }) => isOptional)) this.end(state, at);
  }

  private end(state: MachineState, at: number): void {
    this.ends++;
    if (this.choices.isCutOff(state)) {
      this.cut ||= `timers fire more than ${this.options.bounds.timers} times`;
      return;
    }
    if (this.options.keepOutcomes === true) this.outcomes.add(outcomeOf(state));
    for (const broken of this.monitor.judgeEnd(state)) this.report(broken, at, -1);
  }

  /** The number of a state, which is judged if it is new. */
  private reach(state: MachineState, before: Seen, parent: number, pick: number): number {
    const seen = this.monitor.seen(state, before);
    const key = `${keyOf(state)},${seen.highest},${seen.byNode}`;
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    const number = this.parents.length;
    this.numbers.set(key, number);
    this.parents.push(parent);
    this.picks.push(pick);
    this.frontier.push({ state, seen });
    for (const broken of this.monitor.judge(state, seen)) this.report(broken, number, -1);
    return number;
  }

  private report(broken: Broken, state: number, pick: number): void {
    const key = `${broken.id} ${broken.level}`;
    const known = this.found.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    this.found.set(key, { broken, state, pick, count: 1 });
    if (this.options.isFailure?.(broken) !== true) return;
    this.limit = Math.min(this.limit, Math.floor(1.5 * this.parents.length) + MORE_STATES);
  }

  // ---- the account ------------------------------------------------------------------------------------------------------------

  private result(interrupted: boolean): Searched {
    const { choices, monitor, cut, ends, edges } = this;
    const automata = [choices.order, ...choices.nodes];
    const { executions, depth } = this.count();
    return {
      states: this.parents.length,
      transitions: edges.length,
      executions,
      ends,
      depth,
      localStates: automata.reduce((sum, { size }) => sum + size, 0),
      eventsRun: automata.reduce((sum, { executed }) => sum + executed, 0),
      complete: cut === '',
      cut,
      found: [...this.found.values()].map(({ broken, state, pick, count }) => ({
        ...broken,
        count,
        path: this.pathTo(state, pick),
      })),
      evidence: monitor.evidence,
      faults: choices.faults,
      outcomes: [...this.outcomes].sort(),
      interrupted,
    };
  }

  /** The choices that lead to a state, and one more if there is one. */
  private pathTo(state: number, pick: number): readonly Choice[] {
    const picks: number[] = pick < 0 ? [] : [pick];
    for (let at = state; this.parents[at]! >= 0; at = this.parents[at]!) picks.push(this.picks[at]!);
    const path: Choice[] = [];
    let at = this.choices.first(this.options.bounds);
    for (const taken of picks.reverse()) {
      const choice = this.choices.from(at)[taken]!;
      path.push(choice);
      at = choice.next;
    }
    return path;
  }

  /** Every choice uses something up, so no way comes back to where it was: ways are counted from the ends. */
  private count(): { executions: number; depth: number } {
    const { starts, edges, parents } = this;
    const states = parents.length;
    const endOf = (state: number): number => (state + 1 < starts.length ? starts[state + 1]! : edges.length);
    const incoming = new Uint32Array(states);
    for (const to of edges) incoming[to]!++;
    const ways = new Float64Array(states);
    const depth = new Uint32Array(states);
    ways[0] = 1;
    const ready = [0];
    let executions = 0;
    let deepest = 0;
    while (ready.length > 0) {
      const state = ready.pop()!;
      if (state >= starts.length || starts[state] === endOf(state)) executions += ways[state]!;
      deepest = Math.max(deepest, depth[state]!);
      for (let i = starts[state] ?? edges.length; i < (state < starts.length ? endOf(state) : 0); i++) {
        const to = edges[i]!;
        ways[to]! += ways[state]!;
        depth[to] = Math.max(depth[to]!, depth[state]! + 1);
        if (--incoming[to]! === 0) ready.push(to);
      }
    }
    return { executions, depth: deepest };
  }
}
