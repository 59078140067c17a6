import { it } from 'vitest';
import { run } from './machine.ts';

it('x', async () => {
  for (const protocol of ['ack', 'post']) {
    const t = performance.now();
    const r = await run({ protocol });
    const j = r.judgement;
    console.log(
      protocol,
      performance.now() - t,
      r.raw.bootMs,
      r.raw.wallMs,
      r.judgeMs,
      j.verdict,
      j.reason,
      j.held,
      j.writes.length,
      JSON.stringify(j.evidence),
    );
    for (const x of j.refuted) console.log('  refuted', x.level, x.message);
    for (const x of j.violations) console.log('  VIOLATION', x.id, x.message);
    console.log(j.rules.map((x) => `${x.id}${x.held ? '' : '!'}:${x.evidence}`).join(' '));
  }
});
