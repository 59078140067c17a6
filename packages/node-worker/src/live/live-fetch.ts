import { alignDown } from '@numalab/base';
import { ACCESS_EXECUTE, ACCESS_READ, LINE_BYTES } from '@numalab/machine';
import { numberOfCell, wordOfCell } from './cells.ts';
import { LINE_WORDS, type LiveCpu } from './live-cpu.ts';
import type { LiveNode } from './live-node.ts';
import { TLBI } from './shared-words.ts';

/** Words of one fetch. */
export const GROUP_WORDS = 4;

/**
 * Fetches and loads of the replicated range while other threads store to it. What a fetch samples is used only if no TLBI
 * was broadcast since before it was translated, and comes from a line filled after the last IC IVAU of it that the fetch
 * could see; else it begins again. See MaintenanceWords.
 */
export class LiveFetch {
  private readonly node: LiveNode;
  private readonly coherentInstructions: boolean;
  /** What {@link group} fetched. */
  readonly words: Uint32Array = new Uint32Array(GROUP_WORDS);
  readonly numbers: Uint32Array = new Uint32Array(GROUP_WORDS);
  watched = 0;
  number = 0;
  fetchedWords = 0;
  hits = 0;
  local = 0;
  remote = 0;
  loadsRemote = 0;
  shared = 0;
  loads = 0;
  /** Fetches thrown away because of a TLBI. */
  again = 0;

  constructor(node: LiveNode) {
    this.node = node;
    this.coherentInstructions = node.spec.dic;
  }

  /** Fetches the aligned group at `offset` from `_text`. False: the core cannot go on now, or took an abort. */
  group(cpu: LiveCpu, offset: number): boolean {
    const { node } = this;
    const word = offset >> 2;
    this.watched = node.watch[word >> 2]!;
    if (this.watched !== 0) node.checks.issue(word, this.watched);
    for (;;) {
      const tlbi = Atomics.load(node.words, TLBI);
      if (tlbi !== cpu.tlbi) node.mmu.synchronise(cpu);
      if ((offset < cpu.microFrom || offset >= cpu.microEnd) && !this.locate(cpu, offset)) return false;
      const pa = cpu.microTo + (offset - cpu.microFrom);
      this.sample(cpu, offset, pa);
      if (Atomics.load(node.words, TLBI) === cpu.tlbi) break;
      this.again++;
    }
    this.fetchedWords += GROUP_WORDS;
    this.examine(cpu, word);
    return true;
  }

  /** Brings the line of `pa` in if need be, and takes the group out of it. */
  private sample(cpu: LiveCpu, offset: number, pa: number): void {
    const { node, words, numbers } = this;
    const { l1i } = cpu;
    // Before the line is read: whoever stores to it adds to the generation after that.
    const generation = node.maintenance.generation(pa);
    let line = l1i.lookup(pa);
    if (line >= 0 && l1i.generations[line] === generation && !this.coherentInstructions) this.hits += GROUP_WORDS;
    else {
      if (line < 0) line = l1i.allocate(pa);
      this.fill(cpu, line, pa);
      l1i.generations[line] = generation;
      if (node.isTextFar) this.remote++;
      else if (node.isShared(offset)) this.shared++;
      else this.local++;
      this.hits += GROUP_WORDS - 1;
    }
    const at = line * LINE_WORDS + ((pa & (LINE_BYTES - 1)) >>> 2);
    const { cells } = l1i;
    for (let i = 0; i < GROUP_WORDS; i++) {
      const cell = cells[at + i]!;
      words[i] = wordOfCell(cell);
      numbers[i] = numberOfCell(cell);
    }
  }

  private fill(cpu: LiveCpu, line: number, pa: number): void {
    const start = alignDown(pa, LINE_BYTES);
    const copy = this.node.copyAt(pa);
    const { cells } = cpu.l1i;
    const from = (start - copy.base) / 4;
    const to = line * LINE_WORDS;
    // Cell by cell: no cell tears, and nothing is said about how those of a line relate.
    for (let i = 0; i < LINE_WORDS; i++) cells[to + i] = copy.cells[from + i]!;
  }

  private examine(cpu: LiveCpu, word: number): void {
    const { node, words, numbers, watched } = this;
    const { initial, checks } = node;
    for (let i = 0; i < GROUP_WORDS; i++) {
      if ((watched & (1 << i)) !== 0) checks.sampled(i, word + i, words[i]!, numbers[i]!, cpu.cpu, false);
      else if (numbers[i] !== 0 || words[i] !== initial[word + i]) {
        const text = `CPU ${cpu.cpu} fetched ${words[i]!.toString(16)} (write ${numbers[i]}) from word ${word + i}, which no writer writes`;
        checks.report('R3', text);
      }
    }
  }

  /** Translates for execution into the micro entry. */
  private locate(cpu: LiveCpu, offset: number): boolean {
    const { node } = this;
    const va = node.spec.kernel.linkVa + offset;
    if (!node.el2.access(cpu, va, ACCESS_EXECUTE)) return false;
    const shift = cpu.translatedShift;
    const bytes = shift < 31 ? 1 << shift : 2 ** shift;
    const into = cpu.translatedPa - alignDown(cpu.translatedPa, bytes);
    cpu.microFrom = offset - into;
    cpu.microEnd = cpu.microFrom + bytes;
    cpu.microTo = cpu.translatedPa - into;
    return true;
  }

  /** Loads the word at `offset`; its number is in {@link number}. -1: the core cannot go on now, or took an abort. */
  load(cpu: LiveCpu, offset: number): number {
    const { node } = this;
    const word = offset >> 2;
    const watched = node.watch[word >> 2]! & (1 << (word & 3));
    if (watched !== 0) node.checks.issue(word & ~3, watched);
    let value = 0;
    for (;;) {
      if (Atomics.load(node.words, TLBI) !== cpu.tlbi) node.mmu.synchronise(cpu);
      if (!node.el2.access(cpu, node.spec.kernel.linkVa + offset, ACCESS_READ)) return -1;
      const pa = alignDown(cpu.translatedPa, 4);
      const copy = node.copyAt(pa);
      const cell = copy.cells[(pa - copy.base) / 4]!;
      value = wordOfCell(cell);
      this.number = numberOfCell(cell);
      if (Atomics.load(node.words, TLBI) === cpu.tlbi) break;
      this.again++;
    }
    this.loads++;
    if (node.isTextFar) this.loadsRemote++;
    if (watched !== 0) node.checks.sampled(word & 3, word, value, this.number, cpu.cpu, true);
    else if (this.number !== 0 || value !== node.initial[word]) {
      node.checks.report('R3', `CPU ${cpu.cpu} loaded ${value.toString(16)} from word ${word}, which no writer writes`);
    }
    return value;
  }
}
