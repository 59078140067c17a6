import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '@numalab/base';
import { watchTables } from '@numalab/checkers';
import { ack } from '@numalab/protocols';
import { afterAll, describe, expect, it } from 'vitest';
import { buildSpec, type PreparedMachine } from '../machine/build-spec.ts';
import { loadScenario } from '../scenario/index.ts';
import { InlineMachine } from './inline.ts';
import type { ProtocolRef } from './protocol-ref.ts';
import { closeThreads, runThreads } from './threads.ts';

const machine = (...set: string[]): PreparedMachine =>
  buildSpec(
    loadScenario('default', {
      set: [
        'machine.coresPerNode=1',
        'workload.duration=20us',
        'kernel.writers=[{kind: ftrace, rate: 400k/s, batch: 1}]',
        ...set,
      ],
    }),
    1,
  );

const folder = mkdtempSync(join(tmpdir(), 'numalab-threads-'));
let files = 0;

/** The path of a module with this source. */
const fileOf = (source: string): ProtocolRef => {
  const path = join(folder, `protocol-${files++}.js`);
  writeFileSync(path, source);
  return path;
};

/** A protocol in a file: its halves are the bodies of functions of (context, message). */
const moduleOf = (onWrite: string, onNode: string): ProtocolRef =>
  fileOf(`
    const onWrite = (context, write) => { ${onWrite} };
    const onMessage = function* (context, write) { ${onNode} };
    export default { name: 'test', guarantee: 'ordered', hypervisor: () => ({ onWrite }), node: () => ({ onMessage }) };
  `);

const BROADCAST = 'for (const node of context.nodes) context.send(node, write); context.retire(write);';
const APPLY = 'yield* context.store(write); yield* context.maintain(write);';

const run = (prepared: PreparedMachine, protocol: ProtocolRef, threads = 2) =>
  runThreads(prepared.spec, protocol, prepared.watch, { threads });

afterAll(async () => {
  await closeThreads();
  rmSync(folder, { recursive: true, force: true });
});

describe('threads', () => {
  it.each([1, 2, 4])('all stop when one of %i fails, and its error is told', async (threads) => {
    const failing = moduleOf(BROADCAST, `${APPLY} if (context.node === 3) throw new RangeError('node 3 is tired');`);
    const error = await run(machine(), failing, threads).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(
      /protocol-\d+\.js: onMessage of the node’s half threw RangeError: node 3 is tired, at line 3$/,
    );
  });

  it('all stop when one fails before its first window', async () => {
    // The first call is that of whoever looks whether this is a protocol.
    const failing = fileOf(`
      let made = 0;
      const hypervisor = () => { if (made++ > 0) throw new Error('no memory'); return { onWrite() {} }; };
      export default { guarantee: 'ordered', hypervisor, node: () => ({ onMessage() {} }) };
    `);
    await expect(run(machine(), failing)).rejects.toThrow('thread 0: no memory');
  });

  it('say that a protocol is bad input', async () => {
    await expect(run(machine(), 'gossip')).rejects.toThrow(InputError);
    await expect(run(machine(), 'gossip')).rejects.toThrow(/^replication.protocol: there is no protocol gossip$/);
    await expect(run(machine(), fileOf('export default 1'))).rejects.toThrow('no protocol');
  });

  it('can be used again after a failure', async () => {
    const { spec, watch } = machine();
    const failing = moduleOf('throw new Error("hypervisor")', APPLY);
    await expect(run(machine(), failing)).rejects.toThrow('threw Error: hypervisor');
    const inline = await new InlineMachine(spec, ack, watch, watchTables).run();
    const raw = await run(machine(), 'ack');
    expect([raw.endPs, raw.hypervisor.digest]).toEqual([inline.endPs, inline.hypervisor.digest]);
  });

  it('carry bodies of any shape and size', async () => {
    // 40 kB a frame to and fro, text and a map in it: larger than a slot of a ring, and nothing that it has a form for.
    const large = moduleOf(
      `const text = 'ü'.repeat(5000), numbers = Array.from({ length: 4000 }, (_, i) => i / 3);
       for (const node of context.nodes) context.send(node, { write, text, numbers, map: new Map([[write.number, text]]) });
       context.retire(write);`,
      `const { text, numbers, map } = write; write = write.write;
       if (text.length !== 5000 || map.get(write.number) !== text || numbers[3999] !== 1333) throw new Error('mangled');
       ${APPLY}`,
    );
    const raw = await run(machine(), large, 4);
    expect(raw.hypervisor.journal.length).toBeGreaterThan(5);
    for (const node of raw.nodes) expect(node.counts.applied).toBe(raw.hypervisor.journal.length);
  });

  it('end within a second when told to, with what there is by then', async () => {
    const { spec, watch } = machine('workload.duration=100ms', 'workload.duty=1');
    const controller = new AbortController();
    let abortedMs = 0;
    const raw = await runThreads(spec, 'ack', watch, {
      threads: 2,
      signal: controller.signal,
      progress: (ps) => {
        if (ps === 0 || controller.signal.aborted) return;
        abortedMs = performance.now();
        controller.abort();
      },
    });
    expect(performance.now() - abortedMs).toBeLessThan(1000);
    expect(raw.interrupted).toBe(true);
    expect(raw.nodes.map(({ id }) => id)).toEqual([0, 1, 2, 3]);
    expect(raw.endPs).toBeGreaterThan(0);
    expect(raw.endPs).toBeLessThan(100e9);
    const all = raw.nodes.reduce((sum, node) => sum + node.counts.fetches, 0);
    expect(all).toBeGreaterThan(0);
  });

  it('do not begin when told to end before', async () => {
    const { spec, watch } = machine();
    const raw = await runThreads(spec, 'ack', watch, { threads: 3, signal: AbortSignal.abort() });
    expect([raw.interrupted, raw.windows, raw.hypervisor.journal.length]).toEqual([true, 0, 0]);
  });
});
