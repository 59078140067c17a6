/**
 * A node's table operations as a log for the outside checker casemate (rems-project/casemate 3.0.2): one s-expression a line.
 * Give it to the editor as observer and run operations through `watched`. The log begins with the registers of a CPU that
 * uses these tables and with the empty root, so it must be made before the first store.
 *
 * Every store is a release, because casemate reports a second plain one under one lock. A page that is given back is cleared
 * and freed in the log, and initialised again when it becomes a table again.
 */
import { InputError } from '@numalab/base';
import type { Stage2Config } from '../arm/index.ts';
import type { OperationWatcher, TableObserver, TableOp } from './table-ops.ts';

/** Threads of a log: the node's EL2 context, and the hypervisor. */
export const CASEMATE_NODE_THREAD = 0;
export const CASEMATE_HYPERVISOR_THREAD = 1;

/** Where the lock of the only root lies, as far as casemate is concerned: an address that holds nothing else. */
const LOCK_ADDRESS = 8;
const TTL_4K = 1;
const THREADS: readonly number[] = [CASEMATE_NODE_THREAD, CASEMATE_HYPERVISOR_THREAD];

/** Why casemate cannot judge these tables; empty if it can. It knows the 4K granule, levels 0 to 3 and roots of one page. */
export const casemateObstacle = (config: Stage2Config): string => {
  if (config.granule.name !== '4K') return `casemate knows the 4K granule only, not ${config.granule.name}`;
  if (config.ds) return 'casemate does not know LPA2';
  return config.ipaBits === 48 ? '' : `casemate needs ipaBits 48, not ${config.ipaBits}`;
};

const hexWords = (lo: number, hi: number): string =>
  hi === 0 ? `0x${(lo >>> 0).toString(16)}` : `0x${(hi >>> 0).toString(16)}${(lo >>> 0).toString(16).padStart(8, '0')}`;
const hexNumber = (value: number): string => `0x${value.toString(16)}`;

/** Text of about this many lines is joined into one string, to keep memory in bounds. */
const LINES_PER_CHUNK = 4096;

export class CasemateTrace implements TableObserver, OperationWatcher {
  thread: number = CASEMATE_NODE_THREAD;
  private readonly root: number;
  private readonly pageBytes: number;
  private readonly chunks: string[] = [];
  private lines: string[] = [];
  private id = 0;

  /** Begins a log of the tables of `config`, whose root is empty. Throws {@link InputError} if casemate cannot judge them. */
  constructor(config: Stage2Config) {
    const obstacle = casemateObstacle(config);
    if (obstacle !== '') throw new InputError('casemate', obstacle);
    this.root = config.rootPa;
    this.pageBytes = config.granule.bytes;
    for (const thread of THREADS) {
      this.thread = thread;
      this.register('vtcr_el2', `0x${config.vtcr.toString(16)}`);
      this.register('tcr_el2', '0x10');
      for (const name of ['mair_el2', 'hcr_el2', 'sctlr_el2']) this.register(name, '0x0');
      if (thread === CASEMATE_NODE_THREAD) {
        this.line('mem-init', `(address ${hexNumber(this.root)}) (size ${hexNumber(this.pageBytes)})`);
        this.hint('set_root_lock', this.root, LOCK_ADDRESS);
      }
      this.register('vttbr_el2', `0x${config.vttbr.toString(16)}`);
      this.register('hcr_el2', '0x1');
    }
    this.thread = CASEMATE_NODE_THREAD;
  }

  /** The log so far. */
  text(): string {
    this.join();
    return this.chunks.join('');
  }

  lock(thread: number): void {
    this.thread = thread;
    this.line('lock', `(address ${hexNumber(LOCK_ADDRESS)})`);
  }

  unlock(thread: number): void {
    this.thread = thread;
    this.line('unlock', `(address ${hexNumber(LOCK_ADDRESS)})`);
  }

  write(pa: number, _oldLo: number, _oldHi: number, newLo: number, newHi: number): void {
    this.line('mem-write', `(mem-order release) (address ${hexNumber(pa)}) (value ${hexWords(newLo, newHi)})`);
  }

  allocTable(pa: number): void {
    this.line('mem-init', `(address ${hexNumber(pa)}) (size ${hexNumber(this.pageBytes)})`);
    this.hint('set_owner_root', pa, this.root);
  }

  freeTable(pa: number): void {
    const page = `(address ${hexNumber(pa)}) (size ${hexNumber(this.pageBytes)})`;
    this.line('mem-set', `${page} (value 0x0)`);
    this.line('mem-free', page);
  }

  perform(op: TableOp, thread: number): void {
    this.thread = thread;
    if (op.op === 'tlbi') {
      const operand = op.ipa === undefined ? '' : ` (value ${this.operand(op.ipa, op.level)})`;
      this.line('tlbi', op.kind + operand);
    } else this.line('barrier', op.op === 'isb' ? 'isb' : `dsb (kind ${op.kind ?? 'sy'})`);
  }

  /** The operand of a TLBI by IPA: IPA[51:12] in [39:0], the hint in [47:44]. */
  private operand(ipa: number, level: number | undefined): string {
    const page = Math.floor(ipa / this.pageBytes);
    const ttl = level === undefined ? 0 : (TTL_4K << 2) | level;
    return hexWords(page % 2 ** 32, Math.floor(page / 2 ** 32) + ttl * 2 ** 12);
  }

  private register(name: string, value: string): void {
    this.line('sysreg-write', `(sysreg ${name}) (value ${value})`);
  }

  private hint(kind: string, location: number, value: number): void {
    this.line('hint', `(kind ${kind}) (location ${hexNumber(location)}) (value ${hexNumber(value)})`);
  }

  private line(kind: string, fields: string): void {
    // Casemate wants to know where in a program this happened; the record's number says as much as we know.
    this.lines.push(`(${kind} (id ${this.id}) (tid ${this.thread}) ${fields} (src "numalab:${this.id}"))\n`);
    this.id += 1;
    if (this.lines.length >= LINES_PER_CHUNK) this.join();
  }

  private join(): void {
    if (this.lines.length === 0) return;
    this.chunks.push(this.lines.join(''));
    this.lines = [];
  }
}
