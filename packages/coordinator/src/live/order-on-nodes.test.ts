import { LiveOrderPart } from '@numalab/hypervisor';
import { LiveRingReader, LiveRingWriter, liveRingBytes } from '@numalab/interconnect';
import { EmulatedStore, OPERATION_ADD } from '@numalab/machine';
import { type LiveCpu, putMessage, takeMessage, shared as word } from '@numalab/node-worker';
import { ack, type HypervisorHalf, post, type Write } from '@numalab/protocols';
import { expect, test } from 'vitest';
import { buildSpec } from '../machine/build-spec.ts';
import { loadScenario } from '../scenario/load.ts';
import { buildShared } from './live-shared.ts';

const NODES = 2;
const RING_WORDS = 2 ** 13;

interface Retired {
  readonly node: number;
  readonly core: number;
  readonly number: number;
  readonly old: readonly number[] | null;
}

/** The parts of an order without nodes: what they send lies in the rings, and answers are put there by hand. */
const makeParts = (half: () => HypervisorHalf) => {
  const { spec, watch } = buildSpec(loadScenario('small', { set: [`machine.nodes=${NODES}`] }), 1);
  const shared = buildShared(spec, watch, { scale: 0, cores: 2, recordLimit: 100, ordersOnNodes: true });
  const toNodes = new SharedArrayBuffer(NODES * liveRingBytes(RING_WORDS));
  const toParts = new SharedArrayBuffer(NODES * NODES * liveRingBytes(64));
  const at = (from: number, to: number): number => (from * NODES + to) * liveRingBytes(64);
  const each = [0, 1];
  const retired: Retired[] = [];
  let ms = 0;
  const parts = each.map(
    (node) =>
      new LiveOrderPart(shared, half(), 100, {
        node,
        now: () => ms,
        toNodes: each.map((to) => new LiveRingWriter(toNodes, to * liveRingBytes(RING_WORDS), RING_WORDS)),
        fromNodes: each.map((from) => new LiveRingReader(toParts, at(from, node), 64)),
        retired: (core, number, old) => retired.push({ node, core, number, old }),
      }),
  );
  const inboxes = each.map((node) => new LiveRingReader(toNodes, node * liveRingBytes(RING_WORDS), RING_WORDS));
  const answers = each.map((from) => each.map((to) => new LiveRingWriter(toParts, at(from, to), 64)));
  return {
    parts,
    shared,
    retired,
    pass: (by: number) => {
      ms += by;
    },
    /** What a node was told since, and by which part. */
    told: (node: number): { from: number; write: Write }[] => {
      const ring = inboxes[node]!;
      const all: { from: number; write: Write }[] = [];
      while (ring.next(0)) all.push({ from: ring.word(), write: takeMessage(ring) as Write });
      ring.release();
      return all;
    },
    answer: (from: number, to: number, body: unknown) => {
      putMessage(answers[from]![to]!, from, body, -1, 0);
      answers[from]![to]!.publish();
    },
  };
};

/** A core that waits in EL2 with a store of a word. */
const trapped = (core: number, value: number, offset = 0x4_0000, operation = 0): LiveCpu => {
  const store = new EmulatedStore();
  store.size = 4;
  store.operation = operation;
  store.pending = operation !== 0;
  const bytes = operation === 0 ? store.bytes : store.operand;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, value, true);
  return { core, trappedTick: 0, trappedOffset: offset, store } as LiveCpu;
};

