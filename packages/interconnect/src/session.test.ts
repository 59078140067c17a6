import { type Instant, NEVER, Random } from '@numalab/base';
import { describe, expect, it } from 'vitest';
import { flipBit } from './checksum.ts';
import { type Frame, SESSION_WINDOW, Session } from './session.ts';

const TIMES = { retransmitTicks: 1000, acknowledgeTicks: 200, checksums: true };
const LATENCY = 10;

/** What the wire does to a frame: when copies of it arrive after the usual latency, and as what. */
type Wire = (frame: Frame, at: number) => readonly { readonly delay: number; readonly frame: Frame }[];

const sound: Wire = (frame) => [{ delay: 0, frame }];

/** Two sessions, a wire between them, and a clock. */
class Rig {
  readonly got: [unknown[], unknown[]] = [[], []];
  readonly restarts: [number[], number[]] = [[], []];
  readonly sessions: [Session, Session];
  room = true;
  now = 0;
  private readonly events: { at: number; order: number; run: () => void }[] = [];
  private order = 0;

  constructor(wire: Wire) {
    const side = (me: 0 | 1): Session => {
      let wake = NEVER as number;
      const port = {
        transmit: (frame: Frame, at: Instant) => {
          for (const copy of wire(frame, at)) {
            this.at(at + LATENCY + copy.delay, () => this.sessions[me === 0 ? 1 : 0].receive(copy.frame, this.time));
          }
        },
        deliver: (_kind: number, _a: number, _b: number, body: unknown) => {
          if (this.room) this.got[me].push(body);
          return this.room;
        },
        wakeAt: (at: Instant) => {
          if (at >= wake) return;
          wake = at;
          this.at(at, () => {
            if (wake !== this.now) return;
            wake = NEVER;
            session.timeout(this.time);
          });
        },
        restarted: (epoch: number) => {
          this.restarts[me].push(epoch);
        },
      };
      const session = new Session(port, TIMES);
      return session;
    };
    this.sessions = [side(0), side(1)];
  }

  get time(): Instant {
    return this.now as Instant;
  }

  at(at: number, run: () => void): void {
    this.events.push({ at, order: this.order++, run });
  }

