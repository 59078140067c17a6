import { resolve as resolvePath } from 'node:path';
import { InputError } from '@numalab/base';
import { latencyProfile, STORE_FORMS } from '@numalab/machine';
import { PROTOCOLS } from '@numalab/protocols';
import { loadProtocol } from '../engine/protocol-ref.ts';
import type { FieldPath } from './document.ts';
import { checkInputFile } from './files.ts';
import { scenarioLatencies } from './latencies.ts';
import { didYouMean } from './problems.ts';
import { faultShape, faultSpec } from './resolve-faults.ts';
import { resolveMachine } from './resolve-machine.ts';
import { stallsOf } from './resolve-schedule.ts';
import type { Fault, InterconnectScenario, KernelScenario, MachineScenario, Scenario, Writer } from './scenario.ts';
import type { InterconnectInput, KernelInput, ScenarioInput, WriterInput } from './scenario-input.ts';
import { formatSize } from './units.ts';

/** What resolving needs to know of where the input came from. */
export interface ResolveContext {
  readonly mode: 'sim' | 'live';
  /** Whether files that are named must exist. */
  readonly checkFiles: boolean;
  /** File, line and field, as a message begins. */
  where(path: FieldPath): string;
  /** The absolute path of a file that a field names. */
  path(field: FieldPath, file: string): string;
  /** Throws InputError about a field. */
  fail(path: FieldPath, message: string): never;
}

const MIB = 2 ** 20;
const DEFAULT_RATE = 10_000;

const file = (field: FieldPath, name: string, context: ResolveContext): string => {
  const path = context.path(field, name);
  if (context.checkFiles) checkInputFile(path, context.where(field));
  return path;
};

/** The forms that a synthetic writer names, spelt as the machine spells them: `str_w` is `str w`. */
const resolveForms = (
  forms: readonly string[],
  width: number | 'mixed',
  at: FieldPath,
  context: ResolveContext,
): string[] =>
  forms.map((text, place) => {
    const name = text.replaceAll('_', ' ');
    const form = STORE_FORMS.find((candidate) => candidate.name === name);
    if (form === undefined) {
      const hint = didYouMean(
        name,
        STORE_FORMS.map((candidate) => candidate.name),
      );
      return context.fail([...at, 'forms', place], `no store form ${text.slice(0, 40)}${hint}`);
    }
    if (width !== 'mixed' && form.bytes !== width) {
      context.fail([...at, 'forms', place], `${name} stores ${form.bytes} bytes, but width is ${width}`);
    }
    return name;
  });

const resolveWriter = (
  input: WriterInput,
  index: number,
  machine: MachineScenario,
  context: ResolveContext,
): Writer => {
  const at = ['kernel', 'writers', index];
  const vcpus = machine.nodes * machine.coresPerNode;
  for (const [place, cpu] of (input.cpus ?? []).entries()) {
    if (cpu >= vcpus) context.fail([...at, 'cpus', place], `vCPU ${cpu} is beyond the last of ${vcpus}, ${vcpus - 1}`);
  }
  if (input.only !== null && context.mode === 'live')
    context.fail([...at, 'only'], 'is for sim, where actions have an order');
  const rate = input.rate ?? (context.mode === 'live' || input.kind === 'recorded' ? 'max' : DEFAULT_RATE);
  if (input.kind === 'synthetic') return { ...input, rate, forms: resolveForms(input.forms, input.width, at, context) };
  if (input.kind !== 'recorded') return { ...input, rate };
  return { ...input, rate, file: file([...at, 'file'], input.file, context) };
};

const resolveKernel = (input: KernelInput, machine: MachineScenario, context: ResolveContext): KernelScenario => {
  if (input.kaslrOffset % (2 * MIB) !== 0) {
    context.fail(['kernel', 'kaslrOffset'], `${input.kaslrOffset} bytes are no multiple of 2MiB`);
  }
  if (input.image === 'builtin' && input.map !== null) {
    context.fail(['kernel', 'map'], 'the builtin image has symbols of its own');
  }
  return {
    image: input.image === 'builtin' ? 'builtin' : file(['kernel', 'image'], input.image, context),
    map: input.map === null ? null : file(['kernel', 'map'], input.map, context),
    writers: input.writers.map((writer, index) => resolveWriter(writer, index, machine, context)),
    kaslrOffset: input.kaslrOffset,
  };
};

const checkProtocol = (field: FieldPath, path: string, context: ResolveContext): void => {
  try {
    loadProtocol(path);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    context.fail(field, error.message);
  }
};

const resolveProtocol = (name: string, context: ResolveContext): string => {
  const field = ['replication', 'protocol'];
  if (Object.hasOwn(PROTOCOLS, name)) return name;
  const built = Object.keys(PROTOCOLS).sort();
  if (!/[./\\]/.test(name)) {
    context.fail(
      field,
      `no built-in protocol ${name.slice(0, 40)}${didYouMean(name, built)} (a file is written ./${name.slice(0, 40)}.ts)`,
    );
  }
  const path = file(field, name, context);
  if (context.checkFiles) checkProtocol(field, path, context);
  return path;
};

