import {
  ACCESS_EXECUTE,
  ACCESS_WRITE,
  checkStage1,
  Stage1Walk,
  WALK_CONTINUE,
  type WordMemory,
} from '@numalab/machine';
import { describe, expect, it } from 'vitest';
import { FIXMAP_TEXT_POKE, layOut, linearVa, type MachineLayout } from './layout.ts';
import type { MachineSpec } from './spec.ts';
import { buildStage1, type Stage1Map } from './stage1-map.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const LINK_VA = 0xf_8000_8000_0000;

const specWith = (change: Partial<MachineSpec>, pageBytes: number): MachineSpec =>
  ({
    nodes: 3,
    memoryPerNode: GIB,
    base: GIB,
    granule: '4K',
    strategy: 'stage1',
    writers: [],
    kernel: {
      words: new Uint32Array(0),
      imageBytes: 9 * MIB,
      pageBytes,
      linkVa: LINK_VA,
      text: { start: 0x1_0000, end: 5 * MIB },
      ranges: [{ start: 0x1_0000, end: 7 * MIB + 0x1_0000, kind: 'replica' }],
    },
    ...change,
  }) as unknown as MachineSpec;

/** All nodes' memories in one, zero where nothing was stored. */
class OneMemory implements WordMemory {
  readonly words: Map<number, number> = new Map();
  contains(): boolean {
    return true;
  }
  load32(pa: number): number {
    return this.words.get(pa) ?? 0;
  }
  store32(pa: number, value: number): void {
    this.words.set(pa, value >>> 0);
  }
}

interface Built {
  readonly layout: MachineLayout;
  readonly maps: readonly Stage1Map[];
  readonly walk: Stage1Walk;
  readonly reads: number[];
  readonly translate: (node: number, va: number) => number;
}

const buildAll = (spec: MachineSpec): Built => {
  const memory = new OneMemory();
  const layout = layOut(spec);
  const maps = Array.from({ length: spec.nodes }, (_, node) => buildStage1(spec, layout, node, memory));
  const walk = new Stage1Walk();
  const reads: number[] = [];
  /** PA that `va` leads to by a node's tables, or -1; `reads` holds the PAs of the descriptors. */
  const translate = (node: number, va: number): number => {
    reads.length = 0;
    let status = walk.begin(maps[node]!.config, va);
    while (status === WALK_CONTINUE) {
      const pa = walk.descriptorIpa;
      reads.push(pa);
      status = walk.feed(memory.load32(pa), memory.load32(pa + 4));
    }
    return status === 0 ? walk.ipa : -1;
  };
  return { layout, maps, walk, reads, translate };
};

const homeOf = (spec: MachineSpec, pa: number): number => Math.floor((pa - spec.base) / spec.memoryPerNode);

describe.each([4096, 16384, 65536])('with pages of %i bytes', (pageBytes) => {
  const spec = specWith({}, pageBytes);
  const { layout, maps, walk, reads, translate } = buildAll(spec);

  it('each node translates text to its own copy by tables in its own memory', () => {
    for (let node = 0; node < 3; node++) {
      for (const offset of [0x1_0000, 2 * MIB + 0x4444, 5 * MIB - 4, 5 * MIB, 7 * MIB]) {
        expect(translate(node, LINK_VA + offset)).toBe(layout.copyPa[node]! + offset - layout.spanStart);
        expect(new Set(reads.map((pa) => homeOf(spec, pa)))).toEqual(new Set([node]));
      }
    }
  });

  it('text is executable and not writable, whoever maps it', () => {
    for (let node = 0; node < 3; node++) {
      translate(node, LINK_VA + 3 * MIB);
      expect([checkStage1(walk, ACCESS_EXECUTE) === 0, checkStage1(walk, ACCESS_WRITE) === 0]).toEqual([true, false]);
    }
  });

  it('data behind the constants are one for all nodes', () => {
    const offset = 8 * MIB + 8;
    for (let node = 0; node < 3; node++) expect(translate(node, LINK_VA + offset)).toBe(layout.imageIpa + offset);
  });

  it('the linear map reaches every copy from every node', () => {
    for (let node = 0; node < 3; node++) {
      for (const copy of layout.copyPa) expect(translate(node, linearVa(spec, copy + 12))).toBe(copy + 12);
    }
  });

  it('the fixmap has one entry, whichever tables lead to it', () => {
    expect(new Set(maps.map(({ fixmapEntry }) => fixmapEntry)).size).toBe(1);
    for (let node = 0; node < 3; node++) {
      expect(translate(node, FIXMAP_TEXT_POKE)).toBe(-1);
      expect(reads.at(-1)).toBe(maps[0]!.fixmapEntry);
    }
  });
});

describe('copies further apart than a root entry reaches', () => {
  it('are reached by the linear map all the same', () => {
    const spec = specWith({ memoryPerNode: 300 * GIB }, 4096);
    const { layout, translate } = buildAll(spec);
    for (const copy of layout.copyPa) expect(translate(1, linearVa(spec, copy))).toBe(copy);
  });
});

describe('without replication by the kernel', () => {
  it('all nodes use the tables on node 0', () => {
    const { maps, layout, translate } = buildAll(specWith({ strategy: 'stage2' }, 4096));
    expect(new Set(maps.map(({ config }) => config.rootPa)).size).toBe(1);
    expect(translate(2, LINK_VA + MIB)).toBe(layout.imageIpa + MIB);
  });
});