  /** Until nothing is left to happen, or `limit`. */
  run(limit = 1e9): void {
    for (;;) {
      this.events.sort((x, y) => x.at - y.at || x.order - y.order);
      const next = this.events[0];
      if (next === undefined || next.at > limit) return;
      this.events.shift();
      this.now = next.at;
      next.run();
    }
  }
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

const sendAll = (rig: Rig, from: 0 | 1, count: number, gap: number): void => {
  for (const i of numbers(count)) rig.at(i * gap, () => rig.sessions[from].send(7, 0, 0, { value: i }, rig.time));
};

const values = (bodies: readonly unknown[]): number[] => bodies.map((body) => (body as { value: number }).value);

/** Loses, repeats, holds up and damages frames by chance, until `heals`. */
const hostile = (seed: number, heals: number): Wire => {
  const random = new Random(seed, 'wire');
  return (frame, at) => {
    const [lost, twice, late, damaged] = [25, 25, 30, 15].map((percent) => random.chance(percent, 100));
    const delay = random.below(3000);
    if (at >= heals) return sound(frame, at);
    const seen = damaged ? (flipBit(frame, random) as Frame) : frame;
    const first = lost ? [] : [{ delay: late ? delay : 0, frame: seen }];
    return twice ? [...first, { delay: delay * 2, frame }] : first;
  };
};

describe('a session', () => {
  it.each(numbers(40))('delivers once and in order over a hostile wire, seed %i', (seed) => {
    const rig = new Rig(hostile(seed, 60_000));
    sendAll(rig, 0, 60, 150);
    sendAll(rig, 1, 60, 170);
    rig.run();
    expect(values(rig.got[1])).toEqual(numbers(60));
    expect(values(rig.got[0])).toEqual(numbers(60));
    expect(rig.sessions[0].pending + rig.sessions[1].pending).toBe(0);
  });

  it('drops a damaged frame, whatever bit of it is damaged', () => {
    for (const seed of numbers(200)) {
      const random = new Random(seed, 'flip');
      let first = true;
      const rig = new Rig((frame) => {
        const seen = first ? (flipBit(frame, random) as Frame) : frame;
        first = false;
        return [{ delay: 0, frame: seen }];
      });
      rig.sessions[0].send(7, 1, 2, { value: 3, words: [4, 5] }, rig.time);
      rig.run();
      expect(rig.got[1]).toEqual([{ value: 3, words: [4, 5] }]);
      expect(rig.sessions[1].damaged).toBe(1);
    }
  });

  it('repairs a gap before the timer would', () => {
    let count = 0;
    const rig = new Rig((frame) => (frame.sequence === 2 && count++ === 0 ? [] : [{ delay: 0, frame }]));
    sendAll(rig, 0, 3, 1);
    rig.run(TIMES.retransmitTicks - 1);
    expect(values(rig.got[1])).toEqual([0, 1, 2]);
    expect(rig.sessions[0].retransmitted).toBe(1);
  });

  it('holds back what has no room, and what is more than its window', () => {
    const rig = new Rig(sound);
    rig.room = false;
    const count = SESSION_WINDOW + 10;
    sendAll(rig, 0, count, 0);
    rig.run(50);
    expect(rig.sessions[0].isCongested).toBe(true);
    expect(rig.got[1]).toEqual([]);
    rig.room = true;
    rig.at(60, () => rig.sessions[1].resume(rig.time));
    rig.run();
    expect(values(rig.got[1])).toEqual(numbers(count));
    expect(rig.sessions[0].isCongested).toBe(false);
  });

  it('backs off while nobody answers', () => {
    const sent: number[] = [];
    const rig = new Rig((_frame, at) => {
      sent.push(at);
      return [];
    });
    rig.sessions[0].send(7, 0, 0, null, rig.time);
    rig.run(40_000);
    expect(sent).toEqual([0, 1000, 3000, 7000, 15_000, 31_000]);
  });

  it('forgets an earlier incarnation of the other side, and none of its frames count', () => {
    // Everything that side 1 sends before its restart arrives long after it.
    const rig = new Rig((frame) => [{ delay: frame.epoch === 1 && frame.sequence > 0 ? 5000 : 0, frame }]);
    sendAll(rig, 1, 3, 1);
    rig.at(100, () => rig.sessions[1].restart(2, rig.time));
    rig.at(101, () => rig.sessions[1].send(7, 0, 0, { value: 99 }, rig.time));
    rig.run();
    expect(rig.restarts[0]).toEqual([2]);
    expect(values(rig.got[0])).toEqual([99]);
    expect(rig.sessions[0].dropped).toBeGreaterThanOrEqual(3);
  });

  it.each(numbers(20))('restarts over a hostile wire, on both sides at once, seed %i', (seed) => {
    const rig = new Rig(hostile(seed, 60_000));
    sendAll(rig, 0, 20, 150);
    sendAll(rig, 1, 20, 150);
    rig.at(1000, () => rig.sessions[0].restart(2, rig.time));
    rig.at(1000 + seed * 40, () => rig.sessions[1].restart(2, rig.time));
    rig.at(100_000, () => {
      rig.got[0].length = 0;
      rig.got[1].length = 0;
    });
    for (const i of numbers(5)) {
      rig.at(100_001 + i, () => {
        for (const session of rig.sessions) session.send(7, 0, 0, { value: i }, rig.time);
      });
    }
    rig.run();
    expect(values(rig.got[0])).toEqual(numbers(5));
    expect(values(rig.got[1])).toEqual(numbers(5));
  });

  it('sends nothing to a side that is gone until it is back', () => {
    const rig = new Rig(sound);
    rig.sessions[0].close();
    rig.sessions[0].send(7, 0, 0, { value: 1 }, rig.time);
    rig.run();
    expect(rig.got[1]).toEqual([]);
    rig.at(10, () => rig.sessions[1].restart(2, rig.time));
    rig.at(100, () => rig.sessions[0].send(7, 0, 0, { value: 2 }, rig.time));
    rig.run();
    expect(values(rig.got[1])).toEqual([2]);
  });
});
