import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The release. */
export const VERSION = '0.1.0';

const PACKAGES = fileURLToPath(new URL('../../', import.meta.url));

const sourcesOf = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return ['node_modules', 'dist'].includes(entry.name) ? [] : sourcesOf(path);
    return /(?<!\.test|\.tmp)\.ts$/.test(entry.name) || entry.name === 'package.json' ? [path] : [];
  });

let known: string | undefined;

/**
 * The release and a hash of the sources: what two processes must have in common for a scenario and a seed to mean the same to
 * both. Tests and settings that change nothing that happens are left out.
 */
export const buildVersion = (): string => {
  if (known === undefined) {
    const hash = createHash('sha256');
    for (const path of sourcesOf(PACKAGES).sort()) hash.update(relative(PACKAGES, path)).update(readFileSync(path));
    known = `${VERSION}+${hash.digest('hex').slice(0, 12)}`;
  }
  return known;
};
