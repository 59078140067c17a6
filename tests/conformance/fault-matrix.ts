import { watchTables } from '@numalab/checkers';
import { buildSpec, InlineMachine, type JudgedRun, judgeRaw, loadScenario, type Scenario } from '@numalab/coordinator';
import { HYPERVISOR_STEPS } from '@numalab/interconnect';
import { GUARANTEES, PROTOCOLS } from '@numalab/protocols';

/** One thing that breaks, or what it takes to have it break. */
export interface FaultCell {
  readonly name: string;
  readonly faults: readonly object[];
  /** A machine of its own. */
  readonly set?: readonly string[];
}

/** Devices far below memory: touching them takes table pages. */
const DEVICES = [
  'machine.stage2={ granule: 16K, ipaBits: 48 }',
  'machine.base=0x2000000000',
  'workload.mmio=0.1',
  'workload.data=0.1',
];

const cell = (name: string, ...faults: readonly object[]): FaultCell => ({ name, faults });

/** Every kind of fault that a machine is built to survive, with crashes of the hypervisor at each of its steps. */
export const FAULT_CELLS: readonly FaultCell[] = [
  cell('drop', { kind: 'drop', probability: 0.2 }),
  cell('duplicate', { kind: 'duplicate', probability: 0.3 }),
  cell('delay', { kind: 'delay', probability: 0.3, for: '20us' }),
  cell('reorder', { kind: 'reorder', probability: 0.3, for: '10us' }),
  cell('corrupt', { kind: 'corrupt', probability: 0.2 }),
  cell('flip-message', { kind: 'flip-message', probability: 0.2 }),
  cell('partition', { kind: 'partition', target: '1|hyp', during: ['20us', '60us'] }),
  cell('slow-link', { kind: 'slow-link', target: '1', during: ['10us', '100us'], for: '3us' }),
  cell('pause', { kind: 'pause', target: 1, at: '30us', for: '40us' }),
  cell('slow-node', { kind: 'slow-node', target: 1, during: ['10us', '80us'], factor: 8 }),
  cell('crash', { kind: 'crash', target: 1, at: '40us', for: '50us' }),
  cell('crash, memory lost', { kind: 'crash', target: 1, at: '40us', for: '50us', memory: 'lost' }),
  cell('crash of the primary’s node', { kind: 'crash', target: 0, at: '40us', for: '50us' }),
  cell('hyp-crash', { kind: 'hyp-crash', at: '45us', for: '30us' }),
  ...HYPERVISOR_STEPS.filter((step) => step !== 'recovering').map((step) =>
    cell(`hyp-crash ${step}`, { kind: 'hyp-crash', target: step, nth: 4, for: '30us' }),
  ),
  cell(
    'hyp-crash recovering',
    { kind: 'hyp-crash', at: '45us', for: '30us' },
    { kind: 'hyp-crash', target: 'recovering', nth: 1, for: '30us' },
  ),
  cell('tlbi-late', { kind: 'tlbi-late', target: 1, probability: 0.5, for: '3us' }),
  cell('flip-replica', { kind: 'flip-replica', target: 1, at: '40us' }),
  cell('flip-journal', { kind: 'flip-journal', at: '60us' }),
  { ...cell('pool', { kind: 'pool', target: 1, nth: 2 }), set: DEVICES },
  cell('queue', { kind: 'queue', target: 1, nth: 2 }),
];

const SETTINGS = [
  'workload.duration=100us',
  'workload.duty=0.2',
  'workload.focus=0.5',
  'kernel.writers=[{ kind: jump-label, rate: 50k/s, keys: 3, batch: 1, cpus: [0, 2] }, { kind: synthetic, width: 8, rate: 150k/s, sites: 6 }]',
];

/** The machine of one protocol, set back for every run. */
export class FaultMachine {
  private readonly scenario: Scenario;
  private readonly protocol: string;
  private machine: InlineMachine | null = null;

  constructor(protocol: string, set: readonly string[] = []) {
    this.protocol = protocol;
    this.scenario = loadScenario('small', { protocol, set: [...SETTINGS, ...set] });
  }

  run({ faults }: FaultCell, seed: number): JudgedRun {
    const planned = loadScenario('small', { set: [`faults=${JSON.stringify(faults)}`] }).faults;
    const { spec, watch } = buildSpec(this.scenario, seed, { faults: planned });
    const protocol = PROTOCOLS[this.protocol]!;
    if (this.machine === null) {
      this.machine = new InlineMachine(spec, protocol, watch, watchTables);
      this.machine.checkpoint();
    } else this.machine.reset(spec, protocol, watch);
    return judgeRaw(spec, this.machine.runShort(), { minEvidence: 0, expect: [] });
  }
}

/** Whether a run kept what its protocol declares. */
export const keeps = ({ judgement: { held, declared } }: JudgedRun): boolean =>
  held !== null && declared !== null && GUARANTEES.indexOf(held) >= GUARANTEES.indexOf(declared);
