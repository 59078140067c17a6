import { LATENCY_PROFILES } from '@numalab/machine';
import { z } from 'zod';
import { BUG_IDS } from '../bugs/catalogue.ts';
import type { ScenarioInput } from './scenario-input.ts';
import { faultSchema, scheduleSchema } from './schema-faults.ts';
import { kernel } from './schema-kernel.ts';
import { machine } from './schema-machine.ts';
import { bandwidth, duration, flag, fraction, text, whole } from './schema-parts.ts';

/** Ids of the invariants that are checked. */
export const RULE_IDS = [
  'R1',
  'R2',
  'R3',
  'R4',
  'R5',
  'R6',
  'X1',
  'K1',
  'E1',
  'T1',
  'T2',
  'T3',
  'T4',
  'T5',
  'T6',
  'L1',
  'M1',
] as const;

const replicationSchema = z
  .strictObject({
    strategy: z.enum(['none', 'stage1', 'stage2']).default('stage2').describe('How text is replicated'),
    protocol: text().default('ack').describe('Built-in update protocol, or the path of a module'),
    protocolOptions: z.record(z.string(), z.unknown()).default({}).describe('Options of the protocol'),
    range: z.enum(['text', 'text+rodata']).default('text+rodata').describe('What is replicated'),
  })
  .prefault({})
  .describe('How the kernel text is replicated');

const hypervisorSchema = z
  .strictObject({
    node: whole(0, 127).default(0).describe('Node of the hypervisor worker and its pools'),
    serialisation: z
      .enum(['central', 'lock'])
      .default('central')
      .describe('central: the worker orders writes; lock: the trapping CPU takes a lock and does the work'),
    journal: flag().default(true).describe('Keep a journal of writes'),
    recordTime: duration({ min: 0, max: 1e9, text: '0 to 1ms' })
      .default(0)
      .describe('Until a record of the journal is safe, both copies of it; no node hears of a write before'),
    scrub: duration({ min: 1e6, max: 1e15, text: '1us to 1000s' })
      .nullable()
      .default(null)
      .describe('In this time every node compares its copy with image and journal once, and repairs it; null: never'),
  })
  .prefault({})
  .describe('EL2’s ordering of writes');

const interconnectSchema = z
  .strictObject({
    profile: z
      .enum(LATENCY_PROFILES.map(({ name }) => name))
      .optional()
      .describe('Link latencies; default: machine.profile. zero is for live only'),
    jitter: z.number().min(0).max(8).default(1).describe('Multiple of log-normal jitter (sigma 0.2); 0: none'),
    bandwidth: bandwidth().prefault('profile').describe('Of the links between nodes: profile, none, or 20GB/s'),
    latencyScale: z.number().min(0).max(1000).default(1).describe('Real time per virtual time of latencies, live only'),
  })
  .prefault({})
  .describe('Links between nodes');

const workloadSchema = z
  .strictObject({
    duration: duration({ min: 1, max: 1e15, text: '1ps to 1000s' })
      .prefault('2ms')
      .describe('How long endless writers write and vCPUs execute'),
    writes: whole(0, 1_000_000_000).nullable().default(null).describe('Endless writers stop after so many writes'),
    duty: fraction().default(0.05).describe('Fraction of the time in which vCPUs execute'),
    probe: flag().default(true).describe('vCPUs of other nodes fetch words in flight or just written'),
    zipf: whole(0, 3).default(1).describe('Zipf exponent of the choice of functions; 0: all alike'),
    focus: fraction().default(0).describe('Share of calls that go to functions which writers patch'),
    callDepth: whole(1, 256).default(16).describe('Depth of the call stack'),
    loads: fraction().default(0.25).describe('Share of literal loads and ADRPs that are followed by the load'),
    data: fraction().default(0.0002).describe('Touches of other RAM per fetched group of four words'),
    cpus: z.array(whole(0, 8191)).nullable().default(null).describe('vCPUs that execute the walk; default: all'),
    mmio: fraction().default(0).describe('Touches of MMIO per fetched group of four words'),
  })
  .prefault({})
  .describe('What vCPUs execute');

const checksSchema = z
  .strictObject({
    minEvidence: whole(0, 1_000_000_000).default(1).describe('Fetches that could have refuted a level, at least'),
    expect: z.array(z.enum(RULE_IDS)).default([]).describe('Rules that must be found broken'),
    budget: whole(1, 1_000_000_000)
      .nullable()
      .default(null)
      .describe(
        'Entries of the history that are judged at most, in sim; null: all. What is left makes the run unknown',
      ),
  })
  .prefault({})
  .describe('What is demanded of the run');

const scenarioZod = z.strictObject({
  $schema: z.string().optional().describe('For editors; ignored'),
  machine,
  kernel,
  replication: replicationSchema,
  hypervisor: hypervisorSchema,
  interconnect: interconnectSchema,
  workload: workloadSchema,
  faults: z.array(faultSchema).default([]).describe('What breaks'),
  schedule: z
    .array(scheduleSchema)
    .default([])
    .describe('Who gets less time than it could, and when: only ever adds delay'),
  checks: checksSchema,
  bugs: z.array(z.enum(BUG_IDS)).default([]).describe('Known bugs that are switched on'),
  comparison: flag().default(true).describe('Also run without replication, to compare'),
});

/** The schema of a scenario file. */
export const scenarioSchema: z.ZodType<ScenarioInput> = scenarioZod;

/** The JSON Schema that is published for editors. */
export const scenarioJsonSchema = (): Record<string, unknown> => ({
  ...z.toJSONSchema(scenarioZod, { io: 'input', target: 'draft-7' }),
  title: 'numalab scenario',
});

/** {@link scenarioJsonSchema} as the file scenarios/numalab.schema.json has it. */
export const scenarioSchemaText = (): string => `${JSON.stringify(scenarioJsonSchema(), null, 2)}\n`;
