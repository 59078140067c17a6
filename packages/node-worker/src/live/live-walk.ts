import {
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
  literalOffset,
} from '@numalab/machine';
import { nodeBase } from '../layout.ts';
import { FunctionPicker } from '../walk-model.ts';
import type { LiveCpu } from './live-cpu.ts';
import type { LiveNode } from './live-node.ts';

/** Groups a walk executes before it gives the current function up. */
const PATIENCE = 512;
const FRACTION = 2 ** 20;

/** The random walk of cores over the real text, as in virtual time (see Walk), but nothing is fetched ahead. */
export class LiveWalk {
  private readonly node: LiveNode;
  private readonly picker: FunctionPicker;
  private readonly loads: number;
  private readonly touches: number;
  private readonly mmioTouches: number;

  constructor(node: LiveNode) {
    const { workload } = node.spec;
    this.node = node;
    this.picker = new FunctionPicker(node.spec);
    this.loads = Math.round(workload.loads * FRACTION);
    this.mmioTouches = Math.round(workload.mmio * FRACTION);
    this.touches = this.mmioTouches + Math.round(workload.data * FRACTION);
  }

  /** Puts a core at the start of a function. */
  begin(cpu: LiveCpu): void {
    cpu.callDepth = 0;
    cpu.patience = PATIENCE;
    cpu.pc = this.picker.pick(cpu.random);
  }

  /** Lets a core execute `groups` groups; less if it cannot go on. */
  run(cpu: LiveCpu, groups: number): void {
    const { fetch } = this.node;
    for (let i = 0; i < groups && cpu.waitsForPage < 0; i++) {
      if (!fetch.group(cpu, cpu.pc & ~15)) {
        if (cpu.waitsForPage < 0) this.begin(cpu);
        return;
      }
      this.execute(cpu);
    }
  }

  private execute(cpu: LiveCpu): void {
    const { fetch, checks } = this.node;
    const { words, numbers, watched } = fetch;
    const offset = cpu.pc & ~15;
    const first = (cpu.pc & 15) >> 2;
    let next = offset + 16;
    let i = first;
    // Copied first: what the branch loads is fetched into the same place.
    for (; i < 4; i++) {
      const word = words[i]!;
      if ((watched & (1 << i)) !== 0) checks.executed(i, (offset >> 2) + i, word, numbers[i]!, cpu.cpu);
      const kind = instructionClass(word);
      if (kind === CLASS_OTHER) continue;
      const target = this.branch(cpu, word, kind, offset + 4 * i);
      if (target >= 0) {
        next = target;
        break;
      }
    }
    cpu.pc = next;
    if (--cpu.patience < 0) this.begin(cpu);
    if (this.touches > 0) {
      const draw = cpu.random.below(FRACTION);
      if (draw < this.touches) this.touch(cpu, draw < this.mmioTouches);
    }
  }

  private push(cpu: LiveCpu, offset: number): void {
    cpu.callStack[cpu.callDepth % cpu.callStack.length] = offset;
    cpu.callDepth++;
  }

  private branch(cpu: LiveCpu, word: number, kind: number, pc: number): number {
    switch (kind) {
      case CLASS_CONDITIONAL:
        return cpu.random.below(2) === 0 ? this.inText(cpu, pc + branchOffset(word)) : -1;
      case CLASS_B:
        return this.inText(cpu, pc + branchOffset(word));
      case CLASS_BL:
        this.push(cpu, pc + 4);
        return this.inText(cpu, pc + branchOffset(word));
      case CLASS_RET:
        if (cpu.callDepth === 0) return this.picker.pick(cpu.random);
        cpu.callDepth--;
        return cpu.callStack[cpu.callDepth % cpu.callStack.length]!;
      case CLASS_INDIRECT_CALL:
        this.push(cpu, pc + 4);
        return this.picker.pick(cpu.random);
      case CLASS_INDIRECT_JUMP:
        return this.picker.pick(cpu.random);
      case CLASS_LITERAL_LOAD:
        return this.load(cpu, pc + literalOffset(word), pc + 4);
      case CLASS_ADRP:
        return this.load(cpu, (pc & ~4095) + adrpOffset(word) + cpu.random.below(1024) * 4, pc + 4);
      case CLASS_BARRIER:
        return pc + 4;
      default:
        cpu.callDepth = 0;
        return this.picker.pick(cpu.random);
    }
  }

  private inText(cpu: LiveCpu, offset: number): number {
    const { start, end } = this.node.spec.kernel.text;
    return offset >= start && offset < end ? offset : this.picker.pick(cpu.random);
  }

  private load(cpu: LiveCpu, offset: number, next: number): number {
    const { node } = this;
    const { spanStart, spanEnd } = node.layout;
    if (cpu.random.below(FRACTION) >= this.loads) return -1;
    if (offset < spanStart || offset + 4 > spanEnd || node.isHole(offset)) return -1;
    node.fetch.load(cpu, offset);
    return next;
  }

  /** Touches memory outside the image, through stage 2 alone. */
  private touch(cpu: LiveCpu, isMmio: boolean): void {
    const { spec, layout, el2, fetch } = this.node;
    const page = 4096;
    let ipa = cpu.random.below(Math.max(1, spec.base / page)) * page;
    if (!isMmio) {
      const home = cpu.random.below(spec.nodes);
      const start = home === 0 ? layout.stage1Pa[0]! + layout.stage1Bytes : nodeBase(spec, home);
      const end = Math.min(layout.poolPa[home]!, home === 0 ? Infinity : layout.copyPa[home]!);
      ipa = start + cpu.random.below(Math.floor((end - start) / page)) * page;
    } else if (spec.base === 0) return;
    if (el2.reach(cpu, ipa, ACCESS_READ)) fetch.loads++;
  }
}
