import { InputError } from '@numalab/base';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { BUG_IDS } from '../bugs/catalogue.ts';
import type { SeedRange } from '../campaign/seed-set.ts';
import type { Scheduler } from '../scenario/draw-schedule.ts';
import type { LoadOptions } from '../scenario/load.ts';
import type { CommandContext } from './context.ts';

/** Runs a command, which is imported only now, and keeps its exit code. */
export type Runner = (verb: (context: CommandContext) => Promise<number> | number) => Promise<void>;

/** Options of every command that boots a machine. */
export interface MachineOptions {
  readonly seed: number;
  readonly mode: 'sim' | 'live';
  readonly placement: 'inline' | 'threads' | 'cluster';
  /** Worker threads; undefined: min(nodes, cores). */
  readonly threads?: number;
  /** Processes of the operating system; undefined: cores. */
  readonly processes?: number;
  readonly hypervisor: 'node' | 'own';
  readonly protocol?: string;
  /** Switches for known bugs. */
  readonly bug: readonly string[];
  readonly duration?: string;
  readonly set: readonly string[];
  readonly json: boolean;
  readonly quiet: boolean;
}

/** Options of `run`. */
export interface RunOptions extends MachineOptions {
  /** Folder for the trace and files. */
  readonly out?: string;
  /** Folder for each node's view of the text at the end. */
  readonly dumpText?: string;
  /** Folder for each node's table operations. */
  readonly casemate?: string;
}

/** When tables are looked at. */
export type At = 'boot' | 'end';

/** Options of `export-tables`. */
export interface ExportOptions extends MachineOptions {
  readonly node: number;
  readonly out: string;
  readonly at: At;
}

/** Options of `translate`. */
export interface TranslateOptions extends MachineOptions {
  readonly node: number;
  readonly access: 'read' | 'write';
  readonly at: At;
}

/** Options of `campaign`. */
export interface CampaignCommandOptions {
  readonly seeds: SeedRange;
  readonly protocol: readonly string[];
  readonly topology: readonly string[];
  readonly faults: 'none' | 'swarm';
  readonly scheduler: Scheduler;
  readonly bug: readonly string[];
  readonly set: readonly string[];
  readonly duration?: string;
  /** Folder of the journal. */
  readonly out?: string;
  readonly junit?: string;
  readonly summary?: string;
  readonly redis?: string;
  readonly queue: string;
  readonly jobs?: number;
  /** Seeds of a lease. */
  readonly lease?: number;
  readonly metricsPort?: number;
  readonly metricsHost: string;
  readonly json: boolean;
  readonly quiet: boolean;
}

/** Options of `worker`. */
export interface WorkerCommandOptions {
  readonly redis: string;
  readonly queue: string;
  readonly jobs?: number;
  /** How long a worker that is silent keeps its lease, such as 10s. */
  readonly lock: string;
  readonly metricsPort?: number;
  readonly metricsHost: string;
  readonly quiet: boolean;
}

/** Reads `A..B`, both ends included, or one seed. */
export const seedRange = (text: string): SeedRange => {
  const found = /^(\d{1,16})(?:\.\.(\d{1,16}))?$/.exec(text);
  if (found === null) throw new InvalidArgumentError('It must be A..B, such as 1..1000.');
  const from = Number(found[1]);
  const to = Number(found[2] ?? found[1]);
  if (to > Number.MAX_SAFE_INTEGER)
    throw new InvalidArgumentError(`The last must be at most ${Number.MAX_SAFE_INTEGER}.`);
  if (to < from) throw new InvalidArgumentError('The last must not be below the first.');
  return { from, to };
};

/** Options of `hunt`. */
export interface HuntCommandOptions {
  /** Undefined with --exhaustive, which has no seeds. */
  readonly seeds?: SeedRange;
  /** Everything that can happen on a small scope, instead of seeds. */
  readonly exhaustive: boolean;
  readonly crashes?: number;
  readonly earlyTimers?: number;
  readonly maxStates?: number;
  readonly faults?: 'none' | 'swarm';
  readonly unrestricted: boolean;
  readonly scheduler: Scheduler;
  readonly protocol?: string;
  readonly bug: readonly string[];
  readonly duration?: string;
  readonly set: readonly string[];
  readonly jobs?: number;
  /** Folder for a folder per failure. */
  readonly out?: string;
  readonly json: boolean;
  readonly quiet: boolean;
}

