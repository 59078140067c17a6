import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { LiveRingWriter, liveRingBytes } from '@numalab/interconnect';
import { layOut, remote, sentLinesBytes } from '@numalab/node-worker';
import { expect, it } from 'vitest';
import { buildSpec } from '../../machine/build-spec.ts';
import { loadScenario } from '../../scenario/load.ts';
import { buildShared } from '../live-shared.ts';
import { RING_WORDS } from '../live-task.ts';
import { type ClusterLiveTask, OUTBOX_WORDS, outboxOffset, serviceThread } from './cluster-task.ts';
import { LiveService } from './live-service.ts';

const NODES = 2;

const taskOf = (folder: string, port: MessagePort, bell: MessagePort): ClusterLiveTask => {
  const { spec, watch } = buildSpec(loadScenario('small', { mode: 'live' }), 1);
  const shared = buildShared(spec, watch, { scale: 0, cores: 1, recordLimit: 0 });
  return {
    thread: serviceThread(spec),
    life: 1,
    durable: new Map(),
    shared,
    protocol: 'ack',
    rings: new SharedArrayBuffer(2 * NODES * liveRingBytes(RING_WORDS)),
    tearingTest: new SharedArrayBuffer(64),
    recordLimit: 0,
    originMs: 0,
    originNs: 0,
    spread: { member: 0, members: 2, life: 1, memberOf: Int32Array.of(0, 1, 0), folder },
    ports: new SharedArrayBuffer(remote.PORT_BYTES * (NODES + 1)),
    outboxes: new SharedArrayBuffer(outboxOffset(NODES + 1)),
    sentLines: new Uint8Array(new SharedArrayBuffer(sentLinesBytes(layOut(spec)))),
    asleep: new Int32Array(new SharedArrayBuffer(4)),
    port,
    bells: [bell],
  };
};

/** The other process, which says who it is and then only reads when it is told to. */
const peerOf = async (folder: string): Promise<Socket> => {
  const peer = connect(join(folder, '0'));
  await once(peer, 'connect');
  peer.write(Uint8Array.of(1, 1));
  return peer;
};

/** Puts operations until none has found room for a while, or until there are too many. Returns how many were put. */
const putUntilFull = async (outbox: LiveRingWriter, limit: number): Promise<number> => {
  for (let put = 0, since = performance.now(); put < limit; ) {
    if (outbox.backlog === 0) {
      since = performance.now();
      for (let i = 0; i < 500; i++, put++) {
        outbox.begin(remote.REMOTE_RAISE, remote.ALL_OTHERS);
        for (const word of [1, 0, put]) outbox.word(word);
        outbox.end();
      }
    } else if (performance.now() - since > 500) return put;
    outbox.publish();
    await turn();
  }
  return limit;
};

it('what a process does not read stays with the threads that want to send it, and none of it is lost', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'numalab-service-'));
  const { port1, port2 } = new MessageChannel();
  const { port1: ringer, port2: bell } = new MessageChannel();
  const task = taskOf(folder, port2, bell);
  const service = new LiveService(task).run();
  await once(port1, 'message');
  const peer = await peerOf(folder);
  port1.postMessage('connect');
  await once(port1, 'message');
  const outbox = new LiveRingWriter(task.outboxes, outboxOffset(0), OUTBOX_WORDS);
  const ring = setInterval(() => ringer.postMessage(0), 1);
  const LIMIT = 2_000_000;
  const put = await putUntilFull(outbox, LIMIT);
  expect(put).toBeGreaterThan(1000);
  // Of 24 bytes and more each: what fits into a socket, its buffers, one batch and the outbox.
  expect(put).toBeLessThan(LIMIT / 10);
  let bytes = 0;
  peer.on('data', (piece: Buffer) => {
    bytes += piece.length;
  });
  const deadline = performance.now() + 20_000;
  while (bytes < put * 6 * 8 && performance.now() < deadline) {
    outbox.publish();
    await delay(5);
  }
  expect(outbox.backlog).toBe(0);
  expect(bytes).toBeGreaterThanOrEqual(put * 6 * 8);
  clearInterval(ring);
  port1.postMessage('end');
  await service;
  peer.destroy();
  port1.close();
  rmSync(folder, { recursive: true });
}, 60_000);
