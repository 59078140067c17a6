/** A recorded boot on the generated image: what is stored before the text is protected is what cores fetch from then on. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSpec, loadScenario, runScenario } from '@numalab/coordinator';
import { afterAll, describe, expect, it } from 'vitest';

const NOP = 0xd503201f;
const MOV_X9_X30 = 'aa1e03e9';

const folder = mkdtempSync(join(tmpdir(), 'numalab-recorded-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Every NOP of the text that nodes have copies of becomes a MOV, as ftrace does at boot. */
const bootTrace = (): string => {
  const { kernel } = buildSpec(loadScenario('small'), 1).spec;
  const copied = (offset: number): boolean =>
    kernel.ranges.some(({ start, end, kind }) => kind === 'replica' && offset >= start && offset < end);
  const rows: string[] = ['seq,vcpu,writer,offset,size,old,new,table'];
  for (let offset = kernel.text.start; offset < kernel.text.end; offset += 4) {
    if (kernel.words[offset >> 2] !== NOP || !copied(offset)) continue;
    rows.push(`${rows.length - 1},0,__ftrace_init,${offset.toString(16)},4,d503201f,${MOV_X9_X30},ftrace`);
  }
  return `${rows.join('\n')}\n`;
};

describe('stores before protectAt', () => {
  it('are in every copy at boot, and no core finds a word that nobody wrote', async () => {
    const file = join(folder, 'boot.csv');
    const trace = bootTrace();
    writeFileSync(file, trace);
    const rows = trace.split('\n').length - 2;
    expect(rows).toBeGreaterThan(1000);
    const set = [
      `kernel.writers=[{kind: recorded, file: ${file}, protectAt: ${rows - 3}}]`,
      'workload.duty=0.5',
      'comparison=false',
    ];
    const result = await runScenario(loadScenario('small', { set }), { seed: 1 });
    expect(result.recorded).toMatchObject({ rows, atBoot: rows - 3, trapped: 3 });
    expect(result.violations).toEqual([]);
    expect(result.fetches.total).toBeGreaterThan(1000);
  });
});
