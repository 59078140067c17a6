import { TableMemo, watchTables } from '@numalab/checkers';
import { InlineMachine } from '../engine/inline.ts';
import { loadProtocol } from '../engine/protocol-ref.ts';
import { type JudgedRun, judgeRaw } from '../engine/run-machine.ts';
import { buildSpec, type PreparedMachine, type SpecOverrides } from '../machine/build-spec.ts';
import { type Cell, faultsOf, scheduleOf } from './cell.ts';

/** The machine of a cell, which is set back for the next seed instead of being built anew. */
export class SeedMachine {
  private cell: Cell | null = null;
  private machine: InlineMachine | null = null;
  private spent: PreparedMachine | null = null;
  private readonly memo = new TableMemo();

  /**
   * Runs one seed of a cell and judges it. `changes` stand for what the scenario says; `watch` is called before the first
   * event; a run that is not over after `mostWindows` windows is cut off. Throws InputError if the scenario cannot be built.
   */
  run(
    cell: Cell,
    seed: number,
    changes: SpecOverrides = {},
    watch?: (machine: InlineMachine) => void,
    mostWindows: number = Infinity,
  ): JudgedRun {
    // What was prepared for a cell hangs on the object: an equal one that came later, in another message, would not find it.
    if (this.cell?.hash !== cell.hash) {
      this.forget();
      this.cell = cell;
    }
    try {
      return this.judged(this.cell, seed, changes, watch, mostWindows);
    } catch (error) {
      this.forget();
      throw error;
    }
  }

  private forget(): void {
    this.machine = null;
    this.spent = null;
  }

  private judged(
    cell: Cell,
    seed: number,
    changes: SpecOverrides,
    look: ((machine: InlineMachine) => void) | undefined,
    mostWindows: number,
  ): JudgedRun {
    const { scenario } = cell;
    const drawn = { faults: faultsOf(cell, seed), schedule: scheduleOf(cell, seed), ...changes };
    const prepared = buildSpec(scenario, seed, drawn, this.spent);
    const { spec, watch } = prepared;
    const protocol = loadProtocol(spec.protocol);
    if (this.machine === null) {
      this.machine = new InlineMachine(spec, protocol, watch, watchTables);
      this.machine.checkpoint();
    } else this.machine.reset(spec, protocol, watch);
    this.spent = prepared;
    look?.(this.machine);
    return judgeRaw(spec, this.machine.runShort(mostWindows), scenario.checks, this.memo);
  }
}
