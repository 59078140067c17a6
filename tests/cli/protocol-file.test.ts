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
    const cluster = run('default', '--protocol', path, '--placement', 'cluster', '--processes', '2');
    expect(cluster.digest).toBe(inline.digest);
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

describe('a protocol that goes wrong while it runs', () => {
  const onWrite = (body: string): string =>
    `import { ack } from '@numalab/protocols';\nexport default { ...ack, hypervisor: () => ({ ${body} }) };\n`;
  const small = (name: string, content: string, placement = 'inline') =>
    numalab(['run', 'small', '--protocol', file(name, content), '--placement', placement, '--quiet']);

  it.each(['inline', 'threads', 'cluster'])('by throwing is bad input: %s', (placement) => {
    const { code, stdout, stderr } = small(
      'throws.ts',
      onWrite('onWrite() { throw new TypeError("no\\nway"); }'),
      placement,
    );
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^[^\n]*throws\.ts: onWrite of the hypervisor’s half threw TypeError: no, at line 2\n$/);
  });

  it.each([
    ['retires twice', 'onWrite(c, w) { c.retire(w); c.retire(w); }', 'write 1 is retired once'],
    ['sends to no node', 'onWrite(c, w) { c.send(99, w); }', 'there is no node 99'],
    ['is no task', 'async onWrite() {}', 'returned what is no task'],
    ['yields nonsense', "*onWrite() { yield 'x'; }", 'yielded what is neither a time nor a task'],
    ['stands still', '*onWrite() { for (;;) yield 0; }', 'no time has passed'],
  ])('by what %s is bad input', (name, body, message) => {
    const { code, stdout, stderr } = small(`${name.replaceAll(' ', '-')}.ts`, onWrite(body));
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^[^\n]+\n$/);
    expect(stderr).toContain(message);
  });

  it('by never retiring fails, and so does one whose timers never end', () => {
    const never = small('never.ts', onWrite('onWrite() {}'));
    expect(never.code).toBe(1);
    expect(never.stdout).toMatch(/^FAIL /);
    const ticking = small(
      'ticks.ts',
      onWrite('onWrite(c) { c.setTimer(1e6, 1); }, onTimer(c) { c.setTimer(1e6, 1); }'),
    );
    expect(ticking.code).toBe(1);
  });
});
