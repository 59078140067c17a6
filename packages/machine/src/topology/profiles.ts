import type { ByClass, CacheProfile, CoreTimes, Figure, LatencyProfile } from './profile.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

const CORE_TO_CORE = 'nviennot/core-to-core-latency README, median of CAS ping-pong';
const MLC = 'Intel MLC, idle, published for several 2-socket Xeons';
const ASSUMED = 'assumed';
const RECALLED = 'recalled figure, unconfirmed';
const KVM_UNIT_TESTS =
  'assumed: 150 ns, scaled by the hvc time of kvm-unit-tests micro-bench (list mail of 1 Nov 2023)';

/** Bandwidth of a link where nothing is published: no bound inside a node. */
const bandwidth = (sameSocket: number, otherSocket: number, source: string = ASSUMED): ByClass => ({
  local: [0, 'inside a node only the caches bound it'],
  sameSocket: [[1000, sameSocket, source]],
  otherSocket: [[1000, otherSocket, source]],
});

const GENERIC_CORE: CoreTimes = {
  cyclePs: [400, 'assumed: 2.5 GHz'],
  l2Ps: [5_000, 'assumed: about 12 cycles'],
  llcPs: [25_000, 'assumed: about 60 cycles'],
  trapPs: [150_000, 'assumed: a bare EL1-EL2-EL1 round trip is in the low hundreds of cycles (Xen on X-Gene: 376)'],
  atPs: [30_000, ASSUMED],
  emulatePs: [20_000, ASSUMED],
  handlePs: [50_000, ASSUMED],
  storePs: [2_000, ASSUMED],
  dcCvauPs: [40_000, 'assumed: store + DC CVAU + IC IVAU on a local replica take about 100 ns'],
  icIvauPs: [58_000, 'assumed: store + DC CVAU + IC IVAU on a local replica take about 100 ns'],
  isbPs: [10_000, 'assumed: about 25 cycles'],
  ipiPs: [500_000, 'native SGI on server arm64: 0.5 to 2 us, recalled, unconfirmed'],
  ipiHandlePs: [300_000, ASSUMED],
  tlbiPs: [20_000, ASSUMED],
  dsbPs: [20_000, ASSUMED],
  dsbPerCpuPs: [5_000, 'assumed: DSB ISH takes 200 to 1000 ns, growing with the number of PEs'],
};

const GENERIC_CACHES: CacheProfile = {
  l1i: { bytes: 64 * KIB, ways: 4, source: ASSUMED },
  l2: { bytes: MIB, ways: 8, source: ASSUMED },
  llc: { bytes: 16 * MIB, ways: 16, source: ASSUMED, sharedBy: 'node' },
  tlbEntries: [1024, ASSUMED],
  walkCacheEntries: [64, ASSUMED],
};

const GENERIC: LatencyProfile = {
  name: 'generic',
  description: 'a middle-of-the-road server of no particular make',
  dram: {
    local: [90_000, 'assumed, between the published Xeon and EPYC figures'],
    sameSocket: [[1000, 120_000, ASSUMED]],
    otherSocket: [
      [1000, 170_000, ASSUMED],
      [1500, 230_000, ASSUMED],
      [2500, 350_000, ASSUMED],
    ],
  },
  line: {
    local: [50_000, `${CORE_TO_CORE}: one-socket machines lie at 44 to 51 ns`],
    sameSocket: [[1000, 70_000, ASSUMED]],
    otherSocket: [
      [1000, 130_000, `${CORE_TO_CORE}: across sockets 108 to 197 ns`],
      [1500, 180_000, ASSUMED],
      [2500, 280_000, ASSUMED],
    ],
  },
  bandwidth: bandwidth(60, 30),
  core: GENERIC_CORE,
  caches: GENERIC_CACHES,
};