test('parts give out one order, tell every node of it in its order, and retire what trapped with them', () => {
  const { parts, told, answer, retired } = makeParts(() => ack.hypervisor());
  parts[0]!.submit(trapped(3, 7));
  parts[0]!.submit(trapped(1, 8));
  expect(parts[0]!.turn()).toBe(true);
  parts[1]!.submit(trapped(2, 9, 0x4_1000));
  parts[1]!.turn();
  parts[0]!.submit(trapped(0, 10));
  parts[0]!.turn();
  for (const node of [0, 1]) {
    expect(told(node).map(({ from, write }) => [from, write.number, write.words, write.origin])).toEqual([
      [0, 1, [7], 0],
      [0, 2, [8], 0],
      [1, 3, [9], 1],
      [0, 4, [10], 0],
    ]);
  }
  answer(1, 1, 3);
  answer(0, 1, 3);
  answer(0, 0, 2);
  for (const part of parts) part.turn();
  expect(retired).toEqual([{ node: 1, core: 2, number: 3, old: null }]);
  expect(parts.map((part) => part.isIdle)).toEqual([false, true]);
  expect(parts.flatMap(({ order }) => order.recorded()).map(({ write, core }) => [write.number, core])).toEqual([
    [1, 3],
    [2, 1],
    [4, 0],
    [3, 2],
  ]);
});

test('what an atomic makes of a word depends on what the other part has ordered', () => {
  const { parts, retired } = makeParts(() => post.hypervisor());
  parts[0]!.submit(trapped(0, 40));
  parts[0]!.turn();
  parts[1]!.submit(trapped(1, 2, 0x4_0000, OPERATION_ADD));
  parts[1]!.turn();
  expect(retired[1]).toEqual({ node: 1, core: 1, number: 2, old: [40, 0, 0, 0] });
  expect(parts[0]!.order.wordAt(0x1_0000)).toBe(42);
});

test('a part whose nodes cannot keep up holds its writes back, and goes on when there is room', () => {
  const { parts, told, shared } = makeParts(() => post.hypervisor());
  const [part] = parts;
  let sent = 0;
  do part!.submit(trapped(0, ++sent));
  while (part!.turn());
  expect(sent).toBeGreaterThan(100);
  expect([part!.isIdle, part!.hasMail(), part!.nextMs()]).toEqual([false, false, 0.1]);
  expect(Atomics.load(shared.words, word.ORDER_LOCK)).toBe(0);
  expect(told(0)).toHaveLength(sent - 1);
  expect(part!.turn()).toBe(false);
  told(1);
  expect(part!.turn()).toBe(true);
  expect(told(0)).toMatchObject([{ write: { number: sent } }]);
});

test('what is under way on one part does not keep the other from ordering', () => {
  const { parts, told, answer, retired } = makeParts(() => ({
    independentWrites: true,
    *onWrite(context, write) {
      yield* context.ask([1], write);
      context.retire(write);
    },
    onMessage() {},
  }));
  parts[0]!.submit(trapped(0, 1));
  parts[0]!.submit(trapped(1, 2));
  parts[0]!.turn();
  expect(parts[0]!.hasMail()).toBe(false);
  parts[1]!.submit(trapped(2, 3));
  parts[1]!.turn();
  expect(retired).toEqual([]);
  expect(told(0)).toEqual([]);
  answer(1, 0, 'heard, though nothing depends on it');
  parts[0]!.turn();
  expect(parts[0]!.order.recorded().map(({ write }) => write.number)).toEqual([1]);
  expect(parts[1]!.order.recorded().map(({ write }) => write.number)).toEqual([2]);
});

test('timers of a half are called, and a half that throws leaves no lock behind', () => {
  const due: number[] = [];
  const { parts, pass, shared } = makeParts(() => ({
    onWrite(context, write) {
      if (write.words[0] === 13) throw new Error('no such number');
      context.setTimer(2e9 as never, write.number);
    },
    onTimer(_context, tag) {
      due.push(tag);
    },
  }));
  parts[1]!.submit(trapped(0, 5));
  parts[1]!.turn();
  expect(parts[1]!.nextMs()).toBe(2);
  parts[1]!.turn();
  expect(due).toEqual([]);
  pass(2);
  parts[1]!.turn();
  expect(due).toEqual([1]);
  parts[0]!.submit(trapped(0, 13));
  expect(() => parts[0]!.turn()).toThrow('no such number');
  expect(Atomics.load(shared.words, word.ORDER_LOCK)).toBe(0);
});
