import type { Step } from '@numalab/base';
import * as link from '@numalab/interconnect';
import { GRANULES, LINE_BYTES, LINE_CELLS } from '@numalab/machine';
import type { Steps } from '@numalab/protocols';
import { imageWords } from './boot.ts';
import type { NodeProcess } from './node.ts';
import { LOAD_LINE_PS } from './node-life.ts';
import { addWord } from './page-hash.ts';
import type { PageRepair, Wire } from './wire.ts';

/** Pages whose hashes go in one message of 64 bytes: a hash and a number of four bytes each. */
const BATCH_PAGES = 8;
/** CRC32X takes eight bytes a cycle. */
const HASH_CYCLES_A_LINE = 8;

/** What a node's scrubber did. */
export interface ScrubCounts {
  /** Pages hashed, pages that were not what the order says, and words put right. */
  readonly pages: number;
  readonly suspects: number;
  readonly words: number;
}

/**
 * Looks for memory errors in this node's copy of the text: hashes page after page, with the highest number of a word in it;
 * the hypervisor compares that with what image and journal say of the page after that write, and names the pages that differ.
 * There each word that has the number that it should have and another value is put right, from the image and from what the
 * journal says. What has a later number is a newer write, what has an earlier one is still to come: neither is touched, and
 * memory itself looks at the number when the repair gets there. A page is read at one moment, so a store that comes in parts can
 * make it differ; then there is nothing to put right.
 *
 * One batch of pages is under way at a time, between other messages for EL2. When the work is over there is one last sweep, so
 * that what flips before it is found. Pages that the node does not map are left out, and looked at when they are mapped again.
 */
export class Scrubber {
  private readonly node: NodeProcess;
  private readonly pageBytes: number;
  private readonly first: number;
  private readonly end: number;
  /** Between a batch and the next. */
  private pausePs: number;
  /** Counts beginnings: what belongs to an earlier one is over. */
  private generation = 0;
  private next: number;
  /** Pages of the last sweep that are still to come. */
  private left = Infinity;
  /** No sooner than this. */
  private from = 0;
  /** Mapped again, and not looked at since. */
  private readonly returned = new Set<number>();
  private readonly batch: number[] = [];
  private advance = 0;
  private isIdle = false;
  private pages = 0;
  private suspects = 0;
  private words = 0;

  constructor(node: NodeProcess) {
    this.node = node;
    const { spec, layout } = node;
    this.pageBytes = GRANULES[spec.granule].bytes;
    this.first = Math.floor(layout.spanStart / this.pageBytes);
    this.end = Math.ceil(layout.spanEnd / this.pageBytes);
    this.next = this.first;
    this.pausePs = Math.max(1, Math.floor((spec.scrubPs * BATCH_PAGES) / (this.end - this.first)));
  }

  get counts(): ScrubCounts {
    const { pages, suspects, words } = this;
    return { pages, suspects, words };
  }

  /** The node begins, or EL2 is back: what was under way is forgotten. */
  begin(at: number): void {
    this.generation++;
    if (this.left === 0 && this.returned.size === 0) this.isIdle = true;
    else this.node.postLocal(Math.max(at + this.pausePs, this.from), link.SCRUB, this.generation, 0);
  }

  /** The work is over: one more sweep, as fast as it goes, when nothing flips any more. */
  finish(at: number): void {
    const { id, spec } = this.node;
    this.left = this.end - this.first;
    this.pausePs = 0;
    for (const { kind, node, atPs } of spec.faults?.faults ?? []) {
      if (kind === 'flip-replica' && node === id && atPs < spec.faults!.healPs) this.from = Math.max(this.from, atPs);
    }
    this.begin(at);
  }

  /** The next batch is due. */
  onTimer(generation: number, at: number): void {
    if (generation === this.generation) this.node.agent.scrub(() => this.hash(generation), at);
  }

  /** A page is mapped onto this node's copy again. */
  mapped(page: number, at: number): void {
    this.returned.add(page);
    if (!this.isIdle) return;
    this.isIdle = false;
    this.begin(at);
  }

  private choose(): void {
    const { batch, returned, node } = this;
    batch.length = 0;
    this.advance = 0;
    for (const page of returned) {
      if (batch.length === BATCH_PAGES) break;
      returned.delete(page);
      if (node.textPages.stateOf(page) === 'own') batch.push(page);
    }
    const room = Math.min(BATCH_PAGES - batch.length, this.end - this.next, this.left);
    for (; this.advance < room; this.advance++) {
      const page = this.next + this.advance;
      if (node.textPages.stateOf(page) === 'own') batch.push(page);
    }
  }

