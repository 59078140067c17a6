/** Single stores that trap, instruction by instruction: what EL2 makes of each, on every copy, or that it leaves no trace. */
import type { Step } from '@numalab/base';
import { buildSpec, type InlineMachine, type JudgedRun, loadScenario } from '@numalab/coordinator';
import {
  ACCESS_WRITE,
  AP_EL1_RO,
  findStoreGadgets,
  STORE_FORMS,
  type StoreForm,
  stage1Attributes,
  stage1LeafHi,
  stage1LeafLo,
} from '@numalab/machine';
import { CoreCpu, FIXMAP_ATTRS, type NodeProcess } from '@numalab/node-worker';
import { describe, expect, it } from 'vitest';
import { brokenRules, evidenceOf, runAndKeep, writers } from './machine.ts';

const PAGE = 4096;
const { image, spec: sample } = buildSpec(loadScenario('small'), 1);
const { ranges } = sample.kernel;
const text = image.words.subarray(0, image.regions.text!.end >> 2);
const gadgets: ReadonlyMap<string, number> = findStoreGadgets(text, ranges[0]!.start >> 2);
const gadgetOf = (form: StoreForm): number => gadgets.get(form.name)!;
const HELD: readonly StoreForm[] = STORE_FORMS.filter((form) => gadgets.has(form.name));
const named = (name: string): StoreForm => HELD.find((form) => form.name === name)!;

/** 64 bytes that no image holds. */
const DATA: Uint8Array = Uint8Array.from({ length: 64 }, (_, i) => 0x81 + i);

/** The kernel on one core of node 1, and what the test finds out. */
interface Stage {
  readonly node: NodeProcess;
  readonly kernel: CoreCpu;
  /** Executes the store at a VA; false if an abort came back. */
  store(form: StoreForm, va: number): Step<boolean>;
}

/** Runs a machine whose only writer is `body`, on node 1, which stores to 64 bytes from `watched` on; gives back what it returned. */
const onNode1 = async <Result>(
  watched: number,
  body: (stage: Stage) => Step<Result>,
  set: readonly string[] = [],
): Promise<{ judged: JudgedRun; machine: InlineMachine; result: Result }> => {
  let result: Result | undefined;
  const { judged, machine } = await runAndKeep({
    set: [writers(), 'workload.duration=60us', 'workload.duty=0.05', ...set],
    checks: { minEvidence: 0 },
    meddle: (built) => {
      const node = built.nodes[1]!;
      // Words that no writer of the scenario stores to are not watched by the judges.
      for (let word = watched >> 2; word < (watched + 67) >> 2; word++) node.watch[word >> 2]! |= 1 << (word & 3);
      const cpu = node.cpus[0]!;
      const kernel = new CoreCpu(node, cpu);
      const store = (form: StoreForm, va: number): Step<boolean> => {
        const at = gadgetOf(form);
        return kernel.execute(at * 4, text[at]!, va, DATA);
      };
      const task = function* (): Step<void> {
        result = yield* body({ node, kernel, store });
      };
      built.startTask(1, 0, task, 5e6);
    },
  });
  return { judged, machine, result: result! };
};

/** Bytes [offset, offset + bytes) from `_text` as node `id`'s cores see them. */
const seen = ({ nodes }: InlineMachine, id: number, offset: number, bytes: number): number[] => {
  const node = nodes[id]!;
  return Array.from({ length: bytes }, (_, i) => {
    const at = offset + i;
    const pa = node.isReplicated(at) ? node.copyOf(at) : node.layout.imageIpa + at;
    const home = nodes[node.homeOf(pa)]!;
    return (home.memory.load32(pa - (pa % 4)) >>> (8 * (pa % 4))) & 255;
  });
};

/** The same before anything was stored. What is behind the range is not modelled: it reads as zero. */
const imageBytes = (offset: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => {
    const at = offset + i;
    return at < ranges.at(-1)!.end ? (image.words[at >> 2]! >>> (8 * (at & 3))) & 255 : 0;
  });

