import { type Finding, Observations } from '../observations.ts';
import { numberOfCell, wordOfCell } from './cells.ts';
import { NUMBERED, RECORD_LIMIT, TICK } from './shared-words.ts';

/** Of each rule: a flood of one must not hide another. */
const FINDINGS_KEPT = 8;

/** What all threads know of the words that writers may write. Indices are those of `index`, less one. */
export interface WatchedWords {
  /** By word from `_text`: 0 if it is not watched, else its index plus 1. */
  readonly index: Int32Array;
  readonly count: number;
  /** Number of the last write to each word that is over. */
  readonly ended: Int32Array;
  /** A number that a fetch which has ended has seen. */
  readonly seen: Int32Array;
  /** Number of the last write whose writer's synchronisation has returned. */
  readonly synchronised: Int32Array;
}

/** Bytes of shared memory for the words of {@link WatchedWords}. */
export const watchedWordsBytes = (count: number): number => 3 * count * 4;

/** The words on shared memory. */
export const watchedWords = (index: Int32Array, count: number, memory: SharedArrayBuffer): WatchedWords => ({
  index,
  count,
  ended: new Int32Array(memory, 0, count),
  seen: new Int32Array(memory, count * 4, count),
  synchronised: new Int32Array(memory, 2 * count * 4, count),
});

/** Raises `words[index]` to `value`. Whether it was lower. */
const raise = (words: Int32Array, index: number, value: number): boolean => {
  for (let old = Atomics.load(words, index); old < value; ) {
    const found = Atomics.compareExchange(words, index, old, value);
    if (found === old) return true;
    old = found;
  }
  return false;
};

/** What is known of each watched word, as {@link raiseWatched} wants it. */
export const ENDED_WORDS = 0;
export const SEEN = 1;
export const SYNCHRONISED = 2;

/** Raises what is known of the watched word `index`. Whether it was lower. */
export const raiseWatched = (watched: WatchedWords, which: number, index: number, value: number): boolean => {
  if (which === SEEN) return raise(watched.seen, index, value);
  return raise(which === ENDED_WORDS ? watched.ended : watched.synchronised, index, value);
};

/**
 * The rules about fetches, put to every single fetch of a watched word while the threads race, in memory that does not grow.
 *
 * Verifies, exactly and without clocks: that no fetch issued after a write ended sees an earlier number (`completed`), because
 * the number of the last write that ended is read before the fetch is issued; that none sees a number lower than a
 * fetch that had ended then, nor one that was not given out when it was over (`atomic`); that each core goes forward (R4); that
 * what is executed is not older than a synchronisation that had returned (X1); that number and value belong together (R3)
 * where the order still knows the value. What one thread stored before another read it lies in that order in time: the words
 * are read and written by Atomics, which all threads see in one order.
 *
 * Does not verify: that a violation is found whenever one is possible; R3 of numbers that the order has passed since.
 * While the record has room, what it sees goes to {@link observations} too, where the judge of the simulator decides again.
 */
export class LiveChecks {
  readonly observations: Observations;
  readonly findings: Finding[] = [];
  dropped = 0;
  /** Fetches and loads of watched words that went into the record, and that were only checked. */
  recorded = 0;
  unrecorded = 0;
  completedEvidence = 0;
  atomicEvidence = 0;
  synchronisedEvidence = 0;
  checked = 0;
  /** Values that were compared with the order's. */
  compared = 0;
  private readonly foundOf = new Map<string, number>();
  /** The clock, where the record's time is that and not the order's ticks. */
  private readonly stamp: (() => number) | null;
  protected readonly words: Int32Array;
  protected readonly watched: WatchedWords;
  /** The text after all writes, and of which number each word is. */
  private readonly reference: Float64Array;
  private readonly firstWord: number;
  private readonly firstCpu: number;
  /** By core and word: the number fetched, and loaded, last. */
  private readonly fetchedLast: Int32Array;
  private readonly loadedLast: Int32Array;
  private readonly endedEvidence: Int32Array;
  private readonly seenEvidence: Int32Array;
  // What was known when the fetch was issued, for the four words of a group.
  private readonly issueEnded = new Int32Array(4);
  private readonly issueSeen = new Int32Array(4);
  private readonly issueSynchronised = new Int32Array(4);
  private issueTick = 0;

  constructor(
    words: Int32Array,
    watched: WatchedWords,
    reference: Float64Array,
    firstWord: number,
    firstCpu: number,
    cores: number,
    stamp: (() => number) | null,
  ) {
    this.stamp = stamp;
    this.words = words;
    this.watched = watched;
    this.reference = reference;
    this.firstWord = firstWord;
    this.firstCpu = firstCpu;
    this.observations = new Observations(firstCpu, cores);
    this.fetchedLast = new Int32Array(cores * watched.count);
    this.loadedLast = new Int32Array(cores * watched.count);
    this.endedEvidence = new Int32Array(watched.count);
    this.seenEvidence = new Int32Array(watched.count);
  }

  /** Is told each finding that is kept, when it is found: for a node whose thread may end before its report. */
  onFinding: ((finding: Finding) => void) | null = null;

  /** Notes a finding, or only counts it if there are many. */
  report(id: string, message: string): void {
    const count = this.foundOf.get(id) ?? 0;
    this.foundOf.set(id, count + 1);
    if (count >= FINDINGS_KEPT) {
      this.dropped++;
      return;
    }
    const finding = { id, message, timePs: 0 };
    this.findings.push(finding);
    this.onFinding?.(finding);
  }

