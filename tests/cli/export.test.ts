import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { numalab, type Outcome, ROOT } from './spawn.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'numalab-export-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const BASE = 0x4000_0000;

/** Bad input ends with 2, one line on standard error, nothing on standard output. */
const expectRefusal = ({ code, stdout, stderr }: Outcome, message: RegExp): void => {
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr.split('\n')).toEqual([expect.stringMatching(message), '']);
};

const translate = (input: string, ...more: string[]): Outcome => numalab(['translate', 'default', ...more], input);
const answers = ({ code, stdout, stderr }: Outcome): unknown[] => {
  expect([code, stderr]).toEqual([0, '']);
  return stdout === ''
    ? []
    : stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
};

describe('translate', () => {
  it('answers each line in order, with or without 0x, in any case', () => {
    const lines = ['0x40210000', '', '40210ABC', '  0X40210abf \r', '0', '10000000000'];
    const replica = answers(translate(lines.join('\n'), '--node', '1')) as { ipa: string; pa: string }[];
    const [first] = replica;
    const pa = Number(first!.pa);
    expect(pa).toBeGreaterThan(BASE + 2 ** 31);
    expect(replica).toEqual([
      { ipa: '0x40210000', access: 'read', pa: `0x${pa.toString(16)}` },
      { ipa: '0x40210abc', access: 'read', pa: `0x${(pa + 0xabc).toString(16)}` },
      { ipa: '0x40210abf', access: 'read', pa: `0x${(pa + 0xabf).toString(16)}` },
      { ipa: '0x0', access: 'read', fault: 'translation', level: 1 },
      { ipa: '0x10000000000', access: 'read', fault: 'translation', level: 0 },
    ]);
  });

  it('refuses writes to the replicated range, on the node of the primary too', () => {
    for (const node of ['0', '3']) {
      const [answer] = answers(translate('40210000\n', '--node', node, '--access', 'write'));
      expect(answer).toEqual({ ipa: '0x40210000', access: 'write', fault: 'permission', level: 3 });
    }
  });

  it('populates nothing: an address stays unmapped however often it is asked for', () => {
    const lines = answers(translate('50000000\n50000000\n', '--node', '0'));
    expect(lines).toEqual(Array(2).fill({ ipa: '0x50000000', access: 'read', fault: 'translation', level: 2 }));
  });

  it('takes IPAs up to 2^52, and each beyond the IPA size is a fault of level 0', () => {
    const ipas = [2 ** 40, 2 ** 52 - 1, 2 ** 52].map((ipa) => ipa.toString(16));
    expect(answers(translate(ipas.join('\n'), '--node', '0'))).toEqual(
      ipas.map((ipa) => ({ ipa: `0x${ipa}`, access: 'read', fault: 'translation', level: 0 })),
    );
  });

  it('of no lines prints nothing', () => {
    expect(answers(translate('\n\n', '--node', '0'))).toEqual([]);
  });

  it('answers a hundred thousand lines in one go', () => {
    const input = Array.from({ length: 100_000 }, (_, i) => `${(BASE + i * 64).toString(16)}\n`).join('');
    const { code, stdout } = translate(input, '--node', '2', '--set', 'machine.stage2.population=eager');
    const lines = stdout.split('\n');
    expect([code, lines.length]).toEqual([0, 100_001]);
    expect(lines[99_999]).toMatch(`"ipa":"0x${(BASE + 99_999 * 64).toString(16)}"`);
  });

  it.each([
    ['no number', '40000000\n\nzebra\n', /^standard input:3: "zebra" is no hexadecimal IPA$/],
    ['a sign', '-1', /^standard input:1: "-1" is no/],
    ['a fraction', '1.5', /^standard input:1: "1\.5" is no/],
    ['two on a line', '1 2', /^standard input:1: "1 2" is no/],
    ['0x alone', '0x', /^standard input:1: "0x" is no/],
    ['above 2^52', '0\n10000000000001', /^standard input:2: the IPA 10000000000001 is above 2\^52$/],
    ['far above 2^52', `f${'0'.repeat(400)}`, /^standard input:1: the IPA f0+ is above 2\^52$/],
  ])('refuses %s, naming the line, and prints no answer', (_, input, message) => {
    expectRefusal(translate(input, '--node', '0'), message);
  });
});