/** In the second page of the first replicated stretch, 64-byte aligned: nothing in it runs the store. */
const PLACE = ranges[0]!.start + PAGE + 1024;

describe('a store of form', () => {
  it('whatever is in the built-in kernel, with and without a syndrome', () => {
    expect(HELD.filter(({ isv }) => isv).map(({ name }) => name)).toEqual(['str b', 'str h', 'str w', 'str x']);
    const kinds = [/ post$/, / pre$/, /^stp/, /^stl?xr/, /^cas/, /^swp/, /^ld(add|set)/, /^dc zva$/];
    for (const kind of kinds)
      expect(
        HELD.some(({ name }) => kind.test(name)),
        String(kind),
      ).toBe(true);
  });

  it.each(HELD.map((form) => [form.name, form] as const))('%s is performed on every copy', async (name, form) => {
    const { judged, machine, result } = await onNode1(PLACE, ({ kernel, store }) =>
      store(form, kernel.linearAlias(PLACE)),
    );
    expect(result).toBe(true);
    expect(brokenRules(judged)).toEqual([]);
    expect(evidenceOf(judged, 'E1')).toBe(1);
    const { trapped, refused } = machine.nodes[1]!.el2;
    expect([trapped, refused]).toEqual([1, 0]);
    const [node0, node1] = [0, 1].map((id) => seen(machine, id, PLACE, 64));
    expect(node1).toEqual(node0);
    // What CAS compares with is not there, LDADD adds, LDSET sets bits; the others leave their data, or zeroes.
    const before = imageBytes(PLACE, 64);
    if (name.startsWith('cas')) expect(node0).toEqual(before);
    else expect(node0).not.toEqual(before);
    if (/^(st|swp)/.test(name)) expect(node0!.slice(0, form.bytes)).toEqual([...DATA.subarray(0, form.bytes)]);
    if (name === 'dc zva') expect(node0).toEqual(new Array(64).fill(0));
    expect(node0!.slice(form.bytes)).toEqual(before.slice(form.bytes));
  });
});

/** The first and the last byte of the replicated range, and of EL2's hole in it. */
const RANGE_START = ranges[0]!.start;
const RANGE_END = ranges.at(-1)!.end;
const HOLE = ranges.find(({ kind }) => kind === 'hole')!;

// With a syndrome, without one, with write-back, of vector registers.
const READ_ONLY = stage1Attributes({ ap: AP_EL1_RO, pxn: true, uxn: true });
const STRADDLERS = ['str x', 'str w', 'stp x', 'str x post', 'stp x pre', 'str vq'].map(named);

