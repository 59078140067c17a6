import type { Broken } from './monitor.ts';

/** What can be searched: states that lead to others by choices. Every choice uses something up: no state comes twice on a way. */
export interface Model<State, Pick extends Step<State>> {
  readonly first: State;
  /** Equal texts: equal states. */
  keyOf(state: State): string;
  from(state: State): readonly Pick[];
  /** What does not hold in a state, and in one in which nothing is left to happen. */
  judge(state: State): readonly Broken[];
  judgeEnd(state: State): readonly Broken[];
  /** Why what could happen in an end is beyond the bounds; '': it is not. */
  cutOff(state: State): string;
  /** What an end comes to for whoever looks from outside. */
  outcomeOf(state: State): string;
  /** States of single processes, and events that real code was run for. */
  readonly effort: { readonly localStates: number; readonly eventsRun: number };
}

/** A choice and where it leads. */
export interface Step<State> {
  readonly next: State;
  /** It need not be taken. */
  readonly isOptional: boolean;
  readonly error: string | null;
}

/** Something that does not hold, where it was found first: after the fewest choices. */
export interface Found<Pick> extends Broken {
  /** States in which it does not hold. */
  readonly count: number;
  readonly path: readonly Pick[];
}

/** What a search has covered. */
export interface Coverage {
  readonly states: number;
  readonly transitions: number;
  /** Ways from the beginning to an end: orders in which everything can happen. */
  readonly executions: number;
  /** Ends: states in which nothing is left to happen. */
  readonly ends: number;
  /** Choices on the longest way. */
  readonly depth: number;
  readonly localStates: number;
  readonly eventsRun: number;
  /** Everything within the bounds is covered. */
  readonly complete: boolean;
  /** Why not, in words. */
  readonly cut: string;
}

/** What a search has covered, and what it has found. */
export interface Searched<Pick> extends Coverage {
  readonly found: readonly Found<Pick>[];
  /** What the ends come to, each once, sorted. */
  readonly outcomes: readonly string[];
}

export interface SearchOptions {
  readonly maxStates: number;
  /** Once this is found the search ends soon: whatever else it would find. */
  readonly isFailure?: (broken: Broken) => boolean;
  readonly signal?: AbortSignal;
  readonly progress?: (states: number, found: number) => void;
  readonly keepOutcomes?: boolean;
  /** Runs a piece of the search: a protocol from a file may never come back from it. */
  readonly within?: (piece: () => number) => number;
}

const PAUSE_STATES = 2000;
/** States that are still looked at when a failure has been found: these, and half as many as before. */
const MORE_STATES = 2000;

/** Breadth first, so that what is found is found after the fewest choices. */
export class Search<State, Pick extends Step<State>> {
  private readonly model: Model<State, Pick>;
  private readonly options: SearchOptions;
  private readonly numbers = new Map<string, number>();
  private readonly parents: number[] = [];
  private readonly picks: number[] = [];
  private readonly edges: number[] = [];
  /** Where the edges of a state begin. */
  private readonly starts: number[] = [];
  private readonly frontier: (State | null)[] = [];
  private readonly found = new Map<string, { broken: Broken; state: number; pick: number; count: number }>();
  private readonly outcomes = new Set<string>();
  private ends = 0;
  private cut = '';
  private isStopped = false;
  private limit: number;

  constructor(model: Model<State, Pick>, options: SearchOptions) {
    this.model = model;
    this.options = options;
    this.limit = options.maxStates;
  }

  /** Null: `gaveUp` says that the model was not what it was taken for. */
  async run(gaveUp: () => boolean = () => false): Promise<Searched<Pick> | null> {
    const { signal, progress, within = (piece) => piece() } = this.options;
    this.reach(this.model.first, -1, 0);
    for (let at = 0; at < this.frontier.length && !this.isStopped; ) {
      progress?.(this.parents.length, this.found.size);
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted === true) this.stop('it was interrupted');
      else at = within(() => this.expandFrom(at, gaveUp));
      if (gaveUp()) return null;
    }
    return this.result();
  }

  /** Looks at some states from `at` on, and returns which is the next. */
  private expandFrom(at: number, gaveUp: () => boolean): number {
    const end = at + PAUSE_STATES;
    let next = at;
    for (; next < end && next < this.frontier.length && !gaveUp(); next++) {
      if (this.parents.length > this.limit) {
        this.stop(this.limit < this.options.maxStates ? 'a failure was found' : `more than ${this.limit} states`);
        break;
      }
      this.expand(next);
    }
    return next;
  }

  private stop(why: string): void {
    this.cut ||= why;
    this.isStopped = true;
  }

  private expand(at: number): void {
    const state = this.frontier[at]!;
    this.frontier[at] = null;
    this.starts.push(this.edges.length);
    const choices = this.model.from(state);
    for (const [pick, { next, error }] of choices.entries()) {
      if (error !== null) this.report({ id: 'error', level: null, message: error }, at, pick);
      else this.edges.push(this.reach(next, at, pick));
    }
    if (choices.every(({ isOptional }) => isOptional)) this.end(state, at);
  }

  private end(state: State, at: number): void {
    this.ends++;
    const cut = this.model.cutOff(state);
    if (cut !== '') {
      this.cut ||= cut;
      return;
    }
    if (this.options.keepOutcomes === true) this.outcomes.add(this.model.outcomeOf(state));
    for (const broken of this.model.judgeEnd(state)) this.report(broken, at, -1);
  }

  /** The number of a state, which is judged if it is new. */
  private reach(state: State, parent: number, pick: number): number {
    const key = this.model.keyOf(state);
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    const number = this.parents.length;
    this.numbers.set(key, number);
    this.parents.push(parent);
    this.picks.push(pick);
    this.frontier.push(state);
    for (const broken of this.model.judge(state)) this.report(broken, number, -1);
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

  private result(): Searched<Pick> {
    const { cut, ends, edges, model } = this;
    const { executions, depth } = this.count();
    return {
      states: this.parents.length,
      transitions: edges.length,
      executions,
      ends,
      depth,
      ...model.effort,
      complete: cut === '',
      cut,
      found: [...this.found.values()].map(({ broken, state, pick, count }) => ({
        ...broken,
        count,
        path: this.pathTo(state, pick),
      })),
      outcomes: [...this.outcomes].sort(),
    };
  }

  /** The choices that lead to a state, and one more if there is one. */
  private pathTo(state: number, pick: number): readonly Pick[] {
    const picks: number[] = pick < 0 ? [] : [pick];
    for (let at = state; this.parents[at]! >= 0; at = this.parents[at]!) picks.push(this.picks[at]!);
    const path: Pick[] = [];
    let at = this.model.first;
    for (const taken of picks.reverse()) {
      const choice = this.model.from(at)[taken]!;
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