describe('both commands', () => {
  const commands: readonly (readonly [string, readonly string[]])[] = [
    ['translate', []],
    ['export-tables', ['--out', 'never-made']],
  ];

  it.each(commands)('%s refuses a node, a moment or a scenario that there is not', (command, rest) => {
    const run = (...args: string[]): Outcome => numalab([command, ...args, ...rest]);
    expectRefusal(run('default', '--node', '4'), /^--node: 4 is beyond the last of 4 nodes, 3$/);
    expectRefusal(run('default', '--node', '-1'), /--node/);
    expectRefusal(run('default'), /--node/);
    expectRefusal(run('default', '--node', '0', '--at', 'noon'), /--at/);
    expectRefusal(run('no-such', '--node', '0'), /^no-such: no such file/);
    const none = ['--set', 'replication.strategy=none'];
    expectRefusal(
      run('default', '--node', '0', ...none),
      /replication\.strategy: is none, which has no stage-2 tables$/,
    );
    expect(existsSync(join(ROOT, 'never-made'))).toBe(false);
  });
});

describe('export-tables', () => {
  it('makes the folder, and describes exactly the files in it', () => {
    const out = join(folder, 'deep', 'folder');
    const { code, stdout } = numalab(['export-tables', 'default', '--node', '2', '--out', out, '--json']);
    expect(code).toBe(0);
    const described = JSON.parse(readFileSync(join(out, 'stage2.json'), 'utf8'));
    expect(JSON.parse(stdout)).toEqual(described);
    expect(described).toMatchObject({ granule: '4K', ipaBits: 40, lpa2: false });
    expect(Object.keys(described)).toEqual(['vtcr_el2', 'vttbr_el2', 'granule', 'ipaBits', 'lpa2', 'segments']);
    const files = described.segments.map(({ file }: { file: string }) => file);
    expect(readdirSync(out).sort()).toEqual([...files, 'stage2.json'].sort());
    let end = 0;
    for (const { pa, file, bytes } of described.segments) {
      expect(Number(pa)).toBeGreaterThan(end);
      expect([Number(pa) % 4096, bytes % 4096, readFileSync(join(out, file)).length]).toEqual([0, 0, bytes]);
      end = Number(pa) + bytes;
    }
    // The root is in there, and every table lies in the node's own memory.
    const root = Number(BigInt(described.vttbr_el2));
    const holds = ({ pa, bytes }: { pa: string; bytes: number }): boolean =>
      root >= Number(pa) && root < Number(pa) + bytes;
    expect(described.segments.some(holds)).toBe(true);
    expect(Number(described.segments[0].pa)).toBeGreaterThanOrEqual(BASE + 2 * 2 ** 31);
    expect(end).toBeLessThanOrEqual(BASE + 3 * 2 ** 31);
  });

  it('says what it wrote, unless it is to be quiet', () => {
    const out = join(folder, 'said');
    const said = numalab(['export-tables', 'default', '--node', '0', '--out', out]);
    expect(said.stdout).toMatch(
      /stage2\.json: node 0, \d+ table pages of 4K in \d+ segments?, VTTBR_EL2 0x[0-9a-f]+\n$/,
    );
    expect(numalab(['export-tables', 'default', '--node', '0', '--out', out, '--quiet'])).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
  });

  it('refuses a folder that cannot be made', () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    for (const out of [file, join(file, 'inside')]) {
      const outcome = numalab(['export-tables', 'default', '--node', '0', '--out', out]);
      expectRefusal(outcome, /^--out: .*file.* cannot be written to \((EEXIST|ENOTDIR)\)$/);
    }
  });
});
