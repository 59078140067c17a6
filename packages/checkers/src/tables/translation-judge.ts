/**
 * T5: what cores have cached of one node's stage-2 tables.
 *
 * A leaf or table that leaves the tables is retired: cores may go on using it until a TLBI that covers it is complete (DSB,
 * TLBI of stage 2, DSB, TLBI of stage 1, DSB; or DSB, TLBI of both, DSB), and not a moment longer.
 *
 * Verifies: at the completion of each such sequence, that no TLB, walk cache or micro entry of any core of the node leads to
 * what was retired before it, unless the tables lead there again with the same permissions; at the end of the run, that every
 * entry equals a walk over the tables as they are, or over a leaf that is retired and not yet invalidated.
 * Does not verify: entries of the kernel's stage-1 tables, which nobody changes but for the fixmap slot; moments between two
 * completions; other nodes' cores, which never cache this node's tables. Costs a scan of the cores' TLBs for each completed
 * sequence. That a TLBI was performed at all is T4's business.
 */
import { hex } from '@numalab/base';
import {
  ACCESS_READ,
  descriptorKind,
  KIND_BLOCK,
  KIND_PAGE,
  KIND_TABLE,
  levelBytes,
  outputAddress,
  type Stage2Config,
  Stage2Walker,
  type TableOp,
  TLB_EXECUTE,
  TLB_READ,
  TLB_WRITE,
  type Tlb,
  type WordMemory,
} from '@numalab/machine';
import type { TranslatingNode } from '@numalab/node-worker';
import { Findings, type TableFinding } from './finding.ts';

/** A leaf, or (`isTable`) the address of a table, that was taken out of the tables. */
interface Retired {
  readonly ipa: number;
  readonly bytes: number;
  readonly pa: number;
  readonly isTable: boolean;
  /** How far its invalidation is: stages invalidated, and whether a barrier has made that complete. */
  ordered: boolean;
  stage2: boolean;
  stage2Done: boolean;
  both: boolean;
}

const permissionsOf = ({ readable, writable, executable }: Stage2Walker): number =>
  (readable ? TLB_READ : 0) | (writable ? TLB_WRITE : 0) | (executable ? TLB_EXECUTE : 0);

export class TranslationJudge {
  private readonly config: Stage2Config;
  private readonly walker: Stage2Walker;
  private readonly found = new Findings();
  private readonly nodeId: number;
  private node: TranslatingNode | null = null;
  private retired: Retired[] = [];
  /** Cached translations that were looked at because they might be stale, or at the end. */
  checked = 0;

  constructor(nodeId: number, memory: WordMemory, config: Stage2Config) {
    this.nodeId = nodeId;
    this.config = config;
    this.walker = new Stage2Walker(memory, config);
  }

  /** From here on cores run. What was changed before, nobody can have cached. */
  attach(node: TranslatingNode): void {
    this.node = node;
    this.retired = [];
  }

  get findings(): readonly TableFinding[] {
    return this.found.list;
  }

  write(oldLo: number, oldHi: number, newLo: number, newHi: number, level: number, ipa: number): void {
    if (this.node === null || (oldLo & 1) === 0 || (oldLo === newLo && oldHi === newHi)) return;
    const { config } = this;
    const kind = descriptorKind(config, oldLo, oldHi, level);
    if (kind !== KIND_TABLE && kind !== KIND_BLOCK && kind !== KIND_PAGE) return;
    this.retired.push({
      ipa,
      bytes: levelBytes(config.granule, level),
      pa: outputAddress(config, oldLo, oldHi, level),
      isTable: kind === KIND_TABLE,
      ordered: false,
      stage2: false,
      stage2Done: false,
      both: false,
    });
  }

  /** A barrier or TLBI of the node's EL2 is over. */
  performed(op: TableOp): void {
    if (this.node === null || this.retired.length === 0 || op.op === 'isb') return;
    let complete = false;
    for (const one of this.retired) {
      if (op.op === 'dsb') {
        one.ordered = true;
        if (op.kind === 'ishst') continue;
        one.stage2Done ||= one.stage2;
        complete ||= one.both;
      } else if (!one.ordered) continue;
      else if (op.kind === 'vmalls12e1is') one.both = true;
      else if (op.kind === 'vmalle1is') one.both ||= one.stage2Done;
      else if (op.kind === 'ipas2e1is') {
        const at = op.ipa ?? -1;
        if (!one.isTable && at >= one.ipa && at < one.ipa + one.bytes) one.stage2 = true;
      }
    }
    if (!complete) return;
    const gone = this.retired.filter(({ both }) => both);
    this.retired = this.retired.filter(({ both }) => !both);
    for (const one of gone) this.expect(one);
  }

