import { type Bounds, type Choice, Choices, keyOf, type MachineState } from './choices.ts';
import { type Broken, Monitor, NOTHING_SEEN, type Seen } from './monitor.ts';
import type { Uses } from './reduction.ts';
import { type Model, Search, type Searched, type SearchOptions } from './search.ts';
import type { SmallMachine } from './small-machine.ts';

/** A state of the machine, and what fetches may have seen until then. */
interface State {
  readonly machine: MachineState;
  readonly seen: Seen;
}

/** A choice of the machine, with where it leads. */
export interface MachineStep extends Omit<Choice, 'next'> {
  readonly before: MachineState;
  readonly after: MachineState;
  readonly next: State;
}

/** The machine as a model: what it can do, and the judge of what it did. */
class MachineModel implements Model<State, MachineStep> {
  readonly choices: Choices;
  readonly first: State;
  private readonly monitor: Monitor;
  private readonly bounds: Bounds;

  constructor(machine: SmallMachine, bounds: Bounds, uses: Readonly<Uses>) {
    this.choices = new Choices(machine, uses);
    this.monitor = new Monitor(machine);
    this.bounds = bounds;
    const first = this.choices.first(bounds);
    this.first = { machine: first, seen: this.monitor.seen(first, NOTHING_SEEN(first.nodes.length)) };
  }

  keyOf({ machine, seen }: State): string {
    return `${keyOf(machine)},${seen.highest},${seen.byNode}`;
  }

  from({ machine, seen }: State): readonly MachineStep[] {
    return this.choices.from(machine).map((choice) => ({
      ...choice,
      before: machine,
      after: choice.next,
      next: { machine: choice.next, seen: this.monitor.seen(choice.next, seen) },
    }));
  }

  judge({ machine, seen }: State): readonly Broken[] {
    return this.monitor.judge(machine, seen);
  }

  judgeEnd({ machine }: State): readonly Broken[] {
    return this.monitor.judgeEnd(machine);
  }

  cutOff({ machine }: State): string {
    return this.choices.isCutOff(machine) ? `timers fire more than ${this.bounds.timers} times` : '';
  }

  outcomeOf({ machine: { order, nodes } }: State): string {
    return [
      order.view.journal.map(({ write }) => write.origin),
      ...nodes.map(
        ({ view: { page, stored, visible } }) =>
          `${page} ${stored.map(({ number }) => number)} ${visible.map(({ number }) => number)}`,
      ),
    ].join('; ');
  }

  get effort(): { readonly localStates: number; readonly eventsRun: number } {
    const automata = [this.choices.order, ...this.choices.nodes];
    return {
      localStates: automata.reduce((sum, { size }) => sum + size, 0),
      eventsRun: automata.reduce((sum, { executed }) => sum + executed, 0),
    };
  }
}

/** What a search of a machine has covered and found, with the transitions that crashes made. */
export interface SearchedMachine extends Searched<MachineStep> {
  readonly faults: Readonly<Record<string, number>>;
}

/** Everything that `machine` can do within the bounds. */
export const searchMachine = async (
  machine: SmallMachine,
  bounds: Bounds,
  options: SearchOptions,
): Promise<SearchedMachine> => {
  let uses: Uses = { operations: false, primary: false };
  for (;;) {
    const model = new MachineModel(machine, bounds, uses);
    const { used, faults } = model.choices;
    const assumed = uses;
    const isWrong = (): boolean => (used.operations && !assumed.operations) || (used.primary && !assumed.primary);
    const searched = await new Search(model, options).run(isWrong);
    if (searched !== null) return { ...searched, faults };
    uses = used;
  }
};
