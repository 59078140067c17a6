import { parentPort, workerData } from 'node:worker_threads';

/** A node of the naive broadcast: it has so many writes in flight, applies what it is sent, and acknowledges it. */
const { node, inFlight } = workerData as { readonly node: number; readonly inFlight: number };
const port = parentPort!;
const copy = new Map<number, number>();
let next = node * 1e9;

const write = (): void => {
  next++;
  port.postMessage({ kind: 'submit', node, word: next % 256, value: next });
};

port.on('message', (message: { kind: string; number: number; word: number; value: number }) => {
  if (message.kind === 'begin') for (let i = 0; i < inFlight; i++) write();
  else if (message.kind === 'apply') {
    copy.set(message.word, message.value);
    port.postMessage({ kind: 'ack', number: message.number });
  } else write();
});