  /** The present tick: what stands in the record as time. */
  private tick(): number {
    return this.stamp === null ? Atomics.load(this.words, TICK) : this.stamp();
  }

  /** Whether a number that is not known here has been given out all the same. */
  protected isNumbered(_number: number): boolean {
    return false;
  }

  protected raise(which: number, index: number, value: number): boolean {
    return raiseWatched(this.watched, which, index, value);
  }

  /** A fetch of the group at `word` is about to be issued; `watched` says which of its words are watched. */
  issue(word: number, watched: number): void {
    const { index, ended, seen, synchronised } = this.watched;
    this.issueTick = this.tick();
    for (let i = 0; i < 4; i++) {
      if ((watched & (1 << i)) === 0) continue;
      const at = index[word + i]! - 1;
      this.issueEnded[i] = Atomics.load(ended, at);
      this.issueSeen[i] = Atomics.load(seen, at);
      this.issueSynchronised[i] = Atomics.load(synchronised, at);
    }
  }

  /** The fetch, or load, of word `i` of the group is over: `cpu` saw `value` of write `number`. */
  sampled(i: number, word: number, value: number, number: number, cpu: number, isLoad: boolean): void {
    const at = this.watched.index[word]! - 1;
    const { words } = this;
    const ended = this.issueEnded[i]!;
    const seen = this.issueSeen[i]!;
    this.checked++;
    // A load or fetch that sees what is newest proves the least; the order of these tests is that of how often they fail.
    if (number < ended) this.late(word, number, ended, cpu);
    if (number < seen) this.backward(word, number, seen, cpu);
    if (number > Atomics.load(words, NUMBERED) && !this.isNumbered(number)) {
      this.report('R3', `CPU ${cpu} saw word ${word} with number ${number}, which no write has yet`);
    }
    if (number > seen) this.raise(SEEN, at, number);
    if (ended > this.endedEvidence[at]!) {
      this.endedEvidence[at] = ended;
      this.completedEvidence++;
    }
    if (seen > this.seenEvidence[at]!) {
      this.seenEvidence[at] = seen;
      this.atomicEvidence++;
    }
    this.compareValue(word, value, number, cpu);
    this.goesForward(at, word, number, cpu, isLoad);
    if (number > words[RECORD_LIMIT]! || this.issueTick < 0) this.unrecorded++;
    else this.record(word, value, number, cpu, isLoad);
  }

  private record(word: number, value: number, number: number, cpu: number, isLoad: boolean): void {
    const { words } = this;
    if (Atomics.load(words, NUMBERED) > words[RECORD_LIMIT]!) {
      this.unrecorded++;
      return;
    }
    this.recorded++;
    const end = this.tick();
    if (isLoad) this.observations.loaded(word, value, number, cpu, this.issueTick, end);
    else this.observations.fetched(word, value, number, cpu, this.issueTick, end);
  }

  private late(word: number, number: number, ended: number, cpu: number): void {
    const text = `CPU ${cpu} fetched word ${word} of write ${number}, though write ${ended} to it had ended before the fetch was issued`;
    this.report('completed', text);
  }

  private backward(word: number, number: number, seen: number, cpu: number): void {
    const text = `CPU ${cpu} fetched word ${word} of write ${number}, though another core had seen write ${seen} before the fetch was issued`;
    this.report('atomic', text);
  }

  private compareValue(word: number, value: number, number: number, cpu: number): void {
    const cell = this.reference[word - this.firstWord]!;
    if (numberOfCell(cell) !== number) return;
    this.compared++;
    if (wordOfCell(cell) === value) return;
    const text = `CPU ${cpu} saw 0x${value.toString(16)} in word ${word}, where write ${number} had put 0x${wordOfCell(cell).toString(16)}`;
    this.report('R3', text);
  }

  private goesForward(at: number, word: number, number: number, cpu: number, isLoad: boolean): void {
    const last = isLoad ? this.loadedLast : this.fetchedLast;
    const key = (cpu - this.firstCpu) * this.watched.count + at;
    const before = last[key]!;
    if (number >= before) last[key] = number;
    else {
      const verb = isLoad ? 'loaded' : 'fetched';
      this.report('R4', `CPU ${cpu} ${verb} word ${word} of write ${number} after it had seen write ${before}`);
    }
  }

  /** Word `i` of the group that was fetched last was executed. */
  executed(i: number, word: number, value: number, number: number, cpu: number): void {
    const synchronised = this.issueSynchronised[i]!;
    if (synchronised > 0) this.synchronisedEvidence++;
    if (number < synchronised) {
      const text = `CPU ${cpu} executed word ${word} of write ${number}, though the synchronisation of the writer of ${synchronised} had returned before it was fetched`;
      this.report('X1', text);
    }
    if (Atomics.load(this.words, NUMBERED) <= this.words[RECORD_LIMIT]!) {
      this.observations.executed(word, value, number, cpu, this.issueTick);
    }
  }

  /** A write of words from `word` is over: its core leaves EL2. */
  ended(word: number, count: number, number: number): void {
    const { index } = this.watched;
    for (let i = word; i < word + count; i++) {
      const at = index[i]! - 1;
      if (at >= 0) this.raise(ENDED_WORDS, at, number);
    }
  }

  /** The synchronisation of the writer of `number` has returned. */
  synchronised(word: number, number: number): void {
    const at = this.watched.index[word]! - 1;
    if (at >= 0) this.raise(SYNCHRONISED, at, number);
  }
}
