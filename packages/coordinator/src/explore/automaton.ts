import type { Instant } from '@numalab/base';
import { Interner } from './fingerprint.ts';
import type { LocalEvent, Output, Sent } from './local-event.ts';

/** A process that can be told what happens to it. */
export interface Explorable<View> {
  readonly outputs: readonly Output[];
  /** Steps at which it could have crashed during the last event. */
  readonly reached?: readonly string[];
  apply(event: LocalEvent, now: Instant, crashAt?: number): void;
  view(): View;
  key(): string;
}

/** A state that a process can be in. */
export interface LocalState<View> {
  readonly id: number;
  readonly view: View;
  /** How it comes to be in it, one way: null for the first. */
  readonly from: { readonly state: LocalState<View>; readonly event: TimedEvent } | null;
  readonly steps: Map<string, LocalStep<View>>;
}

/** What an event does to a process in a state. */
export interface LocalStep<View> {
  readonly to: LocalState<View>;
  readonly outputs: readonly Output[];
  readonly reached: readonly string[];
  /** What was thrown instead; null: nothing. */
  readonly error: string | null;
}

interface TimedEvent {
  readonly event: LocalEvent;
  readonly now: Instant;
  readonly crashAt: number;
}

/** Processes that are kept alive in the states they are in. */
const KEPT = 2000;

/**
 * All states of one process that the search has met, and what each event does in each. A process acts on what happens to it
 * alone, so what it does in a state need be found out once, by running it: all the orders in which other processes go on
 * meanwhile share it. A process that is not there any more in the state that is wanted is brought there from its beginning.
 */
export class Automaton<View> {
  readonly first: LocalState<View>;
  /** Events that were run, to find out what they do or to come to a state again. */
  executed = 0;
  private readonly make: () => Explorable<View>;
  private readonly numberOf: (message: Sent) => number;
  private readonly states = new Interner<LocalState<View>>();
  private readonly alive = new Map<LocalState<View>, Explorable<View>>();

  constructor(make: () => Explorable<View>, numberOf: (message: Sent) => number) {
    this.make = make;
    this.numberOf = numberOf;
    const process = make();
    this.first = this.stateOf(process, null);
    this.keep(this.first, process);
  }

  get size(): number {
    return this.states.size;
  }

  private stateOf(process: Explorable<View>, from: LocalState<View>['from']): LocalState<View> {
    const key = process.key();
    const known = this.states.find(key);
    if (known !== undefined) return this.states.value(known);
    const state = { id: this.states.size, view: process.view(), from, steps: new Map() };
    this.states.number(key, state);
    return state;
  }

  private keep(state: LocalState<View>, process: Explorable<View>): void {
    if (this.alive.has(state)) return;
    this.alive.set(state, process);
    if (this.alive.size > KEPT) this.alive.delete(this.alive.keys().next().value!);
  }

  /** A process in `state`, which is no more to be had there. */
  private processIn(state: LocalState<View>): Explorable<View> {
    const events: TimedEvent[] = [];
    let at = state;
    while (!this.alive.has(at) && at.from !== null) {
      events.push(at.from.event);
      at = at.from.state;
    }
    const process = this.alive.get(at) ?? this.make();
    this.alive.delete(at);
    for (const { event, now, crashAt } of events.reverse()) {
      process.apply(event, now, crashAt);
      this.executed++;
    }
    return process;
  }

  /** What `event`, which `name` names, does in `state`. With `crashAt` the process crashes at that step of it. */
  step(state: LocalState<View>, name: string, event: LocalEvent, now: Instant, crashAt = 0): LocalStep<View> {
    const key = `${name} ${now} ${crashAt}`;
    const known = state.steps.get(key);
    if (known !== undefined) return known;
    const process = this.processIn(state);
    this.executed++;
    try {
      process.apply(event, now, crashAt);
    } catch (error) {
      const text = error instanceof Error ? `${error.name}: ${error.message.split('\n')[0]}` : String(error);
      const failed = { to: state, outputs: [], reached: [], error: text };
      state.steps.set(key, failed);
      return failed;
    }
    const outputs = process.outputs.map((output) =>
      'message' in output ? { ...output, number: this.numberOf(output.message) } : output,
    );
    const reached = [...(process.reached ?? [])];
    const to = this.stateOf(process, { state, event: { event, now, crashAt } });
    this.keep(to, process);
    const step = { to, outputs, reached, error: null };
    state.steps.set(key, step);
    return step;
  }
}
