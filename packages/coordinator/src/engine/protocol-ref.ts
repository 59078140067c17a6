import { createRequire, registerHooks } from 'node:module';
import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';
import { InputError } from '@numalab/base';
import { GUARANTEES, PROTOCOLS, type Protocol } from '@numalab/protocols';
import { displayPath } from '../scenario/files.ts';
import { PATIENCE_MS, withDeadline } from './deadline.ts';
import { guardProtocol } from './guard-protocol.ts';

/** How every thread of a run finds the protocol: the name of a built-in one, or the absolute path of a module. */
export type ProtocolRef = string;

const require = createRequire(import.meta.url);
const loaded = new Map<string, Protocol>();
let hooked = false;

/** Lets modules anywhere import what numalab's packages export: what they do not find themselves is looked for from here. */
const hookResolution = (): void => {
  if (hooked) return;
  hooked = true;
  registerHooks({
    resolve: (specifier, context, next) => {
      if (!specifier.startsWith('@numalab/')) return next(specifier, context);
      try {
        return next(specifier, context);
      } catch {
        return next(specifier, { ...context, parentURL: import.meta.url });
      }
    },
  });
};

/** Loads the module as what its name says it is, whatever package.json lies near it. */
const importFile = (file: string): unknown => {
  hookResolution();
  const url = pathToFileURL(file).href;
  const format = /\.[cm]?ts$/.test(file) ? 'module-typescript' : 'module';
  const hook = registerHooks({
    load: (loading, context, next) => next(loading, loading === url ? { ...context, format } : context),
  });
  try {
    return (require(file) as { default?: unknown }).default;
  } finally {
    hook.deregister();
  }
};

const isHalf = (make: () => unknown, handler: string): boolean => {
  const half = make();
  return typeof half === 'object' && half !== null && typeof (half as Record<string, unknown>)[handler] === 'function';
};

/** What is wrong with a default export, in one clause; null: it is a protocol. */
const problemOf = (candidate: unknown): string | null => {
  if (typeof candidate !== 'object' || candidate === null) return 'has no protocol as its default export';
  const { hypervisor, node, guarantee } = candidate as Partial<Protocol>;
  if (typeof hypervisor !== 'function') return 'has no half for the hypervisor: hypervisor() is missing';
  if (typeof node !== 'function') return 'has no half for the nodes: node() is missing';
  if (guarantee === undefined || !GUARANTEES.includes(guarantee)) {
    return `declares ${guarantee === undefined ? 'no guarantee' : `guarantee ${String(guarantee).slice(0, 40)}`}; it must be ${GUARANTEES.join(', ')}`;
  }
  if (!isHalf(() => hypervisor.call(candidate), 'onWrite')) return 'has no half for the hypervisor: onWrite is missing';
  if (!isHalf(() => node.call(candidate), 'onMessage')) return 'has no half for the nodes: onMessage is missing';
  return null;
};

const reasonOf = (error: unknown): string => {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.split('\n')[0]!.slice(0, 300);
};

/** Whether a protocol is somebody else's code, which may do anything. */
export const isForeign = (ref: ProtocolRef): boolean => isAbsolute(ref);

/** What to say of a protocol in the file `ref` that keeps a thread busy for ever. */
export const loopsForEver = (ref: ProtocolRef): InputError =>
  new InputError(displayPath(ref), `nothing has happened for ${PATIENCE_MS / 1000} s: its code loops without yielding`);

/**
 * The protocol of that name, or in the module of that absolute path; loaded once per thread. Throws InputError for a module
 * that does not load, lacks a half or declares no level there is.
 */
export const loadProtocol = (ref: ProtocolRef): Protocol => {
  if (Object.hasOwn(PROTOCOLS, ref)) return PROTOCOLS[ref]!;
  if (!isAbsolute(ref)) throw new InputError('replication.protocol', `there is no protocol ${ref}`);
  const known = loaded.get(ref);
  if (known !== undefined) return known;
  let problem: string | null;
  let candidate: unknown;
  try {
    candidate = withDeadline(
      () => importFile(ref),
      () => loopsForEver(ref),
    );
    problem = problemOf(candidate);
  } catch (error) {
    if (error instanceof InputError) throw error;
    problem = `does not load: ${reasonOf(error)}`;
  }
  if (problem !== null) throw new InputError(displayPath(ref), problem);
  const protocol = guardProtocol(candidate as Protocol, displayPath(ref));
  loaded.set(ref, protocol);
  return protocol;
};
