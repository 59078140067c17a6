import { describe, expect, it } from 'vitest';
import { withDeadline } from './deadline.ts';

describe('a deadline', () => {
  const late = (): Error => new Error('too late');

  it('ends a loop that never yields', () => {
    const forEver = (): void => {
      for (;;);
    };
    expect(() => withDeadline(forEver, late, 50)).toThrow('too late');
  });

  it('changes nothing of what is over in time', () => {
    expect(withDeadline(() => 7, late, 50_000)).toBe(7);
    const fails = (): never => {
      throw new RangeError('mine');
    };
    expect(() => withDeadline(fails, late, 50_000)).toThrow(RangeError);
  });
});
