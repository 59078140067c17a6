import { type Instant, InternalError } from '@numalab/base';
import type { Message, Process } from '@numalab/interconnect';

/** Processes that live on one thread. Among themselves they need no barrier, only short windows. */
export class ProcessGroup {
  private readonly processes: readonly Process[];
  /** Place in {@link processes} by process number; -1: it lives elsewhere. */
  private readonly placeOf: Int32Array;
  /** When each process acts next. */
  private readonly next: Float64Array;
  private readonly windowPs: number;
  private readonly senders: Process[] = [];
  /** Everything before this has happened here. */
  private done = 0;
  private readonly sendAway: (message: Message) => void;

  /**
   * `total` counts the processes of the machine; `windowPs` is at most the smallest latency between two of `processes`.
   * `sendAway` takes what goes to a process that lives elsewhere.
   */
  constructor(processes: readonly Process[], total: number, windowPs: number, sendAway: (message: Message) => void) {
    this.processes = processes;
    this.placeOf = new Int32Array(total).fill(-1);
    for (const [place, { id }] of processes.entries()) this.placeOf[id] = place;
    this.next = Float64Array.from(processes, (process) => process.nextTime());
    // One alone has nobody to wait for.
    this.windowPs = processes.length === 1 ? Infinity : windowPs;
    this.sendAway = sendAway;
  }

  /** Moment at which the first process acts, Infinity if all wait for others. */
  nextTime(): number {
    const { next } = this;
    let first = Infinity;
    for (let i = 0; i < next.length; i++) if (next[i]! < first) first = next[i]!;
    return first;
  }

  /** A message for one of these processes. */
  receive(message: Message): void {
    const { time, kind, from } = message;
    if (time < this.done) {
      const text = `message ${kind} from ${from} arrives at ${time}, when all before ${this.done} has happened`;
      throw new InternalError(text);
    }
    const place = this.placeOf[message.to]!;
    this.processes[place]!.receive(message);
    if (message.time < this.next[place]!) this.next[place] = message.time;
  }

  /** Does everything that happens before `limit`. No message may arrive later that takes effect before it. */
  run(limit: number): void {
    const { next, processes, senders } = this;
    for (;;) {
      const first = this.nextTime();
      if (first >= limit) break;
      const end = Math.min(limit, first + this.windowPs);
      for (let i = 0; i < next.length; i++) {
        if (next[i]! >= end) continue;
        const process = processes[i]!;
        next[i] = process.step(end as Instant);
        if (process.outbox.length > 0) senders.push(process);
      }
      this.done = end;
      while (senders.length > 0) this.deliver(senders.pop()!.outbox);
    }
    this.done = Math.max(this.done, limit);
  }

  private deliver(outbox: Message[]): void {
    for (const message of outbox) {
      if (this.placeOf[message.to]! >= 0) this.receive(message);
      else this.sendAway(message);
    }
    outbox.length = 0;
  }
}
