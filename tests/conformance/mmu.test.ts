/** MMU and caches of a core on a whole machine: what is cached, how large it is, and who drops it when. */
import type { Step } from '@numalab/base';
import { buildSpec, type InlineMachine, type JudgedRun, loadScenario } from '@numalab/coordinator';
import { IC_IVAU, TLBI_IPAS2E1IS, TLBI_VAAE1IS, TLBI_VMALLE1IS, TLBI_VMALLS12E1IS } from '@numalab/interconnect';
import { ACCESS_READ, Stage1Walk, WALK_CONTINUE } from '@numalab/machine';
import { CoreCpu, type NodeProcess, TRY_AGAIN, type Vcpu } from '@numalab/node-worker';
import { describe, expect, it } from 'vitest';
import { brokenRules, run, writers } from './machine.ts';

const PAGE = 4096;
const { ranges } = buildSpec(loadScenario('small'), 1).spec.kernel;
/** A line of text that nobody writes to, and one far behind it. */
const PLACE = ranges[0]!.start + PAGE + 1024;
const RODATA = 3 * 2 ** 20;

/** When {@link onCore} runs its body: what cores have been told to do before it is over. */
const LATER_PS = 20e6;

/**
 * Runs `body` on core 0 of node `id` of two idle nodes. Before it, the first two cores of every node do `first`: a core can
 * only be used by a task of its own.
 */
const onCore = async (
  id: number,
  body: (cpu: Vcpu, node: NodeProcess, machine: InlineMachine) => Step<void>,
  set: readonly string[] = [],
  first: ((cpu: Vcpu, node: NodeProcess) => Step<void>) | null = null,
): Promise<JudgedRun> => {
  let isOver = false;
  const judged = await run({
    set: [writers(), 'workload.duration=60us', 'workload.duty=0', 'interconnect.jitter=0', ...set],
    checks: { minEvidence: 0 },
    meddle: (machine) => {
      for (const node of first === null ? [] : machine.nodes) {
        for (const cpu of node.cpus.slice(0, 2)) machine.startTask(node.id, cpu.core, () => first!(cpu, node), 0);
      }
      const node = machine.nodes[id]!;
      const task = function* (): Step<void> {
        yield LATER_PS;
        yield* body(node.cpus[0]!, node, machine);
        isOver = true;
      };
      machine.startTask(id, 0, task, 0);
    },
  });
  expect(isOver).toBe(true);
  return judged;
};

const imageVa = ({ spec }: NodeProcess, offset: number): number => spec.kernel.linkVa + offset;

/** Bytes of the leaves of stage 1 and of stage 2 for a VA, walked here once more without any cache. */
const leavesOf = (node: NodeProcess, { nodes }: InlineMachine, va: number): readonly [number, number] => {
  const walk = new Stage1Walk();
  let status = walk.begin(node.stage1.config, va);
  while (status === WALK_CONTINUE) {
    const pa = walk.descriptorIpa;
    const { memory } = nodes[node.homeOf(pa)]!;
    status = walk.feed(memory.load32(pa), memory.load32(pa + 4));
  }
  expect([status, node.tables!.walker.walk(walk.ipa, ACCESS_READ)]).toEqual([0, 0]);
  return [walk.leafBytes, node.tables!.walker.leafBytes];
};

describe('a TLB entry', () => {
  it('is as large as the smaller of both leaves', async () => {
    const smaller = [0, 0];
    await onCore(1, function* (cpu, node, machine) {
      const kernel = new CoreCpu(node, cpu);
      const look = function* (va: number): Step<void> {
        yield* node.mmu.access(cpu, va, ACCESS_READ);
        const [first, second] = leavesOf(node, machine, va);
        const index = cpu.tlb.lookup(va);
        expect(2 ** cpu.tlb.shift[index]!).toBe(Math.min(first, second));
        expect(2 ** cpu.translatedShift).toBe(Math.min(first, second));
        if (first < second) smaller[0]!++;
        if (second < first) smaller[1]!++;
      };
      for (const offset of [PLACE, ranges[0]!.end - PAGE, ranges[2]!.start, RODATA]) {
        yield* look(kernel.linearAlias(offset));
        yield* look(kernel.imageAlias(offset));
      }
      // The fixmap maps one page of what stage 2 maps by a block.
      yield* kernel.lock('patch_lock');
      yield* look((yield kernel.setFixmap(RODATA)) as number);
      yield* kernel.clearFixmap();
      yield* kernel.unlock('patch_lock');
    });
    // Both happened.
    expect(smaller[0]).toBeGreaterThan(0);
    expect(smaller[1]).toBeGreaterThan(0);
  });

  it('of a nested TLB leads to the IPA, and is as large as the leaf of stage 1', async () => {
    await onCore(
      1,
      function* (cpu, node, machine) {
        const va = new CoreCpu(node, cpu).linearAlias(PLACE);
        const [first, second] = leavesOf(node, machine, va);
        expect(second).toBeLessThan(first);
        yield* node.mmu.access(cpu, va, ACCESS_READ);
        const index = cpu.tlb.lookup(va);
        expect(2 ** cpu.tlb.shift[index]!).toBe(first);
        expect(cpu.tlb.to[index]! + va - cpu.tlb.from[index]!).toBe(node.layout.imageIpa + PLACE);
        expect([cpu.translatedPa, 2 ** cpu.translatedShift]).toEqual([node.copyOf(PLACE), second]);
        // The same where it hits.
        cpu.translatedShift = 0;
        expect(node.mmu.hit(cpu, va, ACCESS_READ)).toBe(true);
        expect([cpu.translatedPa, 2 ** cpu.translatedShift]).toEqual([node.copyOf(PLACE), second]);
      },
      ['machine.caches.nested=true'],
    );
  });
});

