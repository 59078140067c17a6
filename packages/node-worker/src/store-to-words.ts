import { alignDown } from '@numalab/base';
import { type CpuRegisters, type ExclusiveMonitor, performStore, type StoreAccess } from '@numalab/machine';

/**
 * Lets a core execute the store that it decoded on `words`, which are those around it, the first at the word that holds its VA.
 * Whether it stored anything: an exclusive or a CAS may not.
 */
export const storeToWords = (
  access: StoreAccess,
  registers: CpuRegisters,
  monitor: ExclusiveMonitor,
  words: number[],
): boolean => {
  const first = alignDown(access.va, 4);
  let stored = false;
  performStore(
    access,
    registers,
    {
      read: (from, count, into) => {
        for (let i = 0; i < count; i++) {
          const at = from + i - first;
          into[i] = (words[at >> 2]! >>> (8 * (at & 3))) & 255;
        }
      },
      write: (to, count, from) => {
        stored = true;
        for (let i = 0; i < count; i++) {
          const at = to + i - first;
          const shift = 8 * (at & 3);
          words[at >> 2] = ((words[at >> 2]! & ~(255 << shift)) | (from[i]! << shift)) >>> 0;
        }
      },
    },
    monitor,
  );
  return stored;
};
