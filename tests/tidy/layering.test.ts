import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lint, manifestOf, ORDER, PURE, ROOT, workspaceFolders } from './workspace.ts';

/** A file that breaks one rule, or none. */
interface Planted {
  readonly what: string;
  readonly path: string;
  readonly text: string;
  /** The rule that must be among those it breaks; null: it must break none. */
  readonly rule: string | null;
}

const IMPORTS = 'noRestrictedImports';
const GLOBALS = 'noRestrictedGlobals';
const MATH = 'noJsRestrictedProperties';

/** In a pure package. */
const pure = (what: string, rule: string | null, text: string): Omit<Planted, 'path'> => ({ what, rule, text });

const IN_PURE_CODE: readonly Omit<Planted, 'path'>[] = [
  pure(
    'imports a module of node',
    'noNodejsModules',
    "import { cpus } from 'node:os'; export const n: unknown = cpus;",
  ),
  pure('imports one by its old name', 'noNodejsModules', "import { cpus } from 'os'; export const n: unknown = cpus;"),
  pure('reads the date', GLOBALS, 'export const now: number = Date.now();'),
  pure('reads the clock', GLOBALS, 'export const now: number = performance.now();'),
  pure('reads the clock in a roundabout way', GLOBALS, 'export const now: number = globalThis.performance.now();'),
  pure('sets a timer', GLOBALS, 'export const wait = (then: () => void): unknown => setTimeout(then, 1);'),
  pure('reads the environment', GLOBALS, 'export const home: unknown = process.env;'),
  pure('prints', 'noConsole', "console.log('here');"),
  pure('draws from Math.random', MATH, 'export const draw: number = Math.random();'),
  pure('takes random out of Math', MATH, 'const { random } = Math; export const draw: number = random();'),
  pure('takes a logarithm', MATH, 'export const log: number = Math.log2(8);'),
  pure('raises to a power', MATH, 'export const power: number = Math.pow(2, 8);'),
  pure('imports another package by its path', IMPORTS, "export * from '../../base/src/bits.ts';"),
  pure('imports a file of another package', IMPORTS, "export * from '@numalab/base/src/bits.ts';"),
  pure('imports what it does not declare', 'noUndeclaredDependencies', "export * from 'zod';"),
  pure('computes', null, 'export const a: number = Math.floor(2.5) + Math.imul(3, 4) + Math.clz32(1);'),
];

const importing = (from: string, to: string): Planted => ({
  what: `packages/${from} imports @numalab/${to}`,
  path: `packages/${from}/src/planted-${to}.ts`,
  text: `export * from '@numalab/${to}';`,
  rule: ORDER.indexOf(to) < ORDER.indexOf(from) ? null : IMPORTS,
});

const PLANTED: readonly Planted[] = [
  ...PURE.flatMap((name) =>
    IN_PURE_CODE.map((planted, i) => ({
      ...planted,
      what: `packages/${name} ${planted.what}`,
      path: `packages/${name}/src/planted-${i}.ts`,
    })),
  ),
  ...ORDER.flatMap((from) => ORDER.map((to) => importing(from, to))),
  {
    what: 'two files import each other',
    path: 'packages/base/src/cycle-a.ts',
    text: "import { b } from './cycle-b.ts'; export const a: number = 1 + b;",
    rule: 'noImportCycles',
  },
  {
    what: 'the other of the two',
    path: 'packages/base/src/cycle-b.ts',
    text: "import { a } from './cycle-a.ts'; export const b: number = 1 + a;",
    rule: 'noImportCycles',
  },
  {
    what: 'a file is not in kebab-case',
    path: 'packages/base/src/camelCase.ts',
    text: 'export const a: number = 1;',
    rule: 'useFilenamingConvention',
  },
  {
    what: 'a function is longer than 70 lines',
    path: 'packages/base/src/long.ts',
    text: `export const a = (): number => {\n  let x = 0;\n${'  x++;\n'.repeat(70)}  return x;\n};`,
    rule: 'noExcessiveLinesPerFunction',
  },
  {
    what: 'the coordinator uses node and the clock',
    path: 'packages/coordinator/src/planted.ts',
    text: "import { cpus } from 'node:os'; export const n: unknown = [cpus, Date.now(), process.pid];",
    rule: null,
  },
  {
    what: 'a test imports a package by its path',
    path: 'tests/simulation/planted.test.ts',
    text: "export * from '../../packages/base/src/bits.ts';",
    rule: IMPORTS,
  },
];

describe('the linter, on files that break the layering', () => {
  let folder = '';
  let broken: ReturnType<typeof lint> = new Map();

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'numalab-layering-'));
    for (const path of ['biome.json', 'package.json', ...workspaceFolders().map((name) => `${name}/package.json`)]) {
      cpSync(join(ROOT, path), join(folder, path));
    }
    for (const { path, text } of PLANTED) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), `${text}\n`);
    }
    broken = lint(folder);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(PLANTED.filter(({ rule }) => rule !== null))('refuses it when $what', ({ path, rule }) => {
    expect([...(broken.get(path) ?? [])]).toContain(rule);
  });

  it.each(PLANTED.filter(({ rule }) => rule === null))('has nothing against it when $what', ({ path }) => {
    expect([...(broken.get(path) ?? [])]).toEqual([]);
  });
});

/** Which of the pairs node resolves: the second package from a file of the first. */
const resolvable = (pairs: readonly (readonly [string, string])[]): readonly (readonly [string, string])[] => {
  const program = `
    const { createRequire } = require('node:module');
    const finds = ([from, to]) => {
      try { return createRequire('${ROOT}/packages/' + from + '/src/index.ts').resolve('@numalab/' + to) !== ''; }
      catch { return false; }
    };
    console.log(JSON.stringify(${JSON.stringify(pairs)}.filter(finds)));`;
  // The start script of vitest sets NODE_PATH to a folder with all packages; imports never look there, but require does.
  const env = { ...process.env, NODE_PATH: '' };
  return JSON.parse(execFileSync(process.execPath, ['-e', program], { env, encoding: 'utf8' }));
};

describe('the workspace', () => {
  it('has the packages of the order and no other', () => {
    const packages = workspaceFolders().filter((folder) => folder.startsWith('packages/'));
    expect(packages.map((folder) => folder.slice('packages/'.length)).sort()).toEqual([...ORDER].sort());
  });

  it.each(ORDER)('lets %s depend only on packages to its left', (name) => {
    const { dependencies, devDependencies } = manifestOf(`packages/${name}`);
    const left = ORDER.slice(0, ORDER.indexOf(name)).map((other) => `@numalab/${other}`);
    const declared = Object.keys({ ...dependencies, ...devDependencies }).filter((key) => key.startsWith('@numalab/'));
    expect(declared.filter((other) => !left.includes(other))).toEqual([]);
  });

  it('has a root that depends on tools alone, so that an undeclared import resolves nowhere', () => {
    const { dependencies = {}, devDependencies = {} } = manifestOf('.');
    const tools = ['@biomejs/biome', '@types/node', 'node', 'typescript', 'vitest'];
    expect(Object.keys({ ...dependencies, ...devDependencies }).sort()).toEqual(tools);
  });

  it('keeps node from finding a package that is not declared', () => {
    const pairs = ORDER.flatMap((from) => ORDER.map((to) => [from, to] as const)).filter(([from, to]) => from !== to);
    const found = resolvable(pairs);
    const left = pairs.filter(([from, to]) => ORDER.indexOf(to) < ORDER.indexOf(from));
    expect(found).toEqual(left);
  });
});