describe.each(STRADDLERS.map((form) => [form.name, form] as const))('%s that lies across two pages', (_, form) => {
  const half = form.bytes / 2;

  it('of the range is performed on both', async () => {
    const at = RANGE_START + 2 * PAGE - half;
    const { judged, machine, result } = await onNode1(at, ({ kernel, store }) => store(form, kernel.linearAlias(at)));
    expect([result, brokenRules(judged)]).toEqual([true, []]);
    for (const id of [0, 1]) expect(seen(machine, id, at, form.bytes)).toEqual([...DATA.subarray(0, form.bytes)]);
    for (const id of [0, 1]) expect(seen(machine, id, at - 8, 8)).toEqual(imageBytes(at - 8, 8));
  });

  // Where the other page is not the range's, no write of the order can do it all.
  it.each([
    ['the first of which is before the range', RANGE_START - half],
    ['the second of which is behind the range', RANGE_END - half],
    ['the second of which is EL2’s', HOLE.start - half],
  ])('%s is refused as a whole', async (_where, at) => {
    const { judged, machine, result } = await onNode1(at, function* ({ node, kernel, store }) {
      const done = yield* store(form, kernel.linearAlias(at));
      return [done, node.cpus[0]!.registers.pc - node.spec.kernel.linkVa];
    });
    // The PC is still that of the store, where the abort is taken.
    expect(result).toEqual([false, gadgetOf(form) * 4]);
    expect(brokenRules(judged)).toEqual([]);
    const { trapped, refused } = machine.nodes[1]!.el2;
    expect([trapped, refused]).toEqual([1, 1]);
    expect(judged.raw.hypervisor.journal).toEqual([]);
    for (const id of [0, 1]) expect(seen(machine, id, at - 8, 32)).toEqual(imageBytes(at - 8, 32));
  });

  it('the first of which is EL2’s ends at the translation fault that EL2 does not resolve', async () => {
    const at = HOLE.end - half;
    const { judged, machine, result } = await onNode1(at, ({ kernel, store }) => store(form, kernel.linearAlias(at)));
    expect([result, brokenRules(judged), judged.raw.hypervisor.journal]).toEqual([false, [], []]);
    expect(machine.nodes[1]!.el2.trapped).toBe(0);
  });

  it.each([
    ['nothing follows the alias', null, 0],
    ['another page of the text follows the alias', RANGE_START + 9 * PAGE, FIXMAP_ATTRS],
    ['the next page follows the alias, to be read only', RANGE_START + 3 * PAGE, READ_ONLY],
    ['data follow the alias', RANGE_END + PAGE, FIXMAP_ATTRS],
  ])('is not taken for one across two pages of the text where %s', async (_what, next, attrs) => {
    const page = RANGE_START + 2 * PAGE;
    const { judged, machine, result } = await onNode1(page, function* ({ node, kernel, store }) {
      yield kernel.lock('patch_lock');
      const alias = (yield kernel.setFixmap(page)) as number;
      if (next !== null) {
        const { config, fixmapEntry } = node.stage1;
        const ipa = node.layout.imageIpa + next;
        const words = [stage1LeafLo(config, ipa, 3, attrs), stage1LeafHi(config, ipa, 3, attrs)];
        yield node.coherence.store(node.cpus[0]!, fixmapEntry + 8, words, 0);
      }
      const done = yield* store(form, alias + PAGE - half);
      yield kernel.clearFixmap();
      yield kernel.unlock('patch_lock');
      return done;
    });
    expect([result, brokenRules(judged), judged.raw.hypervisor.journal]).toEqual([false, [], []]);
    expect(machine.nodes[1]!.el2.refused).toBe(1);
    for (const at of [page + PAGE, ...(next === null ? [] : [next])]) {
      for (const id of [0, 1]) expect(seen(machine, id, at - 8, 16)).toEqual(imageBytes(at - 8, 16));
    }
  });

  it('by the text’s own VA ends at stage 1, which maps it read-only', async () => {
    const at = RANGE_START + 2 * PAGE - half;
    const { judged, machine, result } = await onNode1(at, ({ kernel, store }) => store(form, kernel.imageAlias(at)));
    expect([result, brokenRules(judged), judged.raw.hypervisor.journal]).toEqual([false, [], []]);
    expect(machine.nodes[1]!.el2.trapped).toBe(0);
  });

  it('waits until stage 2 maps the kernel’s table that the other page is looked up in', async () => {
    const at = RANGE_START + 2 * PAGE - half;
    const { judged, machine, result } = await onNode1(at, function* ({ node, kernel, store }) {
      const { mmu } = node;
      const translate = mmu.addressTranslate.bind(mmu);
      let isFirst = true;
      mmu.addressTranslate = function* (cpu, va, access) {
        if (access === ACCESS_WRITE && isFirst) {
          isFirst = false;
          yield* node.maintenance.perform(cpu, node.host!.editor.unmap(node.stage1.config.rootPa, PAGE));
        }
        return yield* translate(cpu, va, access);
      };
      const before = node.el2.lazyFaults;
      const done = yield* store(form, kernel.linearAlias(at));
      return [done, isFirst, node.el2.lazyFaults - before];
    });
    expect([result, brokenRules(judged)]).toEqual([[true, false, 1], []]);
    const { trapped, refused } = machine.nodes[1]!.el2;
    expect([trapped, refused]).toEqual([1, 0]);
  });
});
