/** Protocols one step away from right ones. */
import { ack, type NodeContext, type NodeHalf, type Protocol, post, type Steps, type Write } from '@numalab/protocols';

/** What a node's half does with each write; the acknowledgement, if the protocol has one, comes after. */
export type Handler = (context: NodeContext, write: Write) => Steps;

/** Stores and maintains, as the built-in protocols do. */
export function* right(context: NodeContext, write: Write): Steps {
  yield* context.store(write);
  yield* context.maintain(write);
}

const half = (makeHandler: () => Handler, acknowledges: boolean): NodeHalf => {
  const handler = makeHandler();
  return {
    *onMessage(context, body) {
      const write = body as Write;
      yield* handler(context, write);
      if (acknowledges) context.send(write.number);
    },
  };
};

/** `ack` with another handler of writes on the nodes; `makeHandler` makes one for each node. */
export const ackWith = (makeHandler: () => Handler): Protocol => ({
  ...ack,
  name: 'ack, changed',
  node: () => half(makeHandler, true),
});

/** `post` with another handler of writes on the nodes. */
export const postWith = (makeHandler: () => Handler): Protocol => ({
  ...post,
  name: 'post, changed',
  node: () => half(makeHandler, false),
});

/** `ack` that retires a write when `count` nodes fewer than all have acknowledged. */
export const ackWithout = (count: number): Protocol => ({
  ...ack,
  name: 'ack of fewer',
  hypervisor() {
    const missing = new Map<number, { readonly write: Write; left: number }>();
    return {
      onWrite(context, write) {
        missing.set(write.number, { write, left: context.nodes.length - count });
        for (const node of context.nodes) context.send(node, write);
      },
      onMessage(context, _node, body) {
        const entry = missing.get(body as number)!;
        entry.left--;
        if (entry.left === 0) context.retire(entry.write);
      },
    };
  },
});

/** `ack` that never retires write `number`. */
export const ackThatForgets = (number: number): Protocol => ({
  ...ack,
  name: 'ack that forgets',
  hypervisor() {
    const half = ack.hypervisor();
    return {
      onWrite: (context, write) => half.onWrite(context, write),
      onMessage: (context, node, body) => {
        if (body !== number) half.onMessage!(context, node, body);
      },
    };
  },
});

/** Only node 1 does it wrong. */
export const onNode1 =
  (wrong: Handler): (() => Handler) =>
  () =>
  (context, write) =>
    (context.node === 1 ? wrong : right)(context, write);
