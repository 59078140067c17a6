import { existsSync } from 'node:fs';
import { basename, dirname, resolve as resolvePath } from 'node:path';
import { InputError } from '@numalab/base';
import { builtinScenarioFile, builtinScenarioIds } from './catalogue.ts';
import {
  applyOverride,
  copyPlain,
  type FieldPath,
  formatPath,
  type Override,
  parseOverride,
  ScenarioDocument,
} from './document.ts';
import { displayPath, readInputFile } from './files.ts';
import { didYouMean, firstProblem } from './problems.ts';
import { resolveContext, resolveScenario } from './resolve.ts';
import type { Scenario } from './scenario.ts';
import { scenarioSchema } from './schema.ts';

/** What the command line says about a scenario. */
export interface LoadOptions {
  /** `path=value` each, later ones win; the value is YAML. */
  readonly set?: readonly string[];
  /** --protocol: name, or file relative to the working directory. */
  readonly protocol?: string | undefined;
  /** --topology: the machine's distances, as in a scenario. */
  readonly topology?: string | undefined;
  /** --duration. */
  readonly duration?: string | undefined;
  /** Default sim. */
  readonly mode?: 'sim' | 'live';
  /** Whether files that are named must exist; default true. */
  readonly checkFiles?: boolean;
}

/** Where a scenario's text came from. */
interface Source {
  readonly name: string;
  readonly file: string | null;
  readonly where: string;
  /** Folder that relative paths in it start from. */
  readonly folder: string;
}

const overridesOf = (options: LoadOptions): Override[] => {
  const overrides = (options.set ?? []).map(parseOverride);
  if (options.protocol !== undefined) {
    overrides.push({ label: '--protocol', path: ['replication', 'protocol'], value: options.protocol });
  }
  if (options.topology !== undefined) {
    overrides.push({ label: '--topology', path: ['machine', 'distances'], value: options.topology });
  }
  if (options.duration !== undefined) {
    overrides.push({ label: '--duration', path: ['workload', 'duration'], value: options.duration });
  }
  return overrides;
};

const SECTIONS: Readonly<Record<string, true>> = {
  machine: true,
  kernel: true,
  replication: true,
  hypervisor: true,
  interconnect: true,
  workload: true,
  faults: true,
  schedule: true,
  checks: true,
};

const isPrefix = (prefix: FieldPath, path: FieldPath): boolean =>
  prefix.length <= path.length && prefix.every((part, index) => String(part) === String(path[index]));

/** Plain data of the file with overrides applied. Sections without content (`machine:`) count as left out. */
const merge = (document: ScenarioDocument, overrides: readonly Override[]): Record<string, unknown> => {
  const value = document.value ?? {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new InputError(document.where, 'must be a mapping with keys such as machine, kernel, workload');
  }
  // A copy, because aliases make one object appear in two places, and an override must change only one of them.
  const copied = copyPlain(value, document.where) as Record<string, unknown>;
  for (const override of overrides) applyOverride(copied, override);
  for (const [key, section] of Object.entries(copied)) {
    if (section === null && Object.hasOwn(SECTIONS, key)) delete copied[key];
  }
  return copied;
};

/** File, line and field of a message about `path`, or the option that put it there. */
const locate = (path: FieldPath, document: ScenarioDocument, overrides: readonly Override[]): string => {
  const field = formatPath(path);
  const override = overrides.findLast((entry) => isPrefix(entry.path, path));
  if (override !== undefined)
    return override.path.length === path.length ? override.label : `${override.label}: ${field}`;
  const place = document.locate(path);
  if (place !== document.where) return `${place}: ${field}`;
  // Nothing near it is in the file. Then an option that made it, or its surroundings, is the one to blame.
  const within = overrides.findLast((entry) => isPrefix(path, entry.path));
  if (within !== undefined) return within.label;
  const beside = overrides.findLast((entry) => path.length > 1 && isPrefix(path.slice(0, -1), entry.path));
  return `${beside === undefined ? place : beside.label}: ${field}`;
};

const loadFrom = (bytes: Uint8Array | string, source: Source, options: LoadOptions): Scenario => {
  const document = new ScenarioDocument(bytes, source.where);
  const overrides = overridesOf(options);
  const data = merge(document, overrides);
  const overriding = (path: FieldPath): Override | undefined =>
    overrides.findLast((entry) => isPrefix(entry.path, path));
  const where = (path: FieldPath): string => locate(path, document, overrides);

  const parsed = scenarioSchema.safeParse(data);
  if (!parsed.success) {
    const { path, message } = firstProblem(parsed.error.issues, data);
    throw new InputError(where(path), message);
  }
  const context = resolveContext({
    mode: options.mode ?? 'sim',
    checkFiles: options.checkFiles ?? true,
    where,
    base: (field) => (overriding(field) === undefined ? source.folder : process.cwd()),
  });
  const set = overrides.map(({ label, path }) => ({ label, field: formatPath(path) }));
  return resolveScenario(parsed.data, source.name, source.file, set, context);
};

/** A scenario from text, for callers that have no file; its paths are relative to `folder`. Throws InputError. */
export const parseScenario = (
  text: string,
  options: LoadOptions = {},
  where = 'scenario',
  folder: string = process.cwd(),
): Scenario => loadFrom(text, { name: where, file: null, where, folder }, options);

const findFile = (reference: string): { readonly file: string; readonly name: string } => {
  const builtin = builtinScenarioFile(reference);
  if (builtin !== undefined) return { file: builtin, name: reference };
  const file = resolvePath(reference);
  if (!existsSync(file)) {
    const hint = didYouMean(reference, builtinScenarioIds());
    throw new InputError(reference.slice(0, 200), `no such file, and no built-in scenario of that name${hint}`);
  }
  return {
    file,
    name: builtinScenarioFile(basename(file, '.yaml')) === file ? basename(file, '.yaml') : basename(file),
  };
};

/**
 * Loads a scenario: a built-in id, or the path of a YAML file. Everything is checked and every default filled in. Throws
 * InputError with file, line and field.
 */
export const loadScenario = (reference: string, options: LoadOptions = {}): Scenario => {
  const { file, name } = findFile(reference);
  const where = displayPath(file);
  return loadFrom(readInputFile(file, where, 2 ** 24), { name, file, where, folder: dirname(file) }, options);
};
