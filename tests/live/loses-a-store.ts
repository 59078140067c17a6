import { ack, type Protocol, type Write } from '@numalab/protocols';

/** Wrong on purpose: node 1 leaves out every second store. */
const wrong: Protocol = {
  ...ack,
  node() {
    return {
      *onMessage(context, body) {
        const write = body as Write;
        if (context.node !== 1 || (write.number & 1) === 0) yield* context.store(write);
        yield* context.maintain(write);
        context.send(write.number);
      },
    };
  },
};

export default wrong;
