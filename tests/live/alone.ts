import { ack, type Protocol, type Write } from '@numalab/protocols';

/** `ack` that can do one write at a time, and stops the run if another begins before that is over. */
const alone: Protocol = {
  ...ack,
  hypervisor() {
    let current: Write | null = null;
    let missing = 0;
    return {
      onWrite(context, write) {
        if (current !== null) throw new Error(`write ${write.number} began before ${current.number} was over`);
        current = write;
        missing = context.nodes.length;
        context.broadcast(write);
      },
      onMessage(context) {
        if (--missing > 0) return;
        const write = current!;
        current = null;
        context.retire(write);
      },
    };
  },
};

export default alone;
