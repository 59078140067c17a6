import {
  allocRoot,
  drain,
  HOST_MEMORY_ATTRS,
  HOST_MMIO_ATTRS,
  HostStage2,
  makeStage2Config,
  NodeMemory,
  OWNER_HYP,
  PagePool,
  type Stage2Config,
  Stage2Editor,
  stage2Attributes,
} from '@numalab/machine';
import { describe, expect, it } from 'vitest';
import { checkTables, type TableExpectations } from './check-tables.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const BASE = 0x4000_0000;
const NODE_BYTES = 2 * GIB;
/** The primary text lies at base + 2 MiB; the second page of its last 2 MiB is EL2's. */
const TEXT = BASE + 2 * MIB;
const TEXT_BYTES = 4 * MIB;
const HOLE = TEXT + 2 * MIB + 4096;
const TEXT_ATTRS = stage2Attributes({ read: true, write: false, execute: 'el1' });
const POOL_PAGES = 512;

const nodeBase = (node: number): number => BASE + node * NODE_BYTES;
const poolBase = (node: number): number => nodeBase(node) + GIB;
const replicaBase = (node: number): number => (node === 0 ? TEXT : nodeBase(node) + 512 * MIB);

interface Built {
  expected: TableExpectations;
  editors: Stage2Editor[];
  hosts: HostStage2[];
  memories: NodeMemory[];
  configs: Stage2Config[];
  pools: PagePool[];
}

/** A whole machine as it stands after boot: text mapped, EL2's memory annotated, the rest eager or not. */
const build = (nodes: number, eager: boolean, memoryPerNode = NODE_BYTES, ipaBits = 40): Built => {
  const text = [
    { start: TEXT, end: HOLE },
    { start: HOLE + 4096, end: TEXT + TEXT_BYTES },
  ];
  const all = Array.from({ length: nodes }, (_, node) => node);
  const replicas = all
    .slice(1)
    .map((node) => ({ node, start: replicaBase(node), end: replicaBase(node) + TEXT_BYTES }));
  const donated = [
    ...all.map((node) => ({
      start: poolBase(node),
      end: poolBase(node) + POOL_PAGES * 4096,
      what: `pool of node ${node}`,
    })),
    ...replicas.map(({ start, end, node }) => ({ start, end, what: `replica of node ${node}` })),
    { start: HOLE, end: HOLE + 4096, what: 'hole' },
  ];
  const built: Built = {
    editors: [],
    hosts: [],
    memories: [],
    configs: [],
    pools: [],
    expected: { nodes: [], text, designated: [], replicas, donated },
  };
  for (const node of all) {
    const bytes = POOL_PAGES * 4096;
    const memory = new NodeMemory(poolBase(node), bytes, bytes);
    const pool = new PagePool(4096, poolBase(node), POOL_PAGES);
    const rootPa = allocRoot(pool, makeStage2Config({ granule: '4K', ipaBits, rootPa: 0 }));
    const config = makeStage2Config({ granule: '4K', ipaBits, rootPa });
    const editor = new Stage2Editor(memory, config, pool);
    const copies = text.map(({ start, end }) => ({ start, end, pa: replicaBase(node) + start - TEXT }));
    for (const { start, end, pa } of copies) drain(editor.map(start, end - start, pa, TEXT_ATTRS));
    for (const { start, end } of donated) drain(editor.annotate(start, end - start, OWNER_HYP));
    const regions = all.map((n) => ({ base: BASE + n * memoryPerNode, bytes: memoryPerNode }));
    const host = new HostStage2(editor, { regions, protectedRanges: [...text, ...donated] });
    if (eager) expect(drain(host.populate())).toBe(0);
    built.editors.push(editor);
    built.hosts.push(host);
    built.memories.push(memory);
    built.configs.push(config);
    built.pools.push(pool);
    (built.expected.designated as (typeof copies)[]).push(copies);
  }
  refresh(built);
  return built;
};

/** Takes the current pool figures and configurations into the expectations. */
const refresh = (built: Built): void => {
  (built.expected as { nodes: TableExpectations['nodes'] }).nodes = built.configs.map((config, node) => ({
    node,
    memory: built.memories[node]!,
    config,
    pools: [{ start: poolBase(node), end: poolBase(node) + POOL_PAGES * 4096 }],
    pagesUsed: built.pools[node]!.used,
  }));
};

const rules = (built: Built): string[] => {
  refresh(built);
  return [...new Set(checkTables(built.expected).map(({ id, rule, node }) => `${id} ${rule} ${node}`))];
};

