import { it } from 'vitest';
import type { Write } from '@numalab/protocols';
import { run, brokenRules, writers, type Setup } from './machine.ts';
import * as w from './wrong-protocols.ts';
const show = async (name: string, setup: Setup) => {
    const t = performance.now();
    const r = await run(setup);
    const j = r.judgement;
    console.log(name, (performance.now() - t)|0, 'virt', r.raw.endPs/1e6, 'us', j.verdict, j.reason, j.held, j.writes.length, JSON.stringify(j.evidence), brokenRules(r).join(),
    '\n', j.violations.slice(0,12).map((x) => `  ${x.id} ${x.message}`).join('\n '),
    '\n', j.rules.map((x) => `${x.id}${x.held ? '' : '!'}:${x.evidence}`).join(' '));
};
it('x', async () => {
  await show('ack-1', {protocol: w.ackWithout(1)});
  await show('ack-0', {protocol: w.ackWithout(0)});
  const noMaintain: w.Handler = function* (c, x) { yield* c.store(x); };
  for (const idc of [true,false]) for (const dic of [true,false])
  await show(`nomaintain idc ${idc} dic ${dic}`, {protocol: w.ackWith(() => noMaintain), set: [`machine.ctr.idc=${idc}`, `machine.ctr.dic=${dic}`]});
  await show('skip write 3', {protocol: w.ackWith(w.onNode1(function* (c, x) { if (x.number !== 3) yield* w.right(c, x); }))});
  await show('twice write 3', {protocol: w.ackWith(w.onNode1(function* (c, x) { yield* w.right(c, x); if (x.number === 3) yield* w.right(c, x); }))});
  await show('value', {protocol: w.ackWith(w.onNode1(function* (c, x) { yield* w.right(c, { ...x, words: x.words.map(v => (v ^ 1) >>> 0)}); }))});
  await show('forget', {protocol: w.ackThatForgets(3)});
  await show('forget finite', {protocol: w.ackThatForgets(3), set: [writers('{ kind: jump-label, rate: 400k/s, keys: 3, batch: 2, writes: 8 }')]});
  await show('order', {protocol: w.postWith(() => { let held: Write | null = null; return function* (c, x) { if (x.number === 2) { held = x; return; } yield* w.right(c, x); if (held !== null) { yield* w.right(c, held); held = null; } } })});
  await show('back', {protocol: w.ackWith(() => { const last = new Map<number, Write>(); return function* (c, x) { yield* w.right(c, x); const old = last.get(x.word); last.set(x.word, x); if (c.node === 1 && old) { yield 500_000; yield* w.right(c, old); yield 500_000; yield* w.right(c, x);}  } })});
});
