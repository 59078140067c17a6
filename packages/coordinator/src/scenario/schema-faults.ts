import { FAULT_KINDS } from '@numalab/interconnect';
import { z } from 'zod';
import type { ScheduleChoice } from './scenario.ts';
import type { FaultInput } from './scenario-input.ts';
import { duration, fraction, text, whole } from './schema-parts.ts';

const span = z
  .tuple([duration(), duration()], { error: 'must be two times: [from, to]' })
  .nullable()
  .default(null)
  .describe('Only from the one moment until the other');

/** Schema of an entry of `faults`. */
export const faultSchema: z.ZodType<FaultInput> = z.strictObject({
  kind: z.enum(FAULT_KINDS).describe('What breaks'),
  target: z
    .union([text(), whole(0, 8191)], { error: 'must be a node, a link such as 0>hyp, or a step' })
    .nullable()
    .default(null)
    .describe('A node, a link (0>hyp one way, 0|hyp both ways, *>1), a step of the hypervisor, or NODE.FIELD'),
  at: duration().nullable().default(null).describe('Once, at this time or at the first event from then on'),
  nth: whole(1, 1_000_000_000).nullable().default(null).describe('Once, at the n-th event that matches'),
  match: text().nullable().default(null).describe('Which messages count: submit, retire, protocol …'),
  probability: fraction().nullable().default(null).describe('Each event with this probability, drawn from the seed'),
  during: span,
  for: duration().nullable().default(null).describe('How long: a delay, a pause, an outage'),
  factor: whole(2, 1000).nullable().default(null).describe('How many times slower a slow node is'),
  memory: z.enum(['kept', 'lost']).default('kept').describe('What a crash does to the memory of the node'),
});

/** Schema of an entry of `schedule`. */
export const scheduleSchema: z.ZodType<ScheduleChoice> = z.strictObject({
  target: text().describe(
    'Who is held up: cpu N, el2 N (the EL2 agent of a node), node N (both), hyp, or a link such as 0>hyp',
  ),
  during: z
    .tuple([duration(), duration()], { error: 'must be two times: [from, to]' })
    .describe('From the one moment until the other'),
  slow: whole(2, 1_000_000).nullable().default(null).describe('How many times slower; default: it gets nothing at all'),
});