const entryOf = (built: Built, node: number, ipa: number): { pa: number; lo: number; hi: number } => {
  const editor = built.editors[node]!;
  editor.getLeaf(ipa);
  return { pa: editor.leafEntryPa, lo: editor.leafLo, hi: editor.leafHi };
};

describe('the tables of all nodes', () => {
  it.each([false, true])('are good after boot, population eager %s', (eager) => {
    expect(rules(build(4, eager))).toEqual([]);
  });

  it('are good while nodes have touched different memory', () => {
    const built = build(3, false);
    drain(built.hosts[0]!.handleTranslationFault(BASE));
    drain(built.hosts[1]!.handleTranslationFault(BASE + 8 * MIB));
    drain(built.hosts[1]!.handleTranslationFault(0x0900_0000));
    drain(built.hosts[2]!.handleTranslationFault(nodeBase(2)));
    drain(built.hosts[2]!.handleTranslationFault(0x0900_0000));
    drain(built.editors[2]!.unmap(TEXT + 64 * 1024, 4096));
    expect(rules(built)).toEqual([]);
  });
});

describe('T1', () => {
  it('finds a table page that is mapped for the host', () => {
    const built = build(2, false);
    const page = built.configs[1]!.rootPa;
    drain(built.editors[0]!.map(page, 4096, page, HOST_MEMORY_ATTRS));
    expect(rules(built)).toEqual(['T1 table-page-mapped 0', 'T3 not-annotated 0']);
  });

  it('finds a table reached twice, and what then is mapped wrongly', () => {
    const built = build(2, false);
    const { config } = built.expected.nodes[0]!;
    const root = built.memories[0]!;
    const at = config.rootPa + 8 * Math.floor(BASE / GIB);
    root.store32(at + 8 * 900, root.load32(at));
    expect(rules(built)).toEqual(['T1 table-reached-twice 0']);
  });

  it('finds a table outside the pool', () => {
    const built = build(1, false);
    const strange = { ...built.expected.nodes[0]!, pools: [{ start: poolBase(0) + 4096, end: poolBase(0) + GIB }] };
    const findings = checkTables({ ...built.expected, nodes: [strange] });
    expect(findings.map(({ rule }) => rule)).toEqual(['table-outside-pool']);
  });

  it('finds a contiguous group with a stranger in it', () => {
    const built = build(1, true);
    const { pa, lo } = entryOf(built, 0, TEXT + 2 * MIB + 128 * 1024);
    built.memories[0]!.store32(pa, (lo & ~0xc0) >>> 0);
    expect(rules(built)).toEqual(['T1 contiguous-group 0']);
  });

  it('finds a break-before-make left half done', () => {
    const built = build(1, false);
    drain(built.hosts[0]!.handleTranslationFault(BASE + 64 * MIB));
    const unmapping = built.editors[0]!.map(BASE + 64 * MIB, 4096, BASE, TEXT_ATTRS);
    unmapping.next();
    expect(rules(built)).toContain('T1 left-locked 0');
  });

  it('finds reserved encodings and empty tables', () => {
    const built = build(1, false);
    const { pa } = entryOf(built, 0, TEXT + 2 * MIB + 8192);
    built.memories[0]!.store32(pa, 0x40000001);
    expect(rules(built)).toContain('T1 reserved-descriptor 0');
    const empty = build(1, false);
    const page = empty.pools[0]!.alloc();
    empty.memories[0]!.store32(empty.configs[0]!.rootPa + 8 * 700, (page | 3) >>> 0);
    expect(rules(empty)).toEqual(['T1 empty-table 0']);
  });
});

describe('T1 of the registers', () => {
  it('finds a VTCR_EL2 that no hardware takes', () => {
    const built = build(2, false);
    built.configs[1] = { ...built.configs[1]!, valid: false };
    expect(rules(built)).toContain('T1 illegal-vtcr 1');
  });

  it('finds a root that is misaligned', () => {
    const built = build(2, false);
    // 40 bits take two pages for the root, which must lie on a boundary of both.
    built.configs[1] = { ...built.configs[1]!, rootPa: built.configs[1]!.rootPa + 4096 };
    expect(rules(built)).toContain('T1 root-alignment 1');
  });
});

describe('M1', () => {
  it('finds a page that was taken and is not reachable', () => {
    const built = build(1, false);
    built.pools[0]!.alloc();
    expect(rules(built)).toEqual(['M1 pool-accounting 0']);
  });
});

