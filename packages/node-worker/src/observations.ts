/** A broken rule, with the event and the place that break it. */
export interface Finding {
  /** The rule's id: `R4`. */
  readonly id: string;
  readonly message: string;
  readonly timePs: number;
}

/**
 * What one node's cores saw of one word, by write number. Times are picoseconds of virtual time. Entries of one index belong
 * together. That is all a judge needs to decide the levels exactly: only the latest issue can be too late for a number, only
 * the earliest end can be too early.
 */
export interface WordLog {
  /** Offset of the word from `_text` in words. */
  readonly word: number;
  readonly numbers: number[];
  /** The highest of the numbers; -1 if there is none. */
  highest: number;
  readonly values: number[];
  /** Fetches that saw the number. */
  readonly counts: number[];
  /** The fetch that saw the number and was issued latest: issue, end, core. */
  readonly lastIssue: number[];
  readonly lastIssueEnd: number[];
  readonly lastIssueCpu: number[];
  /** The fetch that saw it and ended first: issue, end, core. */
  readonly firstEnd: number[];
  readonly firstEndIssue: number[];
  readonly firstEndCpu: number[];
  /** Latest execution of the word with that number, and its core. */
  readonly lastExecution: number[];
  readonly lastExecutionCpu: number[];
}

/**
 * Groups of four words of which several may be written, as cores sampled them at one moment: which numbers stood together.
 * Each combination once, with the core and the moment that saw it first.
 */
export interface GroupLog {
  /** Offset of the group from `_text` in groups. */
  readonly group: number;
  /** Four numbers for each combination. */
  readonly numbers: number[];
  readonly cpus: number[];
  readonly times: number[];
  /** The highest of the numbers. */
  highest: number;
}

/** Of each rule: a flood of one must not hide another. */
const FINDINGS_KEPT = 8;

/** Whether a combination stands in the log: newest stand last and are asked for most. */
const isKnown = (known: readonly number[], numbers: Uint32Array): boolean => {
  for (let i = known.length - 4; i >= 0; i -= 4) {
    if (
      known[i] === numbers[0] &&
      known[i + 1] === numbers[1] &&
      known[i + 2] === numbers[2] &&
      known[i + 3] === numbers[3]
    )
      return true;
  }
  return false;
};

/**
 * Records what the cores of one node fetch and execute of words that may be written, in memory bounded by words times
 * writes. Checks on the spot that every core goes forward (R4), and that one number always has one value (half of R3).
 */
export class Observations {
  readonly words: Map<number, WordLog> = new Map();
  readonly groups: Map<number, GroupLog> = new Map();
  readonly findings: Finding[] = [];
  /** Findings that were not kept. */
  dropped = 0;
  /** Told of every finding. */
  listener: ((finding: Finding) => void) | null = null;
  private readonly foundOf: Map<string, number> = new Map();
  private readonly lastNumber: Map<number, number> = new Map();
  private readonly firstCpu: number;
  private readonly cores: number;

  /** Cores are known by their number in the machine, from `firstCpu`. */
  constructor(firstCpu: number, cores: number) {
    this.firstCpu = firstCpu;
    this.cores = cores;
  }

  /** Notes a finding, or only counts it if there are many. */
  report(id: string, message: string, timePs: number): void {
    const count = this.foundOf.get(id) ?? 0;
    this.foundOf.set(id, count + 1);
    this.listener?.({ id, message, timePs });
    if (count < FINDINGS_KEPT) this.findings.push({ id, message, timePs });
    else this.dropped++;
  }

  private index(log: WordLog, number: number, value: number): number {
    // Newest numbers stand last and are asked for most; one above all others is new.
    if (number <= log.highest) {
      for (let i = log.numbers.length - 1; i >= 0; i--) if (log.numbers[i] === number) return i;
    } else log.highest = number;
    log.numbers.push(number);
    log.values.push(value);
    log.counts.push(0);
    log.lastIssue.push(-1);
    log.lastIssueEnd.push(-1);
    log.lastIssueCpu.push(-1);
    log.firstEnd.push(Infinity);
    log.firstEndIssue.push(-1);
    log.firstEndCpu.push(-1);
    log.lastExecution.push(-1);
    log.lastExecutionCpu.push(-1);
    return log.numbers.length - 1;
  }