  /** No core may lead to `one` any more. */
  private expect(one: Retired): void {
    for (const cpu of this.node!.cpus) {
      if (one.isTable) {
        for (const tables of cpu.stage2Tables) {
          for (let i = 0; i < tables.from.length; i++) {
            if (tables.from[i]! >= 0 && tables.to[i] === one.pa) this.checkTable(cpu.cpu, tables, i);
          }
        }
        continue;
      }
      const end = one.pa + one.bytes;
      const scan = (tlb: Tlb, what: string): void => {
        for (let i = 0; i < tlb.from.length; i++) {
          if (tlb.from[i]! < 0 || tlb.to[i]! >= end || tlb.to[i]! + 2 ** tlb.shift[i]! <= one.pa) continue;
          const pa = Math.max(tlb.to[i]!, one.pa);
          this.check(cpu.cpu, what, one.ipa + pa - one.pa, pa, tlb.permissions[i]!, 'its TLBI is complete');
        }
      };
      scan(cpu.stage2Leaves, 'walk cache');
      if (!this.node!.nested) scan(cpu.tlb, 'TLB');
      const { microFrom, microEnd, microTo } = cpu;
      const pa = Math.max(microTo, one.pa);
      if (microEnd >= 0 && pa < end && pa < microTo + microEnd - microFrom) {
        this.check(cpu.cpu, 'micro entry', one.ipa + pa - one.pa, pa, TLB_READ, 'its TLBI is complete');
      }
    }
  }

  private checkTable(cpu: number, tables: Tlb, index: number): void {
    this.checked++;
    const ipa = tables.from[index]!;
    this.walker.walk(ipa, ACCESS_READ);
    const page = this.config.granule.bytes;
    for (let i = 1; i < this.walker.reads; i++) {
      if (this.walker.readPa[i]! - (this.walker.readPa[i]! % page) === tables.to[index]) return;
    }
    const text = `CPU ${cpu} has a table at ${hex(tables.to[index]!)} in its walk cache that was unlinked, and its TLBI is complete`;
    this.found.add('T5', 'stale-table', this.nodeId, ipa, text);
  }

  /** Whether the tables lead from `ipa` to `pa` with at least these permissions. */
  private agrees(ipa: number, pa: number, permissions: number): boolean {
    const { walker } = this;
    return walker.walk(ipa, ACCESS_READ) === 0 && walker.pa === pa && (permissions & ~permissionsOf(walker)) === 0;
  }

  private check(cpu: number, what: string, ipa: number, pa: number, permissions: number, why: string): void {
    this.checked++;
    if (this.agrees(ipa, pa, permissions)) return;
    const text = `CPU ${cpu} still translates to ${hex(pa)} by its ${what}, where the tables do not lead, and ${why}`;
    this.found.add('T5', 'stale-translation', this.nodeId, ipa, text);
  }

  /** At the end of a run: every entry of every core. */
  finish(): void {
    const { node } = this;
    if (node === null) return;
    const pending = (ipa: number): boolean => this.retired.some((one) => ipa >= one.ipa && ipa < one.ipa + one.bytes);
    const why = 'no leaf that awaits its TLBI explains it';
    for (const { cpu, tlb, stage2Leaves, microFrom, microEnd, microTo } of node.cpus) {
      const one = (what: string, ipa: number, pa: number, permissions: number): void => {
        if (ipa >= 0 && !pending(ipa)) this.check(cpu, what, ipa, pa, permissions, why);
      };
      const each = (of: Tlb, what: string, ipaOf: (from: number) => number): void => {
        for (let i = 0, left = of.size; left > 0; i++) {
          if (of.from[i]! < 0) continue;
          left--;
          one(what, ipaOf(of.from[i]!), of.to[i]!, of.permissions[i]!);
        }
      };
      each(stage2Leaves, 'walk cache', (ipa) => ipa);
      if (!node.nested) each(tlb, 'TLB', (va) => node.ipaOfVa(va));
      if (microEnd >= 0) one('micro entry', node.ipaOfText(microFrom), microTo, TLB_READ);
    }
  }
}
