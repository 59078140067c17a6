import { GRANULES } from '@numalab/machine';
import { kernelWords } from '../boot.ts';
import { layOut, type MachineLayout } from '../layout.ts';
import type { MachineSpec } from '../spec.ts';

/** Where the text lies for one node of a live run, worked out once: what a trap and a fetch ask about an address. */
export class LivePlaces {
  readonly id: number;
  readonly spec: MachineSpec;
  readonly layout: MachineLayout;
  /** The Image's words from `_text` on, as boot leaves them. */
  readonly initial: Uint32Array;
  readonly granuleBytes: number;
  /** The text has one copy, and that is another node's. */
  readonly isTextFar: boolean;
  private readonly kinds: Uint8Array;

  constructor(id: number, spec: MachineSpec) {
    this.id = id;
    this.spec = spec;
    this.layout = layOut(spec);
    this.initial = kernelWords(spec);
    this.granuleBytes = GRANULES[spec.granule].bytes;
    this.isTextFar = id > 0 && spec.strategy === 'none';
    this.kinds = this.kindsByGranule();
  }

  /** By granule from `_text`: 1 replica, 2 shared, 0 hole or outside. */
  private kindsByGranule(): Uint8Array {
    const { ranges } = this.spec.kernel;
    const kinds = new Uint8Array(Math.ceil(ranges.at(-1)!.end / this.granuleBytes));
    for (const { start, end, kind } of ranges) {
      const code = kind === 'replica' ? 1 : kind === 'shared' ? 2 : 0;
      for (let at = start; at < end; at += this.granuleBytes) kinds[Math.floor(at / this.granuleBytes)] = code;
    }
    return kinds;
  }

  /** The page (granule from `_text`) of an offset. */
  pageOf(offset: number): number {
    return Math.floor(offset / this.granuleBytes);
  }

  /** Whether a store to `offset` is the order's business. */
  isReplicated(offset: number): boolean {
    const kind = offset < 0 ? undefined : this.kinds[this.pageOf(offset)];
    return kind !== undefined && kind !== 0 && offset < this.layout.spanEnd;
  }

  isShared(offset: number): boolean {
    return this.kinds[this.pageOf(offset)] === 2;
  }

  isHole(offset: number): boolean {
    return !this.isReplicated(offset);
  }

  /** PA of this node's copy of `offset`. */
  copyOf(offset: number): number {
    return this.layout.copyPa[this.id]! + offset - this.layout.spanStart;
  }

  imageWordAt(va: number): number {
    return this.initial[(va - this.spec.kernel.linkVa) >> 2]!;
  }

  /** Offset of the first instruction `word` in copied text; the text's start if there is none. */
  gadget(word: number): number {
    const { text } = this.spec.kernel;
    for (let i = text.start >> 2; i < text.end >> 2; i++) {
      if (this.initial[i] === word && this.isReplicated(i * 4) && !this.isShared(i * 4)) return i * 4;
    }
    return text.start;
  }
}
