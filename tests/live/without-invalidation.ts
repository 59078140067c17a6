import { ack, type Protocol, type Write } from '@numalab/protocols';

/** Wrong on purpose: see live.test.ts. */
const wrong: Protocol = {
  ...ack,
  node() {
    return {
      *onMessage(context, body) {
        yield* context.store(body as Write);
        context.send((body as Write).number);
      },
    };
  },
};

export default wrong;
