import { it } from 'vitest';
import type { Write } from '@numalab/protocols';
import { drain, a64, stage2Attributes, tableLo, tableHi, S2_LO_WRITE, decodeStore, StoreAccess } from '@numalab/machine';
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
  await show('post', {protocol: 'post'});
  await show('back', {protocol: w.ackWith(() => { const before = new Map<number, Write>(); let last: Write | null = null; return function* (c, x) {
    const old = last === null ? undefined : before.get(last.word);
    if (c.node === 1 && old) yield* w.right(c, old);
    if (last) before.set(last.word, last);
    yield* w.right(c, x); last = x; } })});
  await show('k1 ok', {set: [writers('{kind: ftrace, rate: 200k/s, sites: 3, batch: 1, cpus: [0, 3]}')]});
  await show('k1', {protocol: w.ackWith(w.onNode1(function* () {})), set: [writers('{kind: ftrace, rate: 200k/s, sites: 3, batch: 1, cpus: [0, 3]}')]});
  await show('x1', {meddle: (m) => { for (const n of m.nodes) for (const c of n.cpus) c.synchroniseContext = () => {}; }});
  const e1 = [writers('{kind: synthetic, rate: 200k/s, forms: [stp_x_pre], cpus: [3], sites: 4}')];
  await show('e1 ok', {set: e1});
  await show('e1', {set: e1, meddle: (m) => { const n = m.nodes[1]!; const f = (m.nodes[1]!.spec.writers[0] as any).forms[0]; const g = f.gadget;
    console.log(f.word.toString(16), g); n.memory.store32(n.copyOf(g), (f.word & ~(3<<23)) | (2 << 23)); }});
  await show('e1 livelock', {set: e1, meddle: (m) => { const n = m.nodes[1]!; const f = (m.nodes[1]!.spec.writers[0] as any).forms[0]; const g = f.gadget;
    n.memory.store32(n.copyOf(g), (f.word & ~(3<<23)) | (1 << 23)); }});
  await show('t2', {meddle: (m) => { const n = m.nodes[1]!; const {editor} = n.tables!; const r = n.spec.kernel.ranges.findLast(x => x.kind==='replica')!;
    editor.getLeaf(n.layout.imageIpa + r.end - 4096); n.memory.store32(editor.leafEntryPa, editor.leafLo | S2_LO_WRITE); }});
  await show('t3', {meddle: (m) => { const n = m.nodes[1]!; const {editor} = n.tables!; const pa = n.layout.copyPa[1]!;
    console.log(drain(editor.map(pa, 4096, pa, stage2Attributes({read:true, write:true, execute:'all', memAttr: 15}))));}});
  await show('t6', {set:['machine.stage2.population=eager'], meddle: (m) => { const n = m.nodes[1]!; const {editor} = n.tables!; 
    console.log(drain(editor.writeProtect(n.spec.base + 64*2**20, 4096)));}});
  await show('t6 ok', {set:['machine.stage2.population=eager']});
  await show('t1', {meddle: (m) => { const n = m.nodes[1]!; const {editor} = n.tables!; const {config} = editor; const at = config.rootPa + config.rootBytes - 8;
    console.log(n.memory.load32(at)); n.memory.store32(at, tableLo(config, config.rootPa)); n.memory.store32(at+4, tableHi(config, config.rootPa)); }});
  await show('t4', {set:['machine.stage2.population=eager'], meddle: (m) => { const n = m.nodes[1]!; const {editor} = n.tables!; const ipa = n.spec.base + 64*2**20; editor.getLeaf(ipa);
    const ok = stage2Attributes({read:true, write:true, execute:'all', memAttr: 15});
    console.log(drain(editor.unmap(ipa, 2*2**20)), drain(editor.map(ipa, 2*2**20, ipa, ok))); }});
});
