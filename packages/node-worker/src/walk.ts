import { alignDown, type Step, type Task, TaskRun, WAIT } from '@numalab/base';
import {
  ACCESS_EXECUTE,
  ACCESS_READ,
  adrpOffset,
  branchOffset,
  CLASS_ADRP,
  CLASS_B,
  CLASS_BARRIER,
  CLASS_BL,
  CLASS_CONDITIONAL,
  CLASS_INDIRECT_CALL,
  CLASS_INDIRECT_JUMP,
  CLASS_LITERAL_LOAD,
  CLASS_OTHER,
  CLASS_RET,
  instructionClass,
  LINE_BYTES,
  LINE_CELLS,
  literalOffset,
  sizeOfShift,
} from '@numalab/machine';
import { kernelWords } from './boot.ts';
import type { NodeProcess } from './node.ts';
import { SlowFetch } from './slow-fetch.ts';
import { drawPage, touch } from './touch.ts';
import {
  type FetchGroup,
  MODE_TASK,
  SERVED_L1I,
  SERVED_LOCAL,
  SERVED_REMOTE,
  SERVED_SHARED,
  type Vcpu,
} from './vcpu.ts';

/** Groups a walk executes before it gives the current function up, so that no loop in the text holds it for ever. */
const PATIENCE = 512;
/** Resolution of the scenario's fractions. */
const FRACTION = 2 ** 20;
/** Length of a duty cycle: within each a core executes for the fraction `duty`. */
const DUTY_PERIOD_PS = 10_000_000;

/**
 * The random walk of one node's cores over the real text: fetches every word through the MMU and the instruction cache,
 * decodes branches and follows them, conditional ones by coin, and loads what literal loads and ADRP name. Patched sites
 * change its path, because what it decodes is what it fetched.
 */
export class Walk {
  private readonly node: NodeProcess;
  private readonly initial: Uint32Array;
  private readonly textStart: number;
  private readonly textEnd: number;
  private readonly spanStart: number;
  private readonly spanEnd: number;
  private readonly cyclePs: number;
  private readonly activePs: number;
  private readonly loads: number;
  private readonly touches: number;
  private readonly mmioTouches: number;
  private readonly fetchAhead: boolean;
  /** By core. */
  private readonly slowFetches: readonly SlowFetch[];

  constructor(node: NodeProcess) {
    const { kernel, workload } = node.spec;
    this.node = node;
    this.initial = kernelWords(node.spec);
    this.textStart = kernel.text.start;
    this.textEnd = kernel.text.end;
    this.spanStart = node.layout.spanStart;
    this.spanEnd = node.layout.spanEnd;
    this.cyclePs = node.latencies.cyclePs;
    this.loads = Math.round(workload.loads * FRACTION);
    this.mmioTouches = Math.round(workload.mmio * FRACTION);
    this.touches = this.mmioTouches + Math.round(workload.data * FRACTION);
    this.fetchAhead = node.spec.fetchAhead;
    this.activePs = Math.round(DUTY_PERIOD_PS * workload.duty);
    this.slowFetches = node.cpus.map((cpu) => new SlowFetch(this, cpu));
  }

  /** Puts a core at the start of its first duty cycle. */
  begin(cpu: Vcpu): void {
    cpu.patience = PATIENCE;
    cpu.pc = this.node.picker.pick(cpu.random);
    cpu.asleep = true;
    const { cpus } = this.node.spec.workload;
    if (this.activePs === 0 || (cpus !== null && !cpus.includes(cpu.cpu))) cpu.time = Infinity;
    else {
      cpu.time = cpu.random.below(DUTY_PERIOD_PS);
    }
  }

  /** Lets core `cpu`, in mode walk, execute until `until`, its span's end, or an access that other cores can notice. */
  run(cpu: Vcpu, until: number): void {
    if (cpu.asleep) {
      cpu.asleep = false;
      cpu.activeUntil = cpu.time + this.activePs;
    }
    while (cpu.time < until) {
      if (cpu.time >= cpu.activeUntil && this.activePs < DUTY_PERIOD_PS) {
        this.sleep(cpu);
        return;
      }
      const offset = cpu.pc & ~15;
      let group = cpu.current;
      if (group.offset !== offset) {
        group = cpu.ahead;
        cpu.ahead = cpu.current;
        cpu.current = group;
        if (group.offset !== offset && !this.fetch(cpu, offset, group)) {
          group.offset = -1;
          cpu.mode = MODE_TASK;
          cpu.task = this.slowFetches[cpu.core]!.begin(offset);
          return;
        }
      }
      const { ahead } = cpu;
      if (this.fetchAhead && ahead.offset !== offset + 16 && !this.fetch(cpu, offset + 16, ahead)) ahead.offset = -1;
      const from = cpu.time;
      this.execute(cpu, group);
      cpu.activeTicks += cpu.time - from;
      if (cpu.task !== null) return;
    }
  }