describe('T2', () => {
  it('finds a writable leaf of the text', () => {
    const built = build(2, true);
    drain(built.editors[1]!.relaxPermissions(TEXT + 4096, 4096, { write: true }));
    expect(rules(built)).toEqual(['T2 text-writable 1']);
  });

  it('finds DBM in the text', () => {
    const built = build(1, true);
    const { pa, hi } = entryOf(built, 0, HOLE + 4096);
    built.memories[0]!.store32(pa + 4, (hi | (1 << 19)) >>> 0);
    expect(rules(built)).toEqual(['T2 text-dbm 0']);
  });

  it('finds the primary where the replica is designated, and accepts it once it is', () => {
    const built = build(2, true);
    drain(built.editors[1]!.map(TEXT, 4096, TEXT, TEXT_ATTRS, { rebuild: true }));
    expect(rules(built)).toEqual(['T2 wrong-copy 1']);
    const copies = built.expected.designated[1]!;
    (built.expected.designated as unknown[])[1] = [
      { start: TEXT, end: TEXT + 4096, pa: TEXT },
      { start: TEXT + 4096, end: HOLE, pa: replicaBase(1) + 4096 },
      copies[1]!,
    ];
    expect(rules(built)).toEqual([]);
  });

  it('finds a leaf where no copy is designated', () => {
    const built = build(1, false);
    (built.expected.designated as unknown[])[0] = [{ start: TEXT, end: HOLE, pa: TEXT }];
    expect(rules(built)).toEqual(['T2 not-designated 0']);
  });
});

describe('T3', () => {
  it('finds a hole that is mapped', () => {
    const built = build(2, true);
    drain(built.editors[1]!.map(HOLE, 4096, HOLE, TEXT_ATTRS));
    expect(rules(built)).toEqual(['T3 not-annotated 1']);
  });

  it('finds a replica that another node maps', () => {
    const built = build(3, true);
    drain(built.editors[2]!.map(TEXT, 4096, replicaBase(1), TEXT_ATTRS, { rebuild: true }));
    expect(rules(built)).toEqual(['T2 wrong-copy 2', 'T3 foreign-replica 2']);
  });

  it('finds a second alias of the own replica', () => {
    const built = build(2, false);
    drain(built.editors[1]!.map(0x0900_0000, 4096, replicaBase(1), TEXT_ATTRS));
    expect(rules(built)).toEqual(['T3 replica-alias 1']);
  });

  it('finds a replica that a node still maps one to one', () => {
    const built = build(2, true);
    drain(built.editors[0]!.map(replicaBase(1), 4096, replicaBase(1), HOST_MEMORY_ATTRS));
    expect(rules(built)).toEqual(['T3 not-annotated 0', 'T3 foreign-replica 0']);
  });
});

describe('T6', () => {
  it('finds a page that one node maps elsewhere', () => {
    const built = build(3, true);
    drain(built.editors[2]!.map(BASE + 64 * MIB, 4096, BASE + 65 * MIB, HOST_MEMORY_ATTRS, { rebuild: true }));
    expect(rules(built)).toEqual(['T6 nodes-disagree 2']);
  });

  it('finds a page with other rights', () => {
    const built = build(2, false);
    drain(built.editors[0]!.map(0, 2 * MIB, 0, HOST_MMIO_ATTRS));
    drain(built.editors[1]!.map(4096, 4096, 4096, HOST_MEMORY_ATTRS));
    expect(rules(built)).toEqual(['T6 nodes-disagree 1']);
  });

  it('finds CnP set while roots differ', () => {
    const built = build(2, false);
    const { rootPa } = built.configs[1]!;
    built.configs[1] = makeStage2Config({ granule: '4K', ipaBits: 40, rootPa, cnp: true });
    expect(rules(built)).toEqual(['T6 cnp 1']);
  });

  it('finds a node with a VMID of its own, and accepts one that all have', () => {
    const built = build(2, false);
    const withVmid = (node: number) =>
      makeStage2Config({ granule: '4K', ipaBits: 40, rootPa: built.configs[node]!.rootPa, vmid: 7 });
    built.configs[1] = withVmid(1);
    expect(rules(built)).toEqual(['T6 vmid 1']);
    built.configs[0] = withVmid(0);
    expect(rules(built)).toEqual([]);
  });
});

describe('checking', () => {
  it('64 nodes of 512 GiB, populated eagerly, takes seconds and not minutes', () => {
    const built = build(64, true, 512 * GIB, 46);
    const started = Date.now();
    expect(rules(built)).toEqual([]);
    // It takes 2 s alone; the machine may be loaded.
    expect(Date.now() - started).toBeLessThan(20_000);
  });
});