/** Reads a list with commas. */
export const commaList = (text: string): readonly string[] => {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.includes('')) throw new InvalidArgumentError('It has an empty entry.');
  return parts;
};

/** A parser for whole numbers from `min` to `max`, written in decimal. */
export const wholeNumber =
  (min: number, max: number): ((text: string) => number) =>
  (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
    if (value < min || value > max) throw new InvalidArgumentError(`It must be from ${min} to ${max}.`);
    return value;
  };

const collect = (value: string, previous: readonly string[]): readonly string[] => [...previous, value];

/** Adds the options of {@link MachineOptions} to a command. */
export const addMachineOptions = (command: Command): Command =>
  command
    .option('--seed <n>', 'seed of every random choice', wholeNumber(0, Number.MAX_SAFE_INTEGER), 1)
    .addOption(new Option('--mode <mode>', 'virtual or real time').choices(['sim', 'live']).default('sim'))
    .addOption(
      new Option('--placement <where>', 'one thread, worker threads or processes')
        .choices(['inline', 'threads', 'cluster'])
        .default('inline'),
    )
    .option(
      '--threads <n>',
      'worker threads, in all processes together (default: min(nodes, cores))',
      wholeNumber(1, 1024),
    )
    .option('--processes <n>', 'processes of --placement cluster (default: cores)', wholeNumber(1, 1024))
    .addOption(
      new Option('--hypervisor <where>', 'with --placement cluster: in the process of its node, or in its own')
        .choices(['node', 'own'])
        .default('node'),
    )
    .option('--protocol <name|file>', 'update protocol, instead of the scenario’s')
    .option('--bug <id>', 'switch on a known bug (repeatable)', collect, [])
    .option('--duration <time>', 'how long to run, such as 2ms, instead of the scenario’s')
    .option('--set <path=value>', 'change the scenario, such as machine.nodes=8 (repeatable)', collect, [])
    .option('--json', 'print one JSON document', false)
    .option('--quiet', 'print less', false);

/** What `--set` and `--bug` change in a scenario. Throws InputError for a bug that there is not. */
export const settingsOf = ({ bug, set }: Pick<MachineOptions, 'bug' | 'set'>): readonly string[] => {
  const unknown = bug.find((id) => !BUG_IDS.includes(id));
  if (unknown !== undefined) {
    throw new InputError('--bug', `there is no bug ${unknown.slice(0, 40)}; there are ${BUG_IDS.join(', ')}`);
  }
  return bug.length === 0 ? set : [...set, `bugs=${JSON.stringify(bug)}`];
};

const checkPlacement = ({ placement, processes, hypervisor }: MachineOptions): void => {
  if (placement !== 'cluster') {
    if (processes !== undefined) throw new InputError('--processes', 'needs --placement cluster');
    if (hypervisor === 'own') throw new InputError('--hypervisor', 'own needs --placement cluster');
  }
  if (hypervisor === 'own' && processes === 1) {
    throw new InputError('--hypervisor', 'own needs a second process; see --processes');
  }
};

/** Throws InputError for more processes than a machine of `nodes` nodes has a use for. */
export const checkProcesses = (
  { processes = 1, hypervisor }: Pick<MachineOptions, 'processes' | 'hypervisor'>,
  nodes: number,
): void => {
  const most = nodes + (hypervisor === 'own' ? 1 : 0);
  if (processes <= most) return;
  const own = hypervisor === 'own' ? ' and one for the hypervisor' : '';
  throw new InputError('--processes', `${processes} is too many: machine.nodes is ${nodes}, a process each${own}`);
};

/** Refuses what can be asked for but does not exist yet. Throws InputError. */
export const checkMachineOptions = (options: MachineOptions, modes: readonly string[] = ['sim']): void => {
  if (!modes.includes(options.mode)) throw new InputError('--mode', `${options.mode} is not for this command`);
  checkPlacement(options);
  settingsOf(options);
};

/** The part of the options that changes the scenario. */
export const loadOptionsOf = (options: MachineOptions): LoadOptions => ({
  set: settingsOf(options),
  protocol: options.protocol,
  duration: options.duration,
  mode: options.mode,
});