  private sleep(cpu: Vcpu): void {
    // A span that a task or a slow fetch outlasted delays the ones after it.
    cpu.time = Math.max(cpu.time, cpu.activeUntil + DUTY_PERIOD_PS - this.activePs);
    cpu.asleep = true;
  }

  /** Fetches a group if translation and line are at hand in this core alone. */
  private fetch(cpu: Vcpu, offset: number, group: FetchGroup): boolean {
    if (offset < cpu.microFrom || offset >= cpu.microEnd) return false;
    const pa = cpu.microTo + (offset - cpu.microFrom);
    const line = cpu.l1i.lookup(pa);
    if (line < 0) return false;
    this.take(cpu, offset, pa, line, group, cpu.time);
    const words = 4 - (offset === (cpu.pc & ~15) ? (cpu.pc & 15) >> 2 : 0);
    cpu.served[SERVED_L1I]! += words;
    return true;
  }

  /** Copies a group out of line `line` of the instruction cache, counts, records and checks it. */
  private take(cpu: Vcpu, offset: number, pa: number, line: number, group: FetchGroup, issue: number): void {
    const { cells } = cpu.l1i;
    const at = line * LINE_CELLS + ((pa & (LINE_BYTES - 1)) >>> 2) * 2;
    const { words, numbers } = group;
    const w0 = cells[at]!;
    const w1 = cells[at + 2]!;
    const w2 = cells[at + 4]!;
    const w3 = cells[at + 6]!;
    words[0] = w0;
    words[1] = w1;
    words[2] = w2;
    words[3] = w3;
    const n0 = cells[at + 1]!;
    const n1 = cells[at + 3]!;
    const n2 = cells[at + 5]!;
    const n3 = cells[at + 7]!;
    numbers[0] = n0;
    numbers[1] = n1;
    numbers[2] = n2;
    numbers[3] = n3;
    group.offset = offset;
    const { initial, node } = this;
    const word = offset >> 2;
    group.watched = node.watch[word >> 2]!;
    const asBuilt =
      (w0 ^ initial[word]!) | (w1 ^ initial[word + 1]!) | (w2 ^ initial[word + 2]!) | (w3 ^ initial[word + 3]!);
    if ((group.watched | asBuilt | n0 | n1 | n2 | n3) !== 0) this.record(cpu, group, issue);
    cpu.fetchedWords += offset === (cpu.pc & ~15) ? 4 - ((cpu.pc & 15) >> 2) : 4;
    cpu.hash.word(offset ^ w0 ^ Math.imul(w1, 3) ^ Math.imul(w2, 5) ^ Math.imul(w3, 7));
  }

  /** Records a group with watched or changed words: what is not watched must be as built (R3). */
  private record(cpu: Vcpu, group: FetchGroup, issue: number): void {
    const word = group.offset >> 2;
    const { watched } = group;
    // More than one bit is set: a write may cover several of these words.
    if ((watched & (watched - 1)) !== 0) this.node.observations.together(word >> 2, group.numbers, cpu.cpu, cpu.time);
    for (let i = 0; i < 4; i++) {
      const value = group.words[i]!;
      const number = group.numbers[i]!;
      if ((group.watched & (1 << i)) !== 0) {
        this.node.observations.fetched(word + i, value, number, cpu.cpu, issue, cpu.time);
      } else if (number !== 0 || value !== this.initial[word + i]) {
        const text = `CPU ${cpu.cpu} fetched ${value.toString(16)} (write ${number}) from word ${word + i}, which no writer writes`;
        this.node.observations.report('R3', text, cpu.time);
      }
    }
  }

  /**
   * A fetch that misses, without the task that it takes if translation or line are not at hand on this node: then -1, and
   * nothing has happened. Otherwise the time that it costs.
   */
  fetchAtOnce(cpu: Vcpu, offset: number): number {
    const { node } = this;
    if (!node.mmu.hit(cpu, node.spec.kernel.linkVa + offset, ACCESS_EXECUTE)) return -1;
    const line = cpu.l1i.lookup(cpu.translatedPa);
    if (line < 0 && !node.coherence.isPresent(cpu.translatedPa)) return -1;
    this.keepTranslation(cpu, offset);
    return this.finishFetch(cpu, offset, cpu.translatedPa, cpu.time, false);
  }

