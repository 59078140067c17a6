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

/** What the linter says of the files below `folder`: its rules by file, relative to `folder`. */
export const lint = (folder: string): Map<string, string[]> => {
  const biome = join(ROOT, 'node_modules/@biomejs/biome/bin/biome');
  const args = [biome, 'lint', '.', '--reporter=json', '--max-diagnostics=none', '--vcs-enabled=false'];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  const start = stdout.indexOf('{');
  if (start < 0) throw new Error(`the linter did not run: ${stderr}`);
  const report = JSON.parse(stdout.slice(start)) as {
    diagnostics: { category: string; severity: string; location: { path: string | { file: string } } }[];
  };
  const rules = new Map<string, string[]>();
  for (const { category, severity, location } of report.diagnostics) {
    if (severity !== 'error' || !location?.path) continue;
    const path = typeof location.path === 'string' ? location.path : location.path.file;
    rules.set(path, [...(rules.get(path) ?? []), category.split('/').at(-1)!]);
  }
  return rules;
};
