import { storeToWords } from '../store-to-words.ts';
import { wordOfCell } from './cells.ts';
import type { LiveCpu } from './live-cpu.ts';
import type { LiveNode } from './live-node.ts';
import { RECORD_LIMIT } from './shared-words.ts';
import type { StoreOrder } from './store-order.ts';

/** A store whose writer has not ended its maintenance. */
export interface OpenStore {
  readonly number: number;
  readonly word: number;
  readonly count: number;
  readonly begin: number;
  readonly beganMs: number;
}

/**
 * Stores to text where nothing traps: the core performs them itself, and others fetch from what it stores to. A write lasts from
 * its store to the last DSB of its writer's maintenance.
 */
export class NativeStores {
  private readonly node: LiveNode;
  private readonly order: StoreOrder;

  constructor(node: LiveNode, order: StoreOrder) {
    this.node = node;
    this.order = order;
  }

  /** Executes the store that the core decoded, at `pa`. False: it is no store to text. */
  perform(cpu: LiveCpu, pa: number): boolean {
    const { node, order } = this;
    const { access, registers, expected, monitor } = cpu;
    const { base, cells } = node.primary;
    const into = access.va % 4;
    const first = (pa - into - base) / 4;
    const count = Math.ceil((into + access.bytes) / 4);
    if (first < 0 || first + count > cells.length) return false;
    const depends = access.atomic || into > 0 || access.bytes % 4 > 0;
    for (;;) {
      const seen = depends ? order.cells(first, count) : null;
      const words = seen === null ? new Array<number>(count).fill(0) : Array.from(seen, wordOfCell);
      expected.copyFrom(registers);
      const { armed } = monitor;
      cpu.replyNumber = 0;
      if (!storeToWords(access, registers, monitor, words)) return true;
      const [begin, beganMs] = [node.control.tick(), node.now()];
      const number = order.store(first, words, seen, { origin: node.id, core: cpu.core });
      if (number > 0) {
        cpu.replyNumber = number;
        const word = (node.layout.spanStart >> 2) + first;
        cpu.openStores.push({ number, word, count, begin, beganMs });
        return true;
      }
      // Another core was faster: the instruction runs again on what is there now.
      registers.copyFrom(expected);
      if (armed) monitor.arm(monitor.va, monitor.bytes);
    }
  }

  /** The maintenance of what the core has stored is over: so are its writes. */
  end(cpu: LiveCpu): void {
    const { node } = this;
    const { words, checks, el2 } = node;
    const { latencyNow } = node;
    for (const { number, word, count, begin, beganMs } of cpu.openStores.splice(0)) {
      checks.ended(word, count, number);
      node.writesOver++;
      const ns = (node.now() - beganMs) * 1e6;
      latencyNow?.add(ns);
      if (latencyNow !== null) node.maintained.add(ns);
      if (number > words[RECORD_LIMIT]!) continue;
      const end = node.control.tick();
      el2.times.add(number, begin, end, cpu.core);
    }
  }
}
