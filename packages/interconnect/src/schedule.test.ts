import { describe, expect, it } from 'vitest';
import { linkDelayPs, Pauses, pausesOfCore, pausesOfEl2, type Stall, stallsOfLink } from './schedule.ts';

const stall = (part: Partial<Stall>): Stall => ({
  whom: 'cpu',
  from: 0,
  to: -1,
  core: 0,
  fromPs: 1000,
  toPs: 5000,
  slow: 0,
  ...part,
});

describe('an actor that a schedule holds up', () => {
  it('acts before its window and behind it, and not in it', () => {
    const pauses = new Pauses([stall({})]);
    expect([999, 1000, 4999, 5000].map((at) => pauses.resumeAt(at))).toEqual([999, 5000, 5000, 5000]);
    expect([0, 5000].map((at) => pauses.nextPause(at))).toEqual([1000, Infinity]);
  });

  it('waits for the end of all windows that overlap', () => {
    const pauses = new Pauses([stall({ fromPs: 4000, toPs: 9000 }), stall({})]);
    expect(pauses.resumeAt(2000)).toBe(9000);
  });

  it('that is four times slower gets a quarter of the time, and is told when it ends', () => {
    const pauses = new Pauses([stall({ fromPs: 0, toPs: 8e6, slow: 4 })]);
    let free = 0;
    for (let at = 0; at < 8e6; at += 1000) if (pauses.resumeAt(at) === at) free++;
    expect(free).toBe(2000);
    for (let at = 0; at < 8e6; at += 777) {
      const resume = pauses.resumeAt(at);
      const next = pauses.nextPause(resume);
      expect(pauses.resumeAt(next - 1)).toBe(next - 1);
      if (next < 8e6) expect(pauses.resumeAt(next)).toBeGreaterThan(next);
    }
  });

  it('is the one that the choice names', () => {
    const schedule = [stall({ from: 1, core: 2 }), stall({ whom: 'el2', from: 0 })];
    expect(pausesOfCore(schedule, 1, 2)).not.toBeNull();
    expect([pausesOfCore(schedule, 1, 1), pausesOfCore(schedule, 0, 2), pausesOfEl2(schedule, 1)]).toEqual([
      null,
      null,
      null,
    ]);
    expect(pausesOfEl2(schedule, 0)).not.toBeNull();
  });

  it('may be a link, which keeps what it has or takes a multiple of its time', () => {
    const links = stallsOfLink([stall({ whom: 'link', from: -1, to: 2 })], 0, 2)!;
    expect([500, 1500, 6000].map((at) => linkDelayPs(links, at, 100))).toEqual([0, 3500, 0]);
    expect(linkDelayPs([stall({ slow: 3 })], 1500, 100)).toBe(200);
    expect(stallsOfLink([stall({ whom: 'link', from: 0, to: 2 })], 2, 0)).toBeNull();
  });
});
