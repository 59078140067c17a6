import { ack, type Protocol } from '@numalab/protocols';

/** Its node's half fails at the first message. */
const wrong: Protocol = {
  ...ack,
  node() {
    return {
      onMessage() {
        throw new Error('told to fail');
      },
    };
  },
};

export default wrong;