const KUNPENG: LatencyProfile = {
  name: 'kunpeng',
  description: 'Huawei Kunpeng 920 (TaiShan V110)',
  dram: {
    local: [90_000, `assumed; ${RECALLED}: about 100 ns`],
    sameSocket: [[1000, 120_000, `${RECALLED}: 120 to 150 ns`]],
    otherSocket: [
      [1000, 220_000, `${RECALLED}: 200 to 260 ns`],
      [1200, 260_000, `${RECALLED}: 200 to 260 ns`],
    ],
  },
  line: {
    local: [50_000, `assumed, below the 72 ns of the whole socket`],
    sameSocket: [[1000, 72_000, `${CORE_TO_CORE}: Kunpeng 920-6426, one socket`]],
    otherSocket: [
      [1000, 180_000, 'assumed: 2.5 times one socket (published ratios: 2.1 to 3.6)'],
      [1200, 205_000, 'assumed: and two more hops between dies'],
    ],
  },
  bandwidth: bandwidth(60, 30),
  core: {
    ...GENERIC_CORE,
    cyclePs: [385, '2.6 GHz, data sheet'],
    trapPs: [150_000, 'assumed (a guest hvc takes 408 ns, kvm-unit-tests micro-bench, with a world switch on top)'],
    ipiPs: [600_000, 'assumed (a virtual IPI round trip takes 1697 ns, kvm-unit-tests micro-bench)'],
  },
  caches: {
    l1i: { bytes: 64 * KIB, ways: 4, source: 'data sheet (size); ways assumed' },
    l2: { bytes: 512 * KIB, ways: 8, source: 'data sheet (size); ways assumed' },
    llc: {
      bytes: 32 * MIB,
      ways: 16,
      source: 'data sheet: 1 MiB per core, shared by a die; ways assumed',
      sharedBy: 'node',
    },
    tlbEntries: [1024, ASSUMED],
    walkCacheEntries: [64, ASSUMED],
  },
};

const EPYC: LatencyProfile = {
  name: 'epyc',
  description: 'AMD EPYC 7002 (Rome), several nodes per socket',
  dram: {
    local: [113_000, 'EPYC 7742 NPS4, full random over 128 MiB, AnandTech 14694'],
    sameSocket: [[1000, 125_000, 'EPYC 7742 NPS1 mean of 122 ns (AnandTech 14694), of which a quarter is local']],
    otherSocket: [[1000, 200_000, 'across sockets it measures 1.5 to 2 times local, where the firmware declares 3.2']],
  },
  line: {
    local: [23_000, `${CORE_TO_CORE}: EPYC 7R13 inside a CCX`],
    sameSocket: [[1000, 107_000, `${CORE_TO_CORE}: EPYC 7R13 across CCX`]],
    otherSocket: [[1000, 197_000, `${CORE_TO_CORE}: EPYC 7R13 across sockets`]],
  },
  bandwidth: bandwidth(50, 40),
  core: { ...GENERIC_CORE, cyclePs: [300, 'assumed: 3.3 GHz'], llcPs: [12_000, 'assumed: about 39 cycles'] },
  caches: {
    l1i: { bytes: 32 * KIB, ways: 8, source: 'AMD optimisation guide, family 17h model 31h' },
    l2: { bytes: 512 * KIB, ways: 8, source: 'AMD optimisation guide, family 17h model 31h' },
    llc: { bytes: 16 * MIB, ways: 16, source: '16 MiB per CCX; a node is taken for one CCX', sharedBy: 'node' },
    tlbEntries: [2048, 'AMD optimisation guide: second-level data TLB (the one for code has 1024)'],
    walkCacheEntries: [64, ASSUMED],
  },
};

const XEON: LatencyProfile = {
  name: 'xeon',
  description: 'Intel Xeon Scalable',
  dram: {
    local: [81_300, MLC],
    sameSocket: [[1000, 90_000, 'assumed: sub-NUMA clusters']],
    otherSocket: [
      [1000, 131_100, MLC],
      [1476, 200_000, 'assumed: two links (31 against 21)'],
      [1952, 280_000, 'assumed: through a node controller to another box (41 against 21)'],
      [2429, 330_000, 'assumed: and one link more (51 against 21)'],
    ],
  },
  line: {
    local: [48_000, `${CORE_TO_CORE}: Gold 6242`],
    sameSocket: [[1000, 51_000, `${CORE_TO_CORE}: 8375C, whole socket`]],
    otherSocket: [
      [1000, 136_000, `${CORE_TO_CORE}: Gold 6242 across sockets`],
      [1476, 200_000, 'assumed: two links'],
      [1952, 280_000, 'assumed: another box'],
      [2429, 340_000, 'assumed: another box and one link more'],
    ],
  },
  bandwidth: bandwidth(60, 20, 'assumed: a UPI link carries about 20 GB/s each way'),
  core: { ...GENERIC_CORE, cyclePs: [357, 'assumed: 2.8 GHz'], llcPs: [20_000, 'assumed: about 55 cycles'] },
  caches: {
    l1i: { bytes: 32 * KIB, ways: 8, source: 'Intel optimisation manual, Skylake server' },
    l2: { bytes: MIB, ways: 16, source: 'Intel optimisation manual, Skylake server' },
    llc: {
      bytes: 32 * MIB,
      ways: 16,
      source: '1.375 MiB and 11 ways per core slice, rounded for 22 to 28 cores',
      sharedBy: 'socket',
    },
    tlbEntries: [1536, 'Intel optimisation manual, Skylake server: second-level TLB'],
    walkCacheEntries: [64, ASSUMED],
  },
};

