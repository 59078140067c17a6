import { type FaultPlan, type HypervisorStep, type TallyKeeper, Trigger } from '@numalab/interconnect';

/** Is thrown where the hypervisor crashes: nothing that it was in the middle of goes on. */
export class HypervisorCrash {
  readonly name: string;
  readonly spanPs: number;

  constructor(name: string, spanPs: number) {
    this.name = name;
    this.spanPs = spanPs;
  }
}

/** The places at which the hypervisor is planned to crash. */
export class Crashes {
  private readonly triggers: readonly Trigger[];
  private readonly tally: TallyKeeper;

  constructor(plan: FaultPlan, seed: number, process: number, tally: TallyKeeper) {
    this.tally = tally;
    this.triggers = plan.faults
      .filter(({ kind }) => kind === 'hyp-crash')
      .map((fault) => new Trigger(fault, plan.healPs, seed, process));
  }

  /** The moments at which it crashes whatever it does. */
  moments(): readonly number[] {
    return this.triggers.filter(({ fault }) => fault.step === '').map(({ fault }) => fault.atPs);
  }

  /** The hypervisor passes `step`; '': it does nothing in particular. Throws {@link HypervisorCrash} if it crashes there. */
  reach(step: HypervisorStep | '', at: number): void {
    for (const trigger of this.triggers) {
      const { fault } = trigger;
      if (fault.step !== step || !trigger.hits(at)) continue;
      this.tally.fired(fault.name, at);
      throw new HypervisorCrash(fault.name, fault.spanPs);
    }
  }
}
