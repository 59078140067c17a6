import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunResult } from '@numalab/coordinator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { numalab, ROOT } from './spawn.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'numalab-protocol-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

/** The example of the documentation. */
const example = (): string => {
  const page = readFileSync(join(ROOT, 'docs/PROTOCOLS.md'), 'utf8');
  return /```ts one-by-one\.ts\n(.*?)```/s.exec(page)![1]!;
};

const SHORT = ['--duration', '100us', '--set', 'comparison=false', '--json'];
const run = (...args: readonly string[]): RunResult => {
  const { code, stdout, stderr } = numalab(['run', ...args, ...SHORT]);
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as RunResult;
};

describe('a protocol in a file outside the workspace', () => {
  it('is the example of the documentation, keeps its promise, and has one digest in every placement', () => {
    const path = file('one-by-one.ts', example());
    const inline = run('default', '--protocol', path);
    expect(inline).toMatchObject({ verdict: 'pass', guarantee: { declared: 'completed', held: 'completed' } });
    expect(inline.writes.retired).toBeGreaterThan(0);
    const threads = run('default', '--protocol', path, '--placement', 'threads', '--threads', '2');
    expect(threads.digest).toBe(inline.digest);
  });

  it('may be JavaScript that uses what numalab exports, named relative to the scenario', () => {
    mkdirSync(join(folder, 'sub'));
    file('package.json', '{ "type": "commonjs" }');
    file('sub/again.js', "import { ack } from '@numalab/protocols';\nexport default { ...ack, name: 'again' };\n");
    const scenario = file('scenario.yaml', 'replication: { protocol: ./sub/again.js }\n');
    expect(run(scenario)).toMatchObject({ verdict: 'pass', guarantee: { held: 'completed' } });
  });

  it('that promises too much is refuted', () => {
    const path = file(
      'boast.ts',
      "import { post } from '@numalab/protocols';\nexport default { ...post, guarantee: 'completed' };\n",
    );
    const { code, stdout } = numalab(['run', 'default', '--protocol', path, '--set', 'comparison=false', '--json']);
    expect(code).toBe(1);
    expect((JSON.parse(stdout) as RunResult).violations.map(({ id }) => id)).toContain('R5');
  });

  it.each([
    ['syntax.ts', 'export default { guarantee: ', 'does not load'],
    ['throws.ts', "throw new Error('no\\nway');", 'does not load: Error: no'],
    ['absent.ts', "import '@numalab/nothing';", 'does not load'],
    ['empty.ts', 'export const protocol = 1;', 'has no protocol as its default export'],
    ['half.ts', 'export default { hypervisor: () => ({ onWrite() {} }) };', 'node() is missing'],
    [
      'hollow.ts',
      "export default { guarantee: 'ordered', hypervisor: () => ({}), node: () => ({}) };",
      'onWrite is missing',
    ],
    [
      'level.ts',
      "export default { guarantee: 'fine', hypervisor: () => ({ onWrite() {} }), node: () => ({ onMessage() {} }) };",
      'declares guarantee fine; it must be eventual, ordered, completed, atomic',
    ],
  ])('%s that is none is refused', (name, content, message) => {
    const { code, stdout, stderr } = numalab(['run', '--protocol', file(name, content)]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^--protocol: [^\n]+\n$/);
    expect(stderr).toContain(name);
    expect(stderr).toContain(message);
  });
});