const ALTRA: LatencyProfile = {
  name: 'altra',
  description: 'Ampere Altra (Neoverse N1)',
  dram: {
    local: [95_000, `${RECALLED}: 90 to 100 ns`],
    sameSocket: [[1000, 110_000, ASSUMED]],
    otherSocket: [[1000, 200_000, ASSUMED]],
  },
  line: {
    local: [47_000, `${CORE_TO_CORE}: Graviton2, the same core`],
    sameSocket: [[1000, 60_000, ASSUMED]],
    otherSocket: [[1000, 350_000, `${RECALLED}: core to core across sockets at first silicon`]],
  },
  bandwidth: bandwidth(60, 30),
  core: { ...GENERIC_CORE, cyclePs: [333, '3.0 GHz, data sheet'], llcPs: [30_000, ASSUMED] },
  caches: {
    l1i: { bytes: 64 * KIB, ways: 4, source: 'Neoverse N1 technical reference manual' },
    l2: { bytes: MIB, ways: 8, source: 'Neoverse N1 technical reference manual' },
    llc: { bytes: 32 * MIB, ways: 16, source: 'data sheet (size); ways assumed', sharedBy: 'socket' },
    tlbEntries: [1280, 'Neoverse N1 technical reference manual: L2 TLB'],
    walkCacheEntries: [64, ASSUMED],
  },
};

const slower = (figure: Figure, numerator: number, denominator: number): Figure => [
  Math.round((figure[0] * numerator) / denominator),
  KVM_UNIT_TESTS,
];

const PHYTIUM: LatencyProfile = {
  name: 'phytium',
  description: 'Phytium S2500 class: 8 small nodes per socket',
  dram: {
    local: [110_000, ASSUMED],
    sameSocket: [
      [1000, 150_000, ASSUMED],
      [2500, 260_000, ASSUMED],
    ],
    otherSocket: [[1000, 420_000, ASSUMED]],
  },
  line: {
    local: [70_000, ASSUMED],
    sameSocket: [
      [1000, 110_000, ASSUMED],
      [2500, 220_000, ASSUMED],
    ],
    otherSocket: [[1000, 400_000, ASSUMED]],
  },
  bandwidth: bandwidth(20, 10),
  core: {
    ...GENERIC_CORE,
    cyclePs: [455, '2.2 GHz, data sheet'],
    trapPs: slower(GENERIC_CORE.trapPs, 1536, 408),
    ipiPs: slower([600_000, ''], 4979, 1697),
  },
  caches: {
    l1i: { bytes: 32 * KIB, ways: 4, source: ASSUMED },
    l2: { bytes: 512 * KIB, ways: 16, source: 'assumed: 2 MiB shared by 4 cores' },
    llc: { bytes: 8 * MIB, ways: 16, source: 'assumed: 64 MiB per socket over 8 nodes', sharedBy: 'node' },
    tlbEntries: [1024, ASSUMED],
    walkCacheEntries: [64, ASSUMED],
  },
};

const NOTHING: ByClass = {
  local: [0, 'by definition'],
  sameSocket: [[1000, 0, 'by definition']],
  otherSocket: [[1000, 0, 'by definition']],
};

/** Every latency profile. `zero` has links without latency; only `live` can run on it. */
export const LATENCY_PROFILES: readonly LatencyProfile[] = [
  KUNPENG,
  EPYC,
  XEON,
  ALTRA,
  PHYTIUM,
  GENERIC,
  {
    ...GENERIC,
    name: 'zero',
    description: 'links without latency (live only)',
    dram: NOTHING,
    line: NOTHING,
    bandwidth: NOTHING,
  },
];

/** The profile called `name`, or undefined. */
export const latencyProfile = (name: string): LatencyProfile | undefined =>
  LATENCY_PROFILES.find((profile) => profile.name === name);
