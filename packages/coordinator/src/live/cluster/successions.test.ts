import { expect, it } from 'vitest';
import { Successions } from './successions.ts';

/** What is done about places, as it is done. */
const record = (): { done: string[]; successions: Successions } => {
  const done: string[] = [];
  const step = (name: string) => (place: number) => {
    done.push(`${name} ${place}`);
  };
  const steps = { start: step('start'), connect: step('connect'), kill: step('kill'), giveUp: step('give up') };
  return { done, successions: new Successions(steps) };
};

it('a successor connects when it listens and nothing is left of its predecessor', () => {
  const { done, successions } = record();
  successions.lost(1, [0, 2]);
  successions.buried(1, 0);
  successions.listening(1);
  expect([successions.isUnknown(1), done]).toEqual([true, ['start 1']]);
  successions.buried(1, 2);
  expect([successions.isUnknown(1), done]).toEqual([false, ['start 1', 'connect 1']]);
  expect([successions.settled(2), successions.settled(1), successions.isUnderWay]).toEqual([false, true, false]);
});

it('places are taken one after the other, and who is lost too is not waited for', () => {
  const { done, successions } = record();
  successions.lost(1, [0, 2]);
  successions.lost(2, [0]);
  successions.buried(1, 0);
  successions.buried(2, 0);
  successions.listening(1);
  expect(done).toEqual(['start 1', 'connect 1']);
  successions.settled(1);
  successions.listening(2);
  expect(done).toEqual(['start 1', 'connect 1', 'start 2', 'connect 2']);
});

it('a place has three successors, and no more', () => {
  const { done, successions } = record();
  successions.lost(1, []);
  // Of these nobody knew.
  for (let i = 0; i < 3; i++) successions.lost(1, null);
  expect(done).toEqual(['start 1', 'start 1', 'start 1', 'give up 1']);
  expect(successions.isUnderWay).toBe(false);
});

it('none begins after the end', () => {
  const { done, successions } = record();
  successions.lost(1, []);
  successions.lost(2, []);
  successions.close();
  successions.lost(3, []);
  successions.lost(1, null);
  expect(done).toEqual(['start 1', 'give up 2', 'give up 3', 'give up 1']);
});
