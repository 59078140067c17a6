import { Worker } from 'node:worker_threads';

interface Submission {
  readonly kind: 'submit';
  readonly node: number;
  readonly word: number;
  readonly value: number;
}

interface Acknowledgement {
  readonly kind: 'ack';
  readonly number: number;
}

/**
 * What one would write first: nodes post their writes to the main thread, which posts each to every node and, when all have
 * answered, a last message to the writer. Writes retired a second, with `inFlight` of them under way over all nodes, after a
 * time in which nothing is counted.
 */
export const naiveBroadcast = async (
  nodes: number,
  inFlight: number,
  warmUpMs: number,
  ms: number,
): Promise<number> => {
  const workers = Array.from(
    { length: nodes },
    (_, node) =>
      new Worker(new URL('./naive-worker.ts', import.meta.url), {
        workerData: { node, inFlight: Math.ceil(inFlight / nodes) },
      }),
  );
  const open = new Map<number, { readonly origin: number; missing: number }>();
  let numbered = 0;
  let retired = 0;
  for (const worker of workers) {
    worker.on('message', (message: Submission | Acknowledgement) => {
      if (message.kind === 'submit') {
        const number = ++numbered;
        open.set(number, { origin: message.node, missing: nodes });
        for (const other of workers) other.postMessage({ ...message, kind: 'apply', number });
        return;
      }
      const write = open.get(message.number)!;
      if (--write.missing > 0) return;
      open.delete(message.number);
      retired++;
      workers[write.origin]!.postMessage({ kind: 'retired' });
    });
  }
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('online', resolve))));
  for (const worker of workers) worker.postMessage({ kind: 'begin' });
  await new Promise((resolve) => setTimeout(resolve, warmUpMs));
  const before = retired;
  const begun = performance.now();
  await new Promise((resolve) => setTimeout(resolve, ms));
  const rate = ((retired - before) / (performance.now() - begun)) * 1000;
  await Promise.all(workers.map((worker) => worker.terminate()));
  return rate;
};
