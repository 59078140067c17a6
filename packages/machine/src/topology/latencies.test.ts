import { InputError } from '@numalab/base';
import { describe, expect, it } from 'vitest';
import { BUILTIN_TOPOLOGIES, builtinTopology } from './builtin.ts';
import { JITTER_TABLE, jitterPs } from './jitter.ts';
import { Latencies } from './latencies.ts';
import { LATENCY_PROFILES, latencyProfile } from './profiles.ts';
import { topologyFromMatrix } from './topology.ts';

const latencies = (topology: string, profile: string): Latencies =>
  new Latencies(builtinTopology(topology)!, latencyProfile(profile)!);

describe('latencies', () => {
  it('are whole picoseconds, above zero, for every machine with every real profile', () => {
    for (const topology of BUILTIN_TOPOLOGIES) {
      for (const profile of LATENCY_PROFILES) {
        if (profile.name === 'zero') continue;
        const all = new Latencies(topology, profile);
        const least = all.minLinkPs();
        expect(least).toBeGreaterThan(0);
        for (let i = 0; i < all.nodes; i++) {
          for (let j = 0; j < all.nodes; j++) {
            for (const ps of [all.dramPs(i, j), all.linePs(i, j), all.ipiPs(i, j)]) {
              expect(Number.isInteger(ps) && ps >= least).toBe(true);
            }
            expect(all.requestPs(i, j) + all.responsePs(i, j)).toBe(all.dramPs(i, j));
            if (i !== j) expect(all.dramPs(i, j)).toBeGreaterThan(all.dramPs(i, i));
          }
        }
      }
    }
  });

  it('never fall when the distance grows', () => {
    for (const { name, distances, profile } of BUILTIN_TOPOLOGIES) {
      const all = latencies(name, profile);
      for (let i = 0; i < all.nodes; i++) {
        for (let j = 0; j < all.nodes; j++) {
          for (let k = 0; k < all.nodes; k++) {
            if (all.classOf(i, j) !== all.classOf(i, k) || distances[i]![j]! > distances[i]![k]!) continue;
            expect(all.dramPs(i, j)).toBeLessThanOrEqual(all.dramPs(i, k));
            expect(all.linePs(i, j)).toBeLessThanOrEqual(all.linePs(i, k));
          }
        }
      }
    }
  });

  it('are the measured ones where there are any, and not the firmware’s ratio', () => {
    const kunpeng = latencies('kunpeng920', 'kunpeng');
    expect(kunpeng.dramPs(0, 0)).toBe(90_000);
    expect(kunpeng.dramPs(0, 2)).toBe(220_000);
    expect(kunpeng.dramPs(0, 3)).toBe(240_000);
    expect(kunpeng.linePs(0, 1)).toBe(72_000);
    const epyc = latencies('epyc-nps4', 'epyc');
    expect(epyc.dramPs(0, 4) / epyc.dramPs(0, 0)).toBeLessThan(2);
    expect(epyc.topology.distances[0]![4]! / 10).toBe(3.2);
  });

  it('tell the classes apart', () => {
    const kunpeng = latencies('kunpeng920', 'kunpeng');
    expect([0, 1, 2, 3].map((node) => kunpeng.classOf(0, node))).toEqual([
      'local',
      'same-socket',
      'other-socket',
      'more-hops',
    ]);
  });

  it('stay constant beyond the last measured point', () => {
    const far = topologyFromMatrix(
      [
        [10, 20, 254],
        [20, 10, 200],
        [254, 200, 10],
      ],
      'far',
    );
    const all = new Latencies(far, latencyProfile('kunpeng')!);
    expect(all.dramPs(0, 2)).toBe(260_000);
    expect(all.dramPs(1, 2)).toBe(260_000);
  });

  it('keep the direction of an asymmetric machine', () => {
    const all = new Latencies(
      topologyFromMatrix(
        [
          [10, 20],
          [24, 10],
        ],
        'a',
      ),
      latencyProfile('kunpeng')!,
    );
    expect([all.dramPs(0, 1), all.dramPs(1, 0)]).toEqual([220_000, 260_000]);
  });

  it('of links without latency are refused', () => {
    expect(() => latencies('kunpeng920', 'zero').minLinkPs()).toThrow(InputError);
  });

  it('of a machine with one node have a smallest link: the one inside it', () => {
    const all = new Latencies(builtinTopology('kunpeng920', 1)!, latencyProfile('kunpeng')!);
    expect(all.minLinkPs()).toBe(50_000);
  });

  it('grow with the bytes carried, rounded up', () => {
    const kunpeng = latencies('kunpeng920', 'kunpeng');
    expect(kunpeng.transferPs(0, 0, 64)).toBe(0);
    expect(kunpeng.transferPs(0, 2, 64)).toBe(Math.ceil(64_000 / 30));
    expect(kunpeng.transferPs(0, 2, 0)).toBe(0);
  });

  it('have a source for every figure', () => {
    for (const profile of LATENCY_PROFILES) {
      for (const [value, source] of Object.values(profile.core)) {
        expect(Number.isInteger(value) && value > 0).toBe(true);
        expect(source).not.toBe('');
      }
      for (const cache of [profile.caches.l1i, profile.caches.l2, profile.caches.llc])
        expect(cache.source).not.toBe('');
    }
  });
});

describe('jitter', () => {
  /** The error function's inverse is no part of JavaScript, so the normal quantile is found by bisection of a sum. */
  const normalQuantile = (p: number): number => {
    const step = 1 / 4096;
    let area = 0.5;
    let z = 0;
    while (area < p) {
      const middle = z + step / 2;
      area += (Math.exp((-middle * middle) / 2) / Math.sqrt(2 * Math.PI)) * step;
      z += step;
    }
    return z;
  };

  it('is the upper half of a log-normal distribution with sigma 0.2', () => {
    for (let index = 128; index < 256; index++) {
      const exact = (Math.exp(0.2 * normalQuantile((index + 0.5) / 256)) - 1) * 1024;
      expect(Math.abs(JITTER_TABLE[index]! - exact)).toBeLessThan(1.2);
    }
    expect(JITTER_TABLE.subarray(0, 128).every((value) => value === 0)).toBe(true);
    expect(JITTER_TABLE).toHaveLength(256);
  });

  it('only adds, grows with the draw, and can be switched off', () => {
    let previous = 0;
    for (let draw = 0; draw < 256; draw++) {
      const ps = jitterPs(220_000, draw);
      expect(Number.isInteger(ps) && ps >= previous).toBe(true);
      expect(jitterPs(220_000, draw, 0)).toBe(0);
      previous = ps;
    }
    expect(previous).toBe(Math.floor((220_000 * 800) / 1024));
  });
});
