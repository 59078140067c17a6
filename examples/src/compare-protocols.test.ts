import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { compareProtocols } from './compare-protocols.ts';

it('a program can run experiments and look at the results', async () => {
  const { campaign, medianNs, closer } = await compareProtocols(5, 1);
  expect(campaign).toMatchObject({ verdict: 'pass', runs: { total: 10, pass: 10 } });
  expect(medianNs.ack).toBeGreaterThan(0);
  expect(medianNs.direct).toBeGreaterThan(0);
  expect(closer).toMatchObject({ seed: 1, verdict: 'pass' });
});

it('a program can cut a campaign off and has what there is', async () => {
  const { campaign } = await compareProtocols(1_000_000, 1, AbortSignal.timeout(1500));
  expect(campaign).toMatchObject({ interrupted: true, verdict: 'unknown' });
  expect(campaign.runs.total).toBeLessThan(1_000_000);
});

it('the example runs as a program', () => {
  const file = fileURLToPath(new URL('./compare-protocols.ts', import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, [file], { encoding: 'utf8' });
  expect(status).toBe(0);
  expect(stdout).toMatch(/^pass: /);
  expect(stdout).toMatch(/\nack: [\d.]+ ns a write\ndirect: [\d.]+ ns a write\n/);
});