const resolveInterconnect = (
  input: InterconnectInput,
  machine: MachineScenario,
  context: ResolveContext,
): InterconnectScenario => {
  if (context.mode === 'sim' && input.latencyScale !== 1) {
    context.fail(['interconnect', 'latencyScale'], 'is for live only; in sim latencies are virtual');
  }
  const profile = input.profile ?? machine.profile;
  if (latencyProfile(profile) === undefined) context.fail(['interconnect', 'profile'], `no profile ${profile}`);
  const resolved: InterconnectScenario = {
    profile,
    jitter1024: Math.round(input.jitter * 1024),
    bandwidth: input.bandwidth,
    latencyScale: input.latencyScale,
  };
  if (context.mode === 'sim' && scenarioLatencies({ machine, interconnect: resolved }).minLinkOrZeroPs() === 0) {
    context.fail(['interconnect', 'profile'], `${profile} has links without latency, which sim cannot run`);
  }
  return resolved;
};

/** The kernel reaches its copies by its linear map, which ends where its image begins; its tables hold 48 bits of PA. */
const checkStage1 = ({ base, nodes, memoryPerNode }: MachineScenario, context: ResolveContext): void => {
  if (nodes * memoryPerNode <= 2 ** 47 && base + nodes * memoryPerNode <= 2 ** 48) return;
  context.fail(
    ['replication', 'strategy'],
    `stage1 reaches 2^47 bytes of memory and 48 bits of PA, less than machine.nodes ${nodes} times machine.memoryPerNode ${formatSize(memoryPerNode)} from machine.base`,
  );
};

/** Faults are looked at here, so that what makes no sense is refused with its place; they are planned with the seed. */
const resolveFaults = (input: ScenarioInput, machine: MachineScenario, context: ResolveContext): readonly Fault[] => {
  const shape = faultShape({ machine, hypervisor: input.hypervisor });
  for (const [index, fault] of input.faults.entries()) {
    faultSpec(fault, shape, (key, message) => context.fail(['faults', index, key], message));
  }
  return input.faults;
};

const checkSchedule = (input: ScenarioInput, machine: MachineScenario, context: ResolveContext): void => {
  for (const [index, choice] of input.schedule.entries()) {
    stallsOf(choice, machine, (key, message) => context.fail(['schedule', index, key], message));
  }
};

const checkHypervisor = (
  { journal, recordTime, scrub }: ScenarioInput['hypervisor'],
  context: ResolveContext,
): void => {
  if (scrub !== null && context.mode === 'live') context.fail(['hypervisor', 'scrub'], 'is for sim');
  if (recordTime === 0) return;
  if (context.mode === 'live') context.fail(['hypervisor', 'recordTime'], 'is for sim');
  if (!journal) context.fail(['hypervisor', 'recordTime'], 'hypervisor.journal is false: nothing is recorded');
};

/** Works out everything that depends on other keys, on files or on the mode. Throws InputError. */
export const resolveScenario = (
  input: ScenarioInput,
  name: string,
  source: string | null,
  options: Scenario['options'],
  context: ResolveContext,
): Scenario => {
  const machine = resolveMachine(input.machine, context);
  if (input.hypervisor.node >= machine.nodes) {
    context.fail(['hypervisor', 'node'], `${input.hypervisor.node} is beyond the last of ${machine.nodes} nodes`);
  }
  checkHypervisor(input.hypervisor, context);
  if (input.replication.strategy === 'stage1') checkStage1(machine, context);
  checkSchedule(input, machine, context);
  const { duration, ...workload } = input.workload;
  const vcpus = machine.nodes * machine.coresPerNode;
  for (const [place, cpu] of (workload.cpus ?? []).entries()) {
    if (cpu >= vcpus)
      context.fail(['workload', 'cpus', place], `vCPU ${cpu} is beyond the last of ${vcpus}, ${vcpus - 1}`);
  }
  return {
    name,
    file: source,
    options,
    machine,
    kernel: resolveKernel(input.kernel, machine, context),
    replication: { ...input.replication, protocol: resolveProtocol(input.replication.protocol, context) },
    hypervisor: input.hypervisor,
    interconnect: resolveInterconnect(input.interconnect, machine, context),
    workload: { durationPs: duration, ...workload },
    faults: resolveFaults(input, machine, context),
    schedule: input.schedule,
    checks: input.checks,
    bugs: input.bugs,
    comparison: input.comparison,
  };
};

/** A context for a document whose fields are found by `where` and whose paths start at `base`. */
export const resolveContext = (
  options: Pick<ResolveContext, 'mode' | 'checkFiles' | 'where'> & { readonly base: (field: FieldPath) => string },
): ResolveContext => ({
  mode: options.mode,
  checkFiles: options.checkFiles,
  where: options.where,
  path: (field, name) => resolvePath(options.base(field), name),
  fail: (path, message) => {
    throw new InputError(options.where(path), message);
  },
});