/**
 * What the first two cores of node 0, then of node 1, have cached of the translation of `offset`: combined, leaf of stage 2,
 * tables of stage 1, tables of stage 2.
 */
const cachedOf = ({ nodes }: InlineMachine, offset: number): boolean[][] =>
  nodes.flatMap((node) =>
    node.cpus.slice(0, 2).map((cpu) => {
      const [va, ipa] = [imageVa(node, offset), node.layout.imageIpa + offset];
      return [
        cpu.tlb.lookup(va) >= 0,
        cpu.stage2Leaves.lookup(ipa) >= 0,
        cpu.stage1Tables.some((tables) => tables.lookup(va) >= 0),
        cpu.stage2Tables.some((tables) => tables.lookup(ipa) >= 0),
      ];
    }),
  );

describe('a TLBI', () => {
  const [KEPT, GONE] = [true, false];
  // In other tables of stage 2, and so far apart that only the tables above them are the same.
  const PLACES = [PLACE, RODATA];
  const lookAtBoth = function* (cpu: Vcpu, node: NodeProcess): Step<void> {
    for (const offset of PLACES) yield* node.mmu.access(cpu, imageVa(node, offset), ACCESS_READ);
  };

  it.each([
    // Combined entries outlive the invalidation of stage 2 alone ([arm64 reference 7.3]).
    ['IPAS2E1IS', TLBI_IPAS2E1IS, [KEPT, GONE, KEPT, GONE], [KEPT, KEPT, KEPT, GONE]],
    ['VAAE1IS', TLBI_VAAE1IS, [GONE, KEPT, GONE, KEPT], [KEPT, KEPT, GONE, KEPT]],
    ['VMALLE1IS', TLBI_VMALLE1IS, [GONE, KEPT, GONE, KEPT], [GONE, KEPT, GONE, KEPT]],
    ['VMALLS12E1IS', TLBI_VMALLS12E1IS, [GONE, GONE, GONE, GONE], [GONE, GONE, GONE, GONE]],
  ])('%s reaches every core of every node before its DSB ends, and no more', async (_, operation, there, elsewhere) => {
    const body = function* (cpu: Vcpu, node: NodeProcess, machine: InlineMachine): Step<void> {
      const cached = (): boolean[][][] => PLACES.map((offset) => cachedOf(machine, offset));
      const all = [KEPT, KEPT, KEPT, KEPT];
      const everywhere = (what: readonly boolean[]): (readonly boolean[])[] => [what, what, what, what];
      expect(cached()).toEqual([everywhere(all), everywhere(all)]);
      const address = operation === TLBI_IPAS2E1IS ? node.layout.imageIpa + PLACE : imageVa(node, PLACE);
      yield node.maintenance.broadcast(cpu, operation, address);
      yield node.maintenance.dsb(cpu);
      expect(cached()).toEqual([everywhere(there), everywhere(elsewhere)]);
    };
    await onCore(0, body, [], lookAtBoth);
  });

  it('that comes while a walk reads a descriptor leaves nothing of the walk behind', async () => {
    await onCore(1, function* (cpu, node, machine) {
      yield* node.mmu.access(cpu, imageVa(node, RODATA), ACCESS_READ);
      node.maintenance.apply(cpu, TLBI_VMALLE1IS, 0);
      const { coherence } = node;
      const sample = coherence.word.bind(coherence);
      let reads = 0;
      // After the third read of four: the root's descriptor and the next were there before, the third was under way.
      coherence.word = (by, pa) => {
        const word = sample(by, pa);
        if (++reads === 3) node.maintenance.apply(cpu, TLBI_VMALLE1IS, 0);
        return word;
      };
      expect(yield* node.mmu.translate(cpu, imageVa(node, PLACE), ACCESS_READ)).toBe(TRY_AGAIN);
      expect(reads).toBeGreaterThanOrEqual(3);
      const [combined, , tables] = cachedOf(machine, PLACE)[2]!;
      expect([combined, tables]).toEqual([GONE, GONE]);
    });
  });

  it('that comes when a walk is over and its access has yet to be made makes it begin again', async () => {
    await onCore(1, function* (cpu, node) {
      const { mmu } = node;
      const va = imageVa(node, PLACE);
      const cost = mmu.takeCost.bind(mmu);
      mmu.takeCost = () => {
        if (cpu.tlb.lookup(va) >= 0) node.maintenance.apply(cpu, TLBI_VMALLE1IS, 0);
        return cost();
      };
      yield* mmu.access(cpu, imageVa(node, PLACE + PAGE), ACCESS_READ);
      cpu.stage2Leaves.invalidateAll();
      expect(yield* mmu.translate(cpu, va, ACCESS_READ)).toBe(TRY_AGAIN);
      expect(cpu.tlb.lookup(va)).toBe(-1);
    });
  });
});