  private log(word: number): WordLog {
    let log = this.words.get(word);
    if (log === undefined) {
      log = {
        word,
        numbers: [],
        highest: -1,
        values: [],
        counts: [],
        lastIssue: [],
        lastIssueEnd: [],
        lastIssueCpu: [],
        firstEnd: [],
        firstEndIssue: [],
        firstEndCpu: [],
        lastExecution: [],
        lastExecutionCpu: [],
      };
      this.words.set(word, log);
    }
    return log;
  }

  /** Core `cpu` fetched `word` from `issue` to `end` and saw `value`, which write `number` had put there. */
  fetched(word: number, value: number, number: number, cpu: number, issue: number, end: number): void {
    this.saw(word, value, number, cpu, issue, end);
    this.goesForward(2 * (word * this.cores + (cpu - this.firstCpu)), 'fetched', word, number, cpu, end);
  }

  /**
   * Core `cpu` loaded `word`. Loads are coherent and fetches are not, so a core may load what it does not fetch yet: each
   * goes forward by itself.
   */
  loaded(word: number, value: number, number: number, cpu: number, issue: number, end: number): void {
    this.saw(word, value, number, cpu, issue, end);
    this.goesForward(2 * (word * this.cores + (cpu - this.firstCpu)) + 1, 'loaded', word, number, cpu, end);
  }

  private saw(word: number, value: number, number: number, cpu: number, issue: number, end: number): void {
    const log = this.log(word);
    const i = this.index(log, number, value);
    if (log.values[i] !== value) {
      const message = `word ${word} with number ${number} was seen as ${log.values[i]!.toString(16)} and by CPU ${cpu} as ${value.toString(16)}`;
      this.report('R3', message, end);
    }
    log.counts[i]!++;
    if (issue > log.lastIssue[i]!) {
      log.lastIssue[i] = issue;
      log.lastIssueEnd[i] = end;
      log.lastIssueCpu[i] = cpu;
    }
    if (end < log.firstEnd[i]!) {
      log.firstEnd[i] = end;
      log.firstEndIssue[i] = issue;
      log.firstEndCpu[i] = cpu;
    }
  }

  private goesForward(key: number, verb: string, word: number, number: number, cpu: number, end: number): void {
    const last = this.lastNumber.get(key);
    if (last === undefined || number > last) this.lastNumber.set(key, number);
    else if (number < last) {
      this.report('R4', `CPU ${cpu} ${verb} word ${word} of write ${number} after it had seen write ${last}`, end);
    }
  }

  /** Core `cpu` sampled a whole group at `time`: its words stood at these numbers at one moment. */
  together(group: number, numbers: Uint32Array, cpu: number, time: number): void {
    let log = this.groups.get(group);
    if (log === undefined) {
      log = { group, numbers: [], cpus: [], times: [], highest: -1 };
      this.groups.set(group, log);
    }
    const newest = Math.max(numbers[0]!, numbers[1]!, numbers[2]!, numbers[3]!);
    if (newest > log.highest) log.highest = newest;
    else if (isKnown(log.numbers, numbers)) return;
    log.numbers.push(numbers[0]!, numbers[1]!, numbers[2]!, numbers[3]!);
    log.cpus.push(cpu);
    log.times.push(time);
  }

  /** Core `cpu` executed `word` at `time`, as write `number` had left it. */
  executed(word: number, value: number, number: number, cpu: number, time: number): void {
    const log = this.log(word);
    const i = this.index(log, number, value);
    if (time > log.lastExecution[i]!) {
      log.lastExecution[i] = time;
      log.lastExecutionCpu[i] = cpu;
    }
  }
}
