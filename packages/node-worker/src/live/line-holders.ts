import { LINE_BYTES } from '@numalab/machine';
import { homeOf, type MachineLayout } from '../layout.ts';
import type { MachineSpec } from '../spec.ts';
import { ALL_OTHERS, type RemotePort } from './remote-port.ts';

/** No other process can hold the line. */
export const NOBODY = -2;

/** Bytes of memory for {@link LineHolders}: one for each line of the primary. */
export const sentLinesBytes = ({ spanStart, spanEnd }: MachineLayout): number =>
  Math.floor((spanEnd - spanStart) / LINE_BYTES) + 2;

/** Place of a line of the primary among those bytes. */
const lineOf = ({ copyPa }: MachineLayout, pa: number): number =>
  Math.floor(pa / LINE_BYTES) - Math.floor(copyPa[0]! / LINE_BYTES);

/**
 * Notes that the line of the primary at `pa` is about to be read for an instruction cache of another process. To be called before
 * it is read: whoever stores to it and then asks {@link LineHolders} either finds this, or has stored before it is read.
 */
export const noteSent = (sent: Uint8Array, layout: MachineLayout, pa: number): void => {
  Atomics.store(sent, lineOf(layout, pa), 1);
};

/**
 * Whose instruction caches may hold a line of text, as a snoop filter knows it: a replica is only ever fetched by its own node
 * (T3), and lines of the primary reach other processes through node 0's, which notes each that it has sent. So an IC IVAU
 * goes where the line can be, and to nobody if it cannot be anywhere else.
 */
export class LineHolders {
  private readonly port: RemotePort;
  private readonly spec: MachineSpec;
  private readonly layout: MachineLayout;

  constructor(port: RemotePort, spec: MachineSpec, layout: MachineLayout) {
    this.port = port;
    this.spec = spec;
    this.layout = layout;
  }

  /** The process that may have the line at `pa` in a cache: one, ALL_OTHERS or NOBODY. */
  of(pa: number): number {
    const { port, spec, layout } = this;
    const node = homeOf(spec, pa);
    const copy = layout.copyPa[node];
    if (copy === undefined || pa < copy - LINE_BYTES || pa >= copy + layout.spanEnd - layout.spanStart)
      return ALL_OTHERS;
    if (node > 0) return port.isElsewhere(node) ? port.memberOfNode(node) : NOBODY;
    if (port.isElsewhere(0)) return ALL_OTHERS;
    return Atomics.load(port.sentLines, lineOf(layout, pa)) === 1 ? ALL_OTHERS : NOBODY;
  }
}
