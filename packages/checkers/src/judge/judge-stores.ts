import type { Finding, NodeReport } from '@numalab/node-worker';
import { hex, ns } from './counter-example.ts';
import type { TimedWrite } from './timeline.ts';

/**
 * Verifies the half of E1 that needs the order: what a trapped instruction stored stands in the numbered write, byte for byte,
 * and the write was numbered between trap and return. When: at the end of a run. Does not verify: registers, which the node
 * compares as it happens. Linear in writes.
 */
export const judgeStores = (nodes: readonly NodeReport[], writes: readonly TimedWrite[]): readonly Finding[] => {
  const findings: Finding[] = [];
  for (const node of nodes) {
    for (const { number, offset, bytes, begin, end } of node.times) {
      const write = writes[number - 1];
      const at = write === undefined ? -1 : offset - write.word * 4;
      const byteOf = (i: number): number => ((write?.words[(at + i) >> 2] ?? 0) >>> (8 * ((at + i) & 3))) & 255;
      if (at >= 0 && bytes.every((byte, i) => byte === byteOf(i))) continue;
      const what = write === undefined ? 'is not in the order' : 'has other bytes in the order';
      const message = `write ${number}, trapped on node ${node.id} at ${ns(begin)} and over at ${ns(end)}, stored ${bytes.length} bytes at offset ${hex(offset)} and ${what}`;
      if (findings.length < 8) findings.push({ id: 'E1', message, timePs: end });
    }
  }
  return findings;
};
