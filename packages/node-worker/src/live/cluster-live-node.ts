import { alignDown } from '@numalab/base';
import type { NodeHalf } from '@numalab/protocols';
import type { LiveCopy } from './cells.ts';
import { FaultyLiveNode, type LiveFaultPorts } from './faulty-live-node.ts';
import { type LiveNodePorts, type LiveShared, progressPlaces } from './live-node.ts';
import { PORT_CELLS, REMOTE_FETCH_CELLS, REMOTE_LOAD_CELLS, REMOTE_PROGRESS, type RemotePort } from './remote-port.ts';

const LINE_BYTES = 64;
/** What is only knowledge waits for company no longer than this. */
const FLUSH_MS = 1;

/**
 * A node of a live run that is spread over processes. Its own memory is shared with the threads of its process; the primary,
 * if node 0 is of another, is read by frames, each time anew: {@link LiveNode.primary} is memory of this thread alone.
 */
export class ClusterLiveNode extends FaultyLiveNode {
  private readonly remote: RemotePort;
  private readonly isPrimaryElsewhere: boolean;
  private flushedMs = 0;

  constructor(
    id: number,
    shared: LiveShared,
    half: NodeHalf,
    ports: LiveNodePorts & { readonly remote: RemotePort },
    faultPorts: LiveFaultPorts,
  ) {
    super(id, shared, half, ports, faultPorts);
    this.remote = ports.remote;
    this.isPrimaryElsewhere = ports.remote.isElsewhere(0);
  }

  override primaryCells(first: number, end: number): Float64Array {
    const { cells } = this.primary;
    if (!this.isPrimaryElsewhere) return cells;
    const { remote } = this;
    for (let at = first; at < end; at += PORT_CELLS) {
      const count = Math.min(PORT_CELLS, end - at);
      remote.call(REMOTE_LOAD_CELLS, remote.memberOfNode(0), 0, at, count);
      cells.set(remote.answer.subarray(0, count), at);
    }
    return cells;
  }

  /** With the line around `pa` as its owner has it. */
  override copyAt(pa: number): LiveCopy {
    const copy = super.copyAt(pa);
    if (copy === this.primary && this.isPrimaryElsewhere) {
      this.fetchLine(copy, pa);
    }
    return copy;
  }

  /** The cells of the line around `pa`, of which the copy may have only some. */
  private fetchLine({ base, cells }: LiveCopy, pa: number): void {
    const { remote } = this;
    const first = Math.max(0, (alignDown(pa, LINE_BYTES) - base) / 4);
    const end = Math.min(cells.length, (alignDown(pa, LINE_BYTES) + LINE_BYTES - base) / 4);
    remote.call(REMOTE_FETCH_CELLS, remote.memberOfNode(0), first, end - first);
    cells.set(remote.answer.subarray(0, end - first), first);
  }

  /** The process of node 0 tells it to whoever takes the place of this one. */
  override noteProgress(place: number, done: number): void {
    super.noteProgress(place, done);
    if (!this.isPrimaryElsewhere) return;
    const { remote, id, spec } = this;
    remote.post(REMOTE_PROGRESS, remote.memberOfNode(0), [id * progressPlaces(spec) + place, done]);
  }

  protected override turn(): boolean {
    const busy = super.turn();
    // What is known of watched words may come late: it goes with the next message, or when there is nothing else to do.
    const now = this.now();
    if (now - this.flushedMs > FLUSH_MS) {
      this.flushedMs = now;
      this.remote.flush();
    }
    return busy;
  }

  protected override rest(): void {
    this.remote.flush();
    super.rest();
  }
}