describe('the walk cache', () => {
  it('leaves of a walk the last descriptor of stage 1 alone to be read', async () => {
    const reads: number[] = [];
    await onCore(1, function* (cpu, node) {
      const walk = function* (offset: number): Step<void> {
        const before = cpu.walkReads;
        yield* node.mmu.access(cpu, imageVa(node, offset), ACCESS_READ);
        reads.push(cpu.walkReads - before);
      };
      yield* walk(PLACE);
      yield* walk(PLACE);
      // The next page: other leaves, the same tables.
      yield* walk(PLACE + 16 * PAGE);
      cpu.tlb.invalidateAll();
      yield* walk(PLACE);
    });
    const [cold, hit, neighbour, warm] = reads;
    // Four levels of stage 1, each read through stage 2; 24 without any cache ([arm64 reference 7.2]).
    expect(cold).toBeGreaterThan(6);
    expect(cold).toBeLessThan(24);
    expect(hit).toBe(0);
    // A descriptor of stage 1 and one of stage 2.
    expect(neighbour).toBe(2);
    expect(warm).toBe(1);
  });
});

describe('instruction caches', () => {
  /** Whether core `core` of a node has the line of its own copy of PLACE. */
  const hasLine = (node: NodeProcess, core: number): boolean => node.cpus[core]!.l1i.lookup(node.copyOf(PLACE)) >= 0;

  it('are tagged by PA: maintenance by VA reaches the copy that the issuing node sees, on every core', async () => {
    const fetch = (cpu: Vcpu, node: NodeProcess): Step<void> => node.walk.fetchWord(cpu, PLACE);
    const body = function* (cpu: Vcpu, node: NodeProcess, machine: InlineMachine): Step<void> {
      const lines = (): boolean[] => machine.nodes.flatMap((other) => [hasLine(other, 0), hasLine(other, 1)]);
      expect(lines()).toEqual([true, true, true, true]);
      yield* new CoreCpu(node, cpu).cleanInvalidate(imageVa(node, PLACE), 4);
      expect(lines()).toEqual([false, false, true, true]);
      // By the PA of the other copy, as EL2 does it, it reaches that.
      yield node.maintenance.broadcast(cpu, IC_IVAU, machine.nodes[1]!.copyOf(PLACE));
      yield node.maintenance.dsb(cpu);
      expect(lines()).toEqual([false, false, false, false]);
    };
    await onCore(0, body, [], fetch);
  });

  /** The word at PLACE as core 0 fetches it. */
  const fetched = function* (node: NodeProcess): Step<number> {
    const cpu = node.cpus[0]!;
    yield* node.walk.fetchWord(cpu, PLACE);
    const line = cpu.l1i.lookup(node.copyOf(PLACE));
    return cpu.l1i.cells[line * 32 + ((node.copyOf(PLACE) % 64) >> 2) * 2]!;
  };

  it.each([
    [true, false, 'until IC IVAU', [false, false, true]],
    [false, false, 'until DC CVAU and IC IVAU', [false, false, true]],
    [true, true, 'not at all', [true, true, true]],
  ])('with IDC %s and DIC %s show an old word %s', async (idc, dic, _, isNew) => {
    const seen: boolean[] = [];
    await onCore(
      1,
      function* (cpu, node) {
        const old = yield* fetched(node);
        yield* node.coherence.storeOwnText(cpu, node.copyOf(PLACE), [old ^ 1], 1);
        const look = function* (): Step<void> {
          seen.push((yield* fetched(node)) === (old ^ 1) >>> 0);
        };
        yield* look();
        yield node.maintenance.cleanLine(cpu, node.copyOf(PLACE));
        yield node.maintenance.dsb(cpu);
        yield* look();
        if (!dic) yield node.maintenance.invalidateLine(cpu, node.copyOf(PLACE));
        yield node.maintenance.dsb(cpu);
        yield* look();
        // As it was, for the judges.
        yield* node.coherence.storeOwnText(cpu, node.copyOf(PLACE), [old], 0);
        yield* node.maintenance.cleanInvalidate(cpu, node.copyOf(PLACE), 4);
      },
      [`machine.ctr={idc: ${idc}, dic: ${dic}}`],
    );
    expect(seen).toEqual(isNew);
  });

  it('with IDC false get old words from memory until the line is cleaned or evicted', async () => {
    const seen: boolean[] = [];
    await onCore(
      1,
      function* (cpu, node) {
        const { l1i } = cpu;
        const old = yield* fetched(node);
        const look = function* (): Step<void> {
          l1i.invalidateAll();
          seen.push((yield* fetched(node)) === (old ^ 1) >>> 0);
        };
        yield* node.coherence.storeOwnText(cpu, node.copyOf(PLACE), [old ^ 1], 1);
        yield* look();
        yield node.maintenance.cleanLine(cpu, node.copyOf(PLACE));
        yield* look();
        yield* node.coherence.storeOwnText(cpu, node.copyOf(PLACE), [old], 0);
        yield* look();
        // Other lines take its place, one after the other; their words stay as they are.
        for (let i = 1; i <= 64; i++) {
          const pa = node.copyOf(PLACE + 64 * i);
          yield* node.coherence.storeOwnText(cpu, pa, [node.memory.load32(pa)], 0);
        }
        yield* look();
      },
      ['machine.ctr={idc: false, dic: false}'],
    );
    expect(seen).toEqual([false, true, true, false]);
  });
});

