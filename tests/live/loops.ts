import { ack, type Protocol } from '@numalab/protocols';

/** `ack` whose order never comes back from its first write. */
const loops: Protocol = {
  ...ack,
  hypervisor() {
    return {
      ...ack.hypervisor(),
      onWrite() {
        for (;;);
      },
    };
  },
};

export default loops;
