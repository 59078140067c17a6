import { type BugEntry, by, DERIVED, faults, STORES, writers } from './bug-entry.ts';

const STOPPED = writers(
  '{ kind: kprobe, rate: 50k/s, sites: 2, cpus: [0] }',
  '{ kind: alternatives, rate: 50k/s, entries: 2, cpus: [4] }',
  '{ kind: jump-label, rate: 200k/s, keys: 2, batch: 1, cpus: [1, 3] }',
);
const ALTERNATIVES = writers('{ kind: alternatives, rate: 200k/s, entries: 2, cpus: [0, 4] }');
const FTRACE = writers('{ kind: ftrace, rate: 400k/s, batch: 1, sites: 1, cpus: [0, 3] }');
/** Cores sleep most of the time, with what they have fetched ahead, and nothing makes them drop it but the writer’s kick. */
const DROWSY = ['workload.duty=0.1', 'workload.focus=1', 'workload.probe=false'];

/** Text patching: entries 1 to 10 of the catalogue. */
export const TEXT_PATCHING: readonly BugEntry[] = [
  {
    id: '1',
    title: 'stop_machine patches while cores still arrive: one that comes late misses its release',
    origin: 'Linux 899d5933b2dd',
    rule: 'L1',
    seed: 2,
    scenario: 'small',
    set: by('ack', STOPPED),
  },
  {
    id: '2',
    title: 'the first core to arrive in stop_machine patches, not the last',
    origin: 'Linux 31a099dbd91e',
    rule: 'X1',
    seed: 1,
    scenario: 'small',
    set: by('ack', ALTERNATIVES),
  },
  {
    id: '3',
    title: 'alternatives are patched before the other cores are parked',
    origin: 'Linux 765dcd26b78e, 9aaeee0c7764',
    rule: 'X1',
    seed: 1,
    scenario: 'small',
    set: by('ack', ALTERNATIVES),
  },
  {
    id: '4',
    title: 'instruction caches are invalidated without a kick: what was fetched ahead is executed',
    origin: 'Linux 3b8c9f1cdfc5',
    rule: 'X1',
    seed: 1,
    scenario: 'small',
    set: by('ack', FTRACE, ...DROWSY),
  },
  {
    id: '5',
    title: 'jump labels without context synchronisation of the other cores',
    origin: 'Linux cfb00a357864',
    rule: 'X1',
    seed: 4,
    scenario: 'small',
    set: by('ack', ...DROWSY),
  },
  {
    id: '6',
    title: 'patching waits for a kick while the other cores have interrupts off in stop_machine',
    origin: 'Linux f6cc0c501649',
    rule: 'L1',
    seed: 1,
    scenario: 'small',
    set: by('ack'),
  },
  {
    id: '7',
    title: 'the record of a patch is used again while a handler still works on it',
    origin: 'Linux efd608fa7403',
    rule: 'R2',
    seed: 3,
    scenario: 'small',
    set: by('ack', STORES),
  },
  {
    id: '8',
    title: 'a write of several words is broadcast word by word',
    origin: DERIVED,
    rule: 'R6',
    seed: 1,
    scenario: 'small',
    set: by('stop-machine', writers('{ kind: synthetic, rate: 500k/s, sites: 2, width: 16, inFlight: 2 }')),
  },
  {
    id: '9',
    title: 'cache maintenance reaches the issuing node’s copy alone',
    origin: DERIVED,
    rule: 'R5',
    seed: 1,
    scenario: 'small',
    set: by('ack', 'machine.ctr={ idc: false, dic: false }'),
  },
  {
    id: '10',
    title: 'EL2 returns before the slowest copy is written',
    origin: DERIVED,
    rule: 'R5',
    seed: 1,
    scenario: 'small',
    set: by('ack', faults('{ kind: delay, target: "hyp>1", match: protocol, probability: 0.5, for: 5us }')),
  },
];