  private *hash(generation: number): Steps {
    const { node, batch } = this;
    if (generation !== this.generation) return;
    this.choose();
    const pages = [...batch];
    const hashes: number[] = [];
    const numbers: number[] = [];
    for (const page of pages) {
      const { hash, highest, lines } = this.hashPage(page);
      hashes.push(hash);
      numbers.push(highest);
      this.pages++;
      yield lines * this.linePs;
    }
    if (generation !== this.generation) return;
    if (pages.length === 0) this.answered(node.agent.now);
    else this.say({ kind: 'hashes', scrub: generation, pages, hashes, numbers });
  }

  private say(wire: Wire): void {
    const { node } = this;
    node.transmit(node.spec.nodes, wire, node.agent.now);
  }

  /** A line comes as fast as memory gives it, or as the core hashes it. */
  private get linePs(): number {
    const { id, latencies } = this.node;
    return Math.max(latencies.transferPs(id, id, LINE_BYTES), HASH_CYCLES_A_LINE * latencies.cyclePs);
  }

  private hashPage(page: number): { hash: number; highest: number; lines: number } {
    const { node } = this;
    const { coherence, scratchLine } = node;
    let [hash, highest, lines] = [0, 0, 0];
    for (const offset of this.linesOf(page)) {
      coherence.readLine(node.copyOf(offset), scratchLine, 0, false);
      const first = offset >> 2;
      for (let i = 0; i < LINE_CELLS / 2; i++) {
        hash = addWord(hash, first + i, scratchLine[2 * i]!);
        const number = scratchLine[2 * i + 1]!;
        if (number > highest) highest = number;
      }
      lines++;
    }
    return { hash, highest, lines };
  }

  /** Offsets from `_text` of the lines of a page that are in the copy. */
  private *linesOf(page: number): Generator<number> {
    const { spanStart, spanEnd } = this.node.layout;
    const end = Math.min((page + 1) * this.pageBytes, spanEnd);
    for (let offset = Math.max(page * this.pageBytes, spanStart); offset < end; offset += LINE_BYTES) yield offset;
  }

  /** The hypervisor has compared a batch; `repairs` are of the pages that differ. */
  *hashed(generation: number, repairs: readonly PageRepair[]): Steps {
    if (generation !== this.generation) return;
    for (const repair of repairs) {
      this.suspects++;
      yield* this.mend(repair);
    }
    if (generation === this.generation) this.answered(this.node.agent.now);
  }

  private answered(at: number): void {
    this.left -= this.advance;
    this.next += this.advance;
    if (this.next >= this.end) this.next = this.first;
    this.begin(at);
  }

  private *mend({ page, words, values, numbers }: PageRepair): Steps {
    const { node } = this;
    const { agentCpu, coherence, maintenance, layout, spec } = node;
    const image = imageWords(spec, layout);
    const written = new Map(words.map((word, i) => [word, i]));
    const line = new Uint32Array(LINE_CELLS);
    for (const offset of this.linesOf(page)) {
      yield LOAD_LINE_PS;
      const pa = node.copyOf(offset);
      coherence.readLine(pa, line, 0, false);
      let isMended = false;
      for (let i = 0; i < LINE_CELLS / 2; i++) {
        const word = (offset >> 2) + i;
        const at = written.get(word);
        const value = at === undefined ? image[word - (layout.spanStart >> 2)]! : values[at]!;
        const number = at === undefined ? 0 : numbers[at]!;
        // Bug 52: from a peer, whatever it holds, and whatever stands here.
        if (spec.bugs.includes('52')) isMended = (yield* this.copyFromPeer(word)) || isMended;
        else if (line[2 * i + 1] === number && line[2 * i] !== value) {
          if (!(yield* coherence.mendText(agentCpu, pa + 4 * i, value, number))) continue;
          isMended = true;
          this.words++;
          node.faults?.mended(word);
        }
      }
      if (isMended) yield maintenance.cleanInvalidate(agentCpu, pa, LINE_BYTES);
    }
  }

  private *copyFromPeer(word: number): Step<boolean> {
    const { agentCpu, coherence, layout, spec, id } = this.node;
    const [own, peer] = [layout.copyPa[id]!, layout.copyPa[(id + 1) % spec.nodes]!];
    const at = 4 * word - layout.spanStart;
    const before = yield* coherence.load32(agentCpu, own + at);
    const beforeNumber = agentCpu.replyNumber;
    const value = yield* coherence.load32(agentCpu, peer + at);
    const number = agentCpu.replyNumber;
    if (value === before && number === beforeNumber) return false;
    yield* coherence.storeOwnText(agentCpu, own + at, [value], number);
    return true;
  }
}
