/**
 * Kernel symbols sorted by address, as columns. Offsets are from `_text`; symbols outside the image (absolute ones, per-CPU
 * offsets) are not kept.
 */
export class SymbolTable {
  readonly count: number;
  /** Sorted ascending. */
  readonly offsets: Int32Array;
  /** The letters of nm: T or t is text, D or d data, R or r read-only, B or b bss, W weak, A absolute. */
  readonly types: string;
  readonly names: readonly string[];
  private byName: Map<string, number> | undefined;

  /** Takes columns that are already sorted by offset. */
  constructor(offsets: Int32Array, types: string, names: readonly string[]) {
    this.count = offsets.length;
    this.offsets = offsets;
    this.types = types;
    this.names = names;
  }

  /** Sorts `symbols` by offset (equal offsets keep their order). */
  static from(symbols: { offset: number; type: string; name: string }[]): SymbolTable {
    const sorted = symbols
      .map((symbol, index) => ({ ...symbol, index }))
      .sort((a, b) => a.offset - b.offset || a.index - b.index);
    return new SymbolTable(
      Int32Array.from(sorted, (symbol) => symbol.offset),
      sorted.map((symbol) => symbol.type).join(''),
      sorted.map((symbol) => symbol.name),
    );
  }

  /** Offset of the first symbol of that name, or -1. */
  find(name: string): number {
    if (this.byName === undefined) {
      this.byName = new Map();
      for (let i = this.count - 1; i >= 0; i--) this.byName.set(this.names[i]!, this.offsets[i]!);
    }
    return this.byName.get(name) ?? -1;
  }

  /** Index of the last symbol at or below `offset`, or -1. */
  indexAt(offset: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.offsets[middle]! <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** `name+0x10` for the text at `offset`; plain hexadecimal if no symbol lies below it. */
  describe(offset: number): string {
    const index = this.indexAt(offset);
    if (index < 0) return `0x${offset.toString(16)}`;
    const distance = offset - this.offsets[index]!;
    return distance === 0 ? this.names[index]! : `${this.names[index]!}+0x${distance.toString(16)}`;
  }
}

/** No symbols. */
export const NO_SYMBOLS: SymbolTable = new SymbolTable(new Int32Array(0), '', []);
