import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's folder. */
export const ROOT: string = fileURLToPath(new URL('../..', import.meta.url));

/** The packages in the order of design: each may import only what stands before it. */
export const ORDER: readonly string[] = [
  'base',
  'machine',
  'kernel',
  'interconnect',
  'protocols',
  'node-worker',
  'hypervisor',
  'checkers',
  'coordinator',
];

/** Packages that know no clock, no randomness, no log and no `node:*`: all but the last. */
export const PURE: readonly string[] = ORDER.slice(0, -1);

/** The parts of a package.json that the tests look at. */
export interface Manifest {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** The package.json in `folder`, relative to the root. */
export const manifestOf = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'));

/** Folders of the workspace that are there. */
export const workspaceFolders = (): readonly string[] => [
  ...readdirSync(join(ROOT, 'packages')).map((name) => `packages/${name}`),
  ...['tests', 'bench', 'examples'].filter((name) => existsSync(join(ROOT, name, 'package.json'))),
];

/** TypeScript files below `folder`, relative to the root. Scratch files (`*.tmp.ts`), which git never sees, are left out. */
export const sourceFiles = (folder: string): readonly string[] =>
  readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ['node_modules', 'dist'].includes(entry.name) ? [] : sourceFiles(path);
    return path.endsWith('.ts') && !path.endsWith('.tmp.ts') ? [path] : [];
  });

interface Diagnostic {
  /** `lint/style/noRestrictedImports` */
  readonly category: string;
  readonly severity: 'error' | 'warning' | 'info';
  readonly location: { readonly path: string } | null;
}

/** The rules that files below `folder` break, by file relative to `folder`. */
export const lint = (folder: string): ReadonlyMap<string, ReadonlySet<string>> => {
  const biome = join(ROOT, 'node_modules/@biomejs/biome/bin/biome');
  const args = [biome, 'lint', '.', '--reporter=json', '--max-diagnostics=none'];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  if (!stdout.startsWith('{')) throw new Error(`the linter did not run: ${stderr}`);
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: readonly Diagnostic[] };
  const broken = new Map<string, Set<string>>();
  for (const { category, severity, location } of diagnostics) {
    if (severity !== 'error' || location === null) continue;
    const rules = broken.get(location.path) ?? new Set();
    broken.set(location.path, rules.add(category.slice(category.lastIndexOf('/') + 1)));
  }
  return broken;
};
