import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLI, closeAfterFirstBytes, numalab, ROOT, signalAfterFirstBytes } from './spawn.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'numalab-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('help and version', () => {
  it('go to standard output and end with 0', () => {
    const commands = ['run', 'kernel', 'topology', 'export-tables', 'translate', 'scenarios', 'protocols'];
    const help = numalab(['--help']);
    expect([help.code, help.stderr]).toEqual([0, '']);
    for (const command of commands) {
      expect(help.stdout).toContain(command);
      const own = numalab([command, '--help']);
      expect([own.code, own.stderr]).toEqual([0, '']);
      expect(own.stdout).toContain(`Usage: numalab ${command}`);
    }
    const version = numalab(['--version']);
    expect([version.code, version.stderr]).toEqual([0, '']);
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('fit into 80 columns', () => {
    for (const args of [['--help'], ['run', '--help'], ['topology', 'kunpeng920'], ['scenarios']]) {
      for (const line of numalab(args).stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    }
  });
});

describe('topology', () => {
  it('prints the matrix and the nanoseconds', () => {
    const { code, stdout } = numalab(['topology', 'kunpeng920']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/1: +12 +10 +22 +24\n/);
    expect(stdout).toMatch(/0: +90 +120 +220 +240\n/);
    expect(stdout).not.toContain('\u001b');
  });

  it('prints one JSON document', () => {
    const { stdout } = numalab(['topology', 'xeon8-glueless', '--json']);
    const shown = JSON.parse(stdout);
    expect(shown).toMatchObject({ nodes: 8, profile: 'xeon' });
    expect(shown.distances[0]).toEqual([10, 21, 21, 31, 21, 31, 31, 31]);
    expect(shown.dramNs[0].slice(0, 4)).toEqual([81.3, 131.1, 131.1, 200]);
  });

  it('reads the text of numactl', () => {
    const path = join(folder, 'numactl.txt');
    writeFileSync(path, 'available: 2 nodes (0,8)\nnode distances:\nnode   0   8\n  0:  10  40\n  8:  40  10\n');
    const { code, stdout } = numalab(['topology', path, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      format: 'numactl',
      distances: [
        [10, 40],
        [40, 10],
      ],
    });
    expect(JSON.parse(stdout).notes).toHaveLength(1);
  });

  it('without a source lists what is built in', () => {
    const entries = JSON.parse(numalab(['topology', '--json']).stdout);
    expect(entries.map(({ id }: { id: string }) => id)).toContain('kunpeng920');
  });
});

describe('scenarios and protocols', () => {
  it('are listed with their ids', () => {
    const scenarios = JSON.parse(numalab(['scenarios', '--json']).stdout);
    expect(scenarios.map(({ id }: { id: string }) => id)).toEqual(expect.arrayContaining(['default', 'small']));
    for (const { description } of scenarios) expect(description).not.toBe('');
    const protocols = JSON.parse(numalab(['protocols', '--json']).stdout);
    expect(protocols).toEqual(expect.arrayContaining([expect.objectContaining({ id: 'ack', guarantee: 'completed' })]));
  });

  it('are shown with all defaults, as a scenario that can be used again', () => {
    const shown = numalab(['scenarios', 'show', 'default']);
    expect(shown.code).toBe(0);
    const path = join(folder, 'again.yaml');
    writeFileSync(path, shown.stdout);
    expect(numalab(['scenarios', 'show', path]).stdout).toBe(shown.stdout);
    const json = JSON.parse(numalab(['scenarios', 'show', 'default', '--json', '--set', 'machine.nodes=6']).stdout);
    expect(json.machine).toMatchObject({ nodes: 6, memoryPerNode: '2GiB' });
  });
});

describe('a closed pipe', () => {
  it('ends the program quietly', async () => {
    const args = [CLI, 'topology', 'kunpeng920', '--nodes', '128'];
    const { code, stderr } = await closeAfterFirstBytes(args);
    expect([code, stderr]).toEqual([0, '']);
  });
});

describe('a full disk', () => {
  const shell = (line: string): { readonly status: number | null; readonly stderr: string } =>
    spawnSync('sh', ['-c', line, 'sh', process.execPath, CLI], { cwd: ROOT, encoding: 'utf8' });

  it('behind standard output is told in one line', () => {
    for (const verb of ['protocols', 'topology kunpeng920 --json', '--help']) {
      const { status, stderr } = shell(`"$1" "$2" ${verb} > /dev/full`);
      expect([verb, status, stderr]).toEqual([verb, 2, 'standard output: cannot be written to (ENOSPC)\n']);
    }
  });

  it('behind standard error changes no exit code', () => {
    expect(shell('"$1" "$2" run nope 2> /dev/full').status).toBe(2);
    expect(shell('"$1" "$2" protocols 2> /dev/full > /dev/null').status).toBe(0);
  });
});

/** A program around the context that commands get; `body` is its code. */
const program = (body: string): string[] => [
  '--input-type=module',
  '-e',
  `import { CommandContext } from '${join(ROOT, 'packages/coordinator/src/commands/context.ts')}';
   const context = new CommandContext();
   process.on('SIGINT', () => context.interrupt());
   process.on('SIGTERM', () => context.interrupt());
   ${body}`,
];

describe('a signal', () => {
  it('ends a command that does not heed it', async () => {
    const body = "process.stdout.write('x'); setInterval(() => undefined, 1000);";
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      expect((await signalAfterFirstBytes(program(body), signal)).code).toBe(130);
    }
  });

  it('lets a command that heeds it print what it has', async () => {
    const body = `const timer = setInterval(() => undefined, 1000);
      context.signal.addEventListener('abort', () => { clearInterval(timer); context.print('so far'); });
      context.print('begun');`;
    expect(await signalAfterFirstBytes(program(body), 'SIGTERM')).toEqual({
      code: 130,
      stdout: 'begun\nso far\n',
      stderr: '',
    });
  });
});