  /** A fetch that misses: translation, line fill, and what they need of other nodes. */
  *fetchSlowly(cpu: Vcpu, offset: number): Task {
    const { node } = this;
    const issue = cpu.time;
    if (!(yield node.mmu.access(cpu, node.spec.kernel.linkVa + offset, ACCESS_EXECUTE))) {
      this.leave(cpu);
      return;
    }
    this.keepTranslation(cpu, offset);
    const pa = cpu.translatedPa;
    let isRemote = false;
    while (cpu.l1i.lookup(pa) < 0 && !node.coherence.isPresent(pa)) {
      isRemote = true;
      node.coherence.request(cpu, pa);
      yield WAIT;
      // A TLBI may have come while the line was on its way; what was translated before it is still this fetch's.
    }
    const cost = this.finishFetch(cpu, offset, pa, issue, isRemote);
    if (cost > 0 && !node.passes(cpu, cost)) yield cost;
  }

  /** Fills the line of a fetch, which is present, and takes the group. The time that the fill costs. */
  private finishFetch(cpu: Vcpu, offset: number, pa: number, issue: number, isRemote: boolean): number {
    const { coherence } = this.node;
    let line = cpu.l1i.lookup(pa);
    let served: number = SERVED_L1I;
    let cost = 0;
    if (line < 0) {
      if (isRemote) {
        served = SERVED_REMOTE;
        cpu.l2.access(pa);
      } else {
        cost = coherence.access(cpu, pa);
        served = coherence.served;
      }
      line = cpu.l1i.allocate(pa);
      coherence.readLine(pa, cpu.l1i.cells, line * LINE_CELLS, true);
    }
    this.take(cpu, offset, pa, line, cpu.current, issue);
    if (served >= SERVED_LOCAL && this.node.isShared(offset)) served = SERVED_SHARED;
    cpu.served[served]!++;
    cpu.served[SERVED_L1I]! += 3 - ((cpu.pc & 15) >> 2);
    cpu.fetchTicks += cpu.time - issue + cost;
    return cost;
  }

  /** The translation of `offset` for execution becomes the core's micro entry. */
  private keepTranslation(cpu: Vcpu, offset: number): void {
    const bytes = sizeOfShift(cpu.translatedShift);
    const into = cpu.translatedPa - alignDown(cpu.translatedPa, bytes);
    cpu.microFrom = offset - into;
    cpu.microEnd = cpu.microFrom + bytes;
    cpu.microTo = cpu.translatedPa - into;
  }

  /** The core gives up what it executes and calls another function. */
  private leave(cpu: Vcpu): void {
    cpu.callDepth = 0;
    cpu.patience = PATIENCE;
    cpu.pc = this.node.picker.pick(cpu.random);
    cpu.synchroniseContext();
  }

  private push(cpu: Vcpu, offset: number): void {
    cpu.callStack[cpu.callDepth % cpu.callStack.length] = offset;
    cpu.callDepth++;
  }

  /** Executes a group from the PC on: until its end or a branch that is taken. */
  private execute(cpu: Vcpu, group: FetchGroup): void {
    const first = (cpu.pc & 15) >> 2;
    const { words, offset } = group;
    let next = offset + 16;
    let i = first;
    for (; i < 4; i++) {
      const word = words[i]!;
      const kind = instructionClass(word);
      if (kind === CLASS_OTHER) continue;
      const target = this.branch(cpu, word, kind, offset + 4 * i);
      if (target >= 0) {
        next = target;
        i++;
        break;
      }
    }
    // An ISB has emptied the buffer by now, group included: its contents stand, its offset does not.
    if (group.watched !== 0) this.recordExecution(cpu, group, offset, first, i);
    const ticks = (i - first) * this.cyclePs;
    cpu.time += ticks;
    cpu.fetchTicks += ticks;
    cpu.pc = next;
    if (--cpu.patience < 0) this.leave(cpu);
    if (this.touches > 0 && cpu.task === null) {
      const draw = cpu.random.below(FRACTION);
      if (draw < this.touches) this.beginTouch(cpu, draw < this.mmioTouches);
    }
  }

  private beginTouch(cpu: Vcpu, isMmio: boolean): void {
    const ipa = drawPage(this.node, cpu, isMmio);
    if (ipa < 0) return;
    cpu.mode = MODE_TASK;
    cpu.task = new TaskRun(touch(this.node, cpu, ipa, isMmio));
  }