describe('a fetch', () => {
  it('is served by L1I, by the core’s L2, by the node’s last-level cache, by DRAM', async () => {
    const served: string[] = [];
    await onCore(1, function* (cpu, node) {
      const names = ['L1I', 'L2', 'LLC', 'local', 'remote', 'shared'];
      const fetch = function* (by: Vcpu, offset = PLACE): Step<void> {
        // One word is what was missed; others of its group come with it.
        const before = [...by.served];
        yield* node.walk.fetchWord(by, offset + 12);
        served.push(names[by.served.findIndex((count, i) => count > before[i]!)]!);
      };
      yield* fetch(cpu);
      yield* fetch(cpu);
      cpu.l1i.invalidateAll();
      yield* fetch(cpu);
      cpu.l1i.invalidateAll();
      cpu.l2.reset();
      yield* fetch(cpu);
      cpu.l1i.invalidateAll();
      cpu.l2.reset();
      node.coherence.llc.invalidate(node.copyOf(PLACE));
      yield* fetch(cpu);
      yield* fetch(cpu, ranges[2]!.start);
    });
    expect(served).toEqual(['local', 'L1I', 'L2', 'LLC', 'local', 'shared']);
  });
});

describe('what a core has fetched ahead', () => {
  it('is thrown away by ISB, by exception entry and by exception return', async () => {
    const seen: number[][] = [];
    await onCore(1, function* (cpu, node) {
      const note = (): void => {
        seen.push([cpu.current.offset, cpu.ahead.offset]);
        cpu.current.offset = PLACE;
        cpu.ahead.offset = PLACE + 16;
      };
      note();
      yield node.maintenance.isb(cpu);
      note();
      // A trap: memory that is mapped lazily. EL2 looks it up between entry and return.
      const { host, spec } = node;
      const handle = host!.handleTranslationFault.bind(host);
      host!.handleTranslationFault = (ipa) => {
        note();
        return handle(ipa);
      };
      yield* node.reach(cpu, spec.base + spec.memoryPerNode - 64 * 2 ** 20, ACCESS_READ);
      note();
    });
    const empty = [-1, -1];
    expect(seen.slice(1)).toEqual([empty, empty, empty]);
  });
});

describe('what the machine did meanwhile', () => {
  it('breaks no rule', async () => {
    const judged = await onCore(1, function* (cpu, node) {
      yield* node.mmu.access(cpu, imageVa(node, PLACE), ACCESS_READ);
    });
    expect(brokenRules(judged)).toEqual([]);
  });
});