  private recordExecution(cpu: Vcpu, group: FetchGroup, offset: number, first: number, end: number): void {
    for (let i = first; i < end; i++) {
      if ((group.watched & (1 << i)) === 0) continue;
      const { words, numbers } = group;
      this.node.observations.executed((offset >> 2) + i, words[i]!, numbers[i]!, cpu.cpu, cpu.time);
    }
  }

  /** Where the instruction at `pc` leads, or -1 if to the next one. */
  private branch(cpu: Vcpu, word: number, kind: number, pc: number): number {
    switch (kind) {
      case CLASS_CONDITIONAL:
        return cpu.coin() ? this.inText(cpu, pc + branchOffset(word)) : -1;
      case CLASS_B:
        return this.inText(cpu, pc + branchOffset(word));
      case CLASS_BL:
        this.push(cpu, pc + 4);
        return this.inText(cpu, pc + branchOffset(word));
      case CLASS_RET:
        if (cpu.callDepth === 0) return this.node.picker.pick(cpu.random);
        cpu.callDepth--;
        return cpu.callStack[cpu.callDepth % cpu.callStack.length]!;
      case CLASS_INDIRECT_CALL:
        this.push(cpu, pc + 4);
        return this.node.picker.pick(cpu.random);
      case CLASS_INDIRECT_JUMP:
        return this.node.picker.pick(cpu.random);
      case CLASS_LITERAL_LOAD:
        if (cpu.random.below(FRACTION) >= this.loads) return -1;
        return this.load(cpu, pc + literalOffset(word), pc + 4);
      case CLASS_ADRP:
        if (cpu.random.below(FRACTION) >= this.loads) return -1;
        return this.load(cpu, (pc & ~4095) + adrpOffset(word) + cpu.random.below(1024) * 4, pc + 4);
      case CLASS_BARRIER:
        cpu.synchroniseContext();
        return pc + 4;
      default:
        // BRK, UDF, SVC, HVC and what is no instruction: the walk has run into something no kernel would execute here.
        cpu.callDepth = 0;
        return this.node.picker.pick(cpu.random);
    }
  }

  private inText(cpu: Vcpu, offset: number): number {
    return offset >= this.textStart && offset < this.textEnd ? offset : this.node.picker.pick(cpu.random);
  }

  /** Begins a load from the replicated span; the walk goes on at `next` after it. */
  private load(cpu: Vcpu, offset: number, next: number): number {
    if (offset < this.spanStart || offset + 4 > this.spanEnd || this.node.isHole(offset)) return -1;
    cpu.mode = MODE_TASK;
    cpu.task = new TaskRun(this.loadWord(cpu, offset));
    return next;
  }

  /** Loads the word at `offset` through the MMU, records and checks it. Returns its value. */
  *loadWord(cpu: Vcpu, offset: number): Step<number> {
    const { node } = this;
    const issue = cpu.time;
    const va = node.spec.kernel.linkVa + offset;
    if (!node.mmu.hit(cpu, va, ACCESS_READ) && !(yield node.mmu.access(cpu, va, ACCESS_READ))) return 0;
    const pa = alignDown(cpu.translatedPa, 4);
    cpu.loads++;
    if (!node.coherence.isPresent(pa)) cpu.loadsRemote++;
    const value = yield* node.coherence.load32(cpu, pa);
    const number = cpu.replyNumber;
    const word = offset >> 2;
    if ((node.watch[word >> 2]! & (1 << (word & 3))) !== 0) {
      node.observations.loaded(word, value, number, cpu.cpu, issue, cpu.time);
    } else if (number !== 0 || value !== this.initial[word]) {
      node.observations.report('R3', `CPU ${cpu.cpu} loaded ${value.toString(16)} from word ${word}`, cpu.time);
    }
    return value;
  }

  /** Fetches the word at `offset` as a jump to it would, without executing it. */
  *fetchWord(cpu: Vcpu, offset: number): Step<void> {
    const saved = cpu.pc;
    cpu.pc = offset;
    cpu.synchroniseContext();
    const cost = this.fetchAtOnce(cpu, offset & ~15);
    if (cost > 0) {
      if (!this.node.passes(cpu, cost)) yield cost;
    } else if (cost < 0) yield* this.fetchSlowly(cpu, offset & ~15);
    cpu.pc = saved;
    cpu.synchroniseContext();
  }
}
