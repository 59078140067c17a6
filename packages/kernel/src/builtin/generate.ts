import { assert, Random } from '@numalab/base';
import { a64 } from '@numalab/machine';
import {
  type BuiltAlternative,
  type BuiltJump,
  type BuiltKey,
  FunctionWriter,
  type SectionStyle,
} from './function-writer.ts';
import { type BuiltSymbol, ImageBuilder } from './image-builder.ts';
import { emitImageHeader } from './image-header.ts';
import { emitKallsyms, type KallsymsLayout } from './kallsyms-writer.ts';
import { BUILTIN_VERSION, LAYOUT } from './layout.ts';
import { NameSource } from './names.ts';
import { type BuiltPointer, emitRela, emitRelr } from './relocation-writer.ts';
import { emitCopyToKernelNofault, emitStoreGadgets } from './store-gadgets.ts';

const { NOP } = a64;

/** Which of the forms that real kernels have the generated one takes. The default is a kernel of Linux 6.12. */
export interface BuiltinShape {
  readonly kallsyms: KallsymsLayout | 'none';
  /** Whether kallsyms has data symbols and region markers too (CONFIG_KALLSYMS_ALL), or only those of text. */
  readonly allSymbols: boolean;
  readonly relocations: 'rela' | 'relr';
  /** Whether 8 bytes of literal stand before each traced function. */
  readonly callOps: boolean;
  /** Slots at the front of mcount_loc that the build has emptied. */
  readonly emptySlots: number;
}

export const DEFAULT_SHAPE: BuiltinShape = {
  kallsyms: '6.4',
  allSymbols: true,
  relocations: 'rela',
  callOps: true,
  emptySlots: 3,
};

/** The bytes of a generated Image, and what a reader must find in them. */
export interface GeneratedKernel {
  readonly bytes: Uint8Array;
  /** All symbols, sorted by offset. */
  readonly symbols: readonly BuiltSymbol[];
  /** Those that kallsyms holds. */
  readonly kept: readonly BuiltSymbol[];
  readonly jumps: readonly BuiltJump[];
  readonly alternatives: readonly BuiltAlternative[];
  readonly sites: readonly number[];
  readonly literals: readonly number[];
  readonly pointers: readonly BuiltPointer[];
}

const STATIC_KEYS = 160;
const KEY_BYTES = 16;
const KEYS_AT = LAYOUT.data + 0x1000;
/** Keys that live in ro_after_init, as those decided once at boot do. */
const CONSTANT_KEYS = 8;
const FUNCTION_POINTERS = 256;
const VECTORS = 16;
const VECTOR_BYTES = 0x80;
/** Below this many bytes before a section's end no further function is begun; the longest one is shorter. */
const MAX_FUNCTION_BYTES = 0x800;

const KERNEL: SectionStyle = { group: 'kernel', traced: true, jumpOneIn: 6, jumpFlags: 0, alternativeOneIn: 3 };
const PLAIN: SectionStyle = { group: 'kernel', traced: false, jumpOneIn: 0, jumpFlags: 0, alternativeOneIn: 0 };
const TRAMPOLINE: SectionStyle = { ...PLAIN, group: 'trampoline' };
const HYP: SectionStyle = { group: 'hyp', traced: false, jumpOneIn: 0, jumpFlags: 0, alternativeOneIn: 2 };
const INIT: SectionStyle = { group: 'init', traced: true, jumpOneIn: 6, jumpFlags: 2, alternativeOneIn: 8 };

/** The work of one generation. */
class Generator {
  private readonly builder = new ImageBuilder(LAYOUT.edata);
  private readonly seed: number;
  private readonly shape: BuiltinShape;
  private readonly names: NameSource;
  private readonly random: Random;
  private readonly writer: FunctionWriter;
  private readonly keys: BuiltKey[];
  private readonly callbacks: number[] = [];
  private readonly pointers: BuiltPointer[] = [];

  constructor(seed: number, shape: BuiltinShape) {
    this.seed = seed;
    this.shape = shape;
    this.names = new NameSource(new Random(seed, 'builtin-names'));
    this.random = new Random(seed, 'builtin-functions');
    const states = new Random(seed, 'builtin-keys');
    this.keys = Array.from({ length: STATIC_KEYS }, (_, i) => ({
      offset: (i < CONSTANT_KEYS ? LAYOUT.roAfterInit + 0x100 : KEYS_AT) + KEY_BYTES * i,
      enabled: states.chance(1, 10),
    }));
    const constants = { start: LAYOUT.constants + 0x1000, end: LAYOUT.kallsyms };
    this.writer = new FunctionWriter(this.builder, this.random, this.keys, constants, this.callbacks, shape.callOps);
  }

  run(): GeneratedKernel {
    const { builder, writer } = this;
    const entry = LAYOUT.rodataText + 0x1000;
    emitImageHeader(builder, entry);
    this.text();
    this.hypText();
    this.textTail();
    this.rodata();
    this.rodataText(entry);
    this.initText();
    this.data();
    writer.link();
    const symbols = builder.symbols
      .map((symbol, index) => ({ symbol, index }))
      .sort((a, b) => a.symbol.offset - b.symbol.offset || a.index - b.index)
      .map(({ symbol }) => symbol);
    const kept = this.shape.kallsyms === 'none' ? [] : symbols.filter((symbol) => this.isKept(symbol));
    this.kallsyms(kept);
    this.initData();
    const { jumps, alternatives, sites, literals } = writer;
    const { bytes } = builder;
    return { bytes, symbols, kept, jumps, alternatives, sites, literals, pointers: this.pointers };
  }

  private isKept({ offset }: BuiltSymbol): boolean {
    const isText =
      (offset >= LAYOUT.stext && offset <= LAYOUT.etext) || (offset >= LAYOUT.initText && offset <= this.einittext);
    return this.shape.allSymbols || isText;
  }

  private einittext = 0;

  /** Functions of one section, between its markers, until `end` or for `count`. */
  private section(name: string, style: SectionStyle, count: number, end = Infinity): void {
    if (name !== '') this.builder.symbol(`__${name}_text_start`, 'T');
    this.functions(style, '', count, end);
    if (name !== '') this.builder.symbol(`__${name}_text_end`, 'T');
  }

  private functions(style: SectionStyle, prefix: string, count: number, end: number): void {
    for (let i = 0; i < count && this.builder.at + MAX_FUNCTION_BYTES < end; i++) {
      this.writer.write(prefix + this.names.take(), this.random.chance(1, 3) ? 'T' : 't', style);
    }
  }

  private text(): void {
    const { builder } = this;
    builder.moveTo(LAYOUT.stext);
    builder.symbol('_stext', 'T');
    this.section('irqentry', PLAIN, 2);
    this.section('softirqentry', PLAIN, 1);
    builder.symbol('__entry_text_start', 'T');
    this.vectors();
    builder.symbol('__entry_text_end', 'T');
    for (const name of ['alt_cb_patch_nops', 'kvm_update_va_mask']) {
      this.callbacks.push(this.writer.write(name, 'T', PLAIN));
    }
    this.functions(KERNEL, '', 100, LAYOUT.hypText);
    builder.align(8, NOP);
    emitCopyToKernelNofault(builder);
    emitStoreGadgets(builder);
    const long = Array.from({ length: 150 }, (_, i) => (i % 10).toString()).join('');
    this.writer.write(`numalab_name_longer_than_a_byte_can_say_${long}`, 't', KERNEL);
    this.functions(KERNEL, '', Infinity, LAYOUT.hypText - 0xa000);
    this.section('noinstr', PLAIN, 12);
    this.section('sched', KERNEL, 20);
    this.section('cpuidle', PLAIN, 3);
    this.section('lock', KERNEL, 12);
    this.section('kprobes', PLAIN, 8);
    builder.moveTo(LAYOUT.hypText, NOP);
  }

  /** The exception vectors: 16 slots of 128 bytes, each a branch to a handler that ends with ERET. */
  private vectors(): void {
    const { builder } = this;
    builder.align(2048, NOP);
    const start = builder.at;
    builder.symbol('vectors', 'T');
    builder.moveTo(start + VECTORS * VECTOR_BYTES, NOP);
    for (let i = 0; i < VECTORS; i++) {
      const handler = this.writer.write(`numalab_vector_${i}`, 't', PLAIN);
      builder.patch(start + VECTOR_BYTES * i, a64.subImm(31, 31, 0x150));
      builder.patch(start + VECTOR_BYTES * i + 4, a64.b(handler - (start + VECTOR_BYTES * i + 4)));
    }
    builder.symbol('ret_to_kernel', 't');
    builder.emit(a64.addImm(31, 31, 0x150), a64.ERET);
  }

  private hypText(): void {
    const { builder } = this;
    builder.symbol('__hyp_idmap_text_start', 'T');
    this.functions(HYP, '__kvm_nvhe_', 6, LAYOUT.hypTextEnd);
    builder.symbol('__hyp_idmap_text_end', 'T');
    builder.symbol('__hyp_text_start', 'T');
    this.functions(HYP, '__kvm_nvhe_', Infinity, LAYOUT.hypTextEnd);
    builder.moveTo(LAYOUT.hypTextEnd, NOP);
    builder.symbol('__hyp_text_end', 'T');
  }

  /** Kernel text behind EL2's, the first of it in the granule that both share. */
  private textTail(): void {
    this.functions(KERNEL, '', Infinity, LAYOUT.etext);
    this.builder.moveTo(LAYOUT.etext, NOP);
    this.builder.symbol('_etext', 'D');
  }

  private fillRandom(end: number): void {
    const random = new Random(this.seed, 'builtin-constants', this.builder.at);
    for (let i = this.builder.at / 4; i < end / 4; i++) this.builder.words[i] = random.next();
    this.builder.at = end;
  }

  private pointTo(slot: number, target: number): void {
    this.pointers.push({ slot, target });
  }

  private rodata(): void {
    const { builder } = this;
    builder.symbol('__start_rodata', 'D');
    builder.symbol('linux_banner', 'D');
    builder.emitString(`Linux version ${BUILTIN_VERSION} (numalab@builtin) (generated) #${this.seed}\n`);
    builder.align(8);
    builder.symbol('sys_call_table', 'D');
    for (let i = 0; i < FUNCTION_POINTERS; i++) {
      this.pointTo(builder.at + 8 * i, this.writer.sites[(i * 7) % this.writer.sites.length]!);
    }
    // Pointers have their values in the relocations, their slots are zero.
    builder.moveTo(builder.at + 8 * FUNCTION_POINTERS);
    builder.symbol('numalab_constants', 'd');
    this.fillRandom(LAYOUT.kallsyms);
    builder.moveTo(LAYOUT.roAfterInit);
    builder.symbol('__start_ro_after_init', 'D');
    this.keys.slice(0, CONSTANT_KEYS).forEach((key, i) => {
      builder.symbol(`numalab_constant_key_${i}`, 'd', key.offset);
      this.key(key);
    });
    builder.moveTo(LAYOUT.jumpTable);
    builder.symbol('__start___jump_table', 'D');
    // Its records are written once the functions of init text exist; the bounds follow from their number.
  }

  /** struct static_key: the count, then the type in the low bits of a pointer that boot fills in. */
  private key({ offset, enabled }: BuiltKey): void {
    this.builder.patch(offset, enabled ? 1 : 0);
    this.builder.patch(offset + 8, enabled ? 1 : 0);
  }

  private jumpTable(): void {
    const { builder, writer } = this;
    builder.at = LAYOUT.jumpTable;
    for (const { code, target, key, flags } of writer.jumps) {
      const at = builder.at;
      const distance = key - (at + 8);
      builder.emit(
        (code - at) >>> 0,
        (target - (at + 4)) >>> 0,
        (distance | flags) >>> 0,
        distance < 0 ? 0xffff_ffff : 0,
      );
    }
    assert(builder.at <= LAYOUT.endRodata, 'builtin kernel: the jump table has outgrown rodata');
    builder.symbol('__stop___jump_table', 'D');
    builder.symbol('__end_ro_after_init', 'D');
    builder.symbol('__end_rodata', 'D', LAYOUT.endRodata);
  }

  private rodataText(entry: number): void {
    const { builder } = this;
    builder.at = LAYOUT.endRodata;
    builder.symbol('__hyp_rodata_start', 'D');
    this.fillRandom(LAYOUT.hypRodataEnd);
    builder.symbol('__hyp_rodata_end', 'D');
    builder.symbol('__entry_tramp_text_start', 'T');
    this.functions(TRAMPOLINE, 'tramp_', 2, entry);
    builder.symbol('__entry_tramp_text_end', 'T');
    builder.moveTo(entry, NOP);
    builder.symbol('__idmap_text_start', 'T');
    this.writer.write('primary_entry', 'T', TRAMPOLINE);
    builder.symbol('__idmap_text_end', 'T');
    builder.moveTo(LAYOUT.pageTables);
    ['idmap_pg_dir', 'tramp_pg_dir', 'reserved_pg_dir', 'swapper_pg_dir'].forEach((name, i) => {
      builder.symbol(name, 'T', LAYOUT.pageTables + 4096 * i);
    });
  }

  private initText(): void {
    const { builder } = this;
    builder.moveTo(LAYOUT.initText);
    for (const name of ['__init_begin', '__inittext_begin', '_sinittext']) builder.symbol(name, 'T');
    this.functions(INIT, '', Infinity, LAYOUT.exitText);
    builder.moveTo(LAYOUT.exitText, NOP);
    this.einittext = builder.at;
    builder.symbol('_einittext', 'T');
    builder.symbol('__exittext_begin', 'T');
    this.functions({ ...INIT, traced: false }, '', Infinity, LAYOUT.alternatives);
    builder.symbol('__exittext_end', 'T');
    builder.moveTo(LAYOUT.alternatives);
    builder.symbol('__alt_instructions', 'R');
    for (const { orig, replacement, capability, callback, length } of this.writer.alternatives) {
      const at = builder.at;
      const tail = (callback ? 0x8000 | capability : capability | (length << 24)) | (length << 16);
      builder.emit((orig - at) >>> 0, (replacement - (at + 4)) >>> 0, tail >>> 0);
    }
    builder.symbol('__alt_instructions_end', 'R');
    builder.moveTo(LAYOUT.initData);
    for (const name of ['__inittext_end', '__initdata_begin']) builder.symbol(name, 'D');
    const slots = this.shape.emptySlots + this.writer.sites.length;
    builder.symbol('__start_mcount_loc', 'D', LAYOUT.mcount);
    builder.symbol('__stop_mcount_loc', 'D', LAYOUT.mcount + 8 * slots);
    assert(LAYOUT.mcount + 8 * slots <= LAYOUT.perCpu, 'builtin kernel: mcount_loc has outgrown its place');
    builder.symbol('__per_cpu_start', 'D', LAYOUT.perCpu);
    builder.symbol('__per_cpu_end', 'D', LAYOUT.perCpu + 0x4000);
    for (const name of ['__init_end', '__initdata_end', '_data', '_sdata']) builder.symbol(name, 'D', LAYOUT.data);
    this.jumpTable();
  }

  private data(): void {
    const { builder, writer } = this;
    builder.at = LAYOUT.data;
    this.fillRandom(KEYS_AT);
    this.keys.slice(CONSTANT_KEYS).forEach((key, i) => {
      builder.symbol(`numalab_key_${i}`, 'd', key.offset);
      this.key(key);
    });
    builder.moveTo(KEYS_AT + KEY_BYTES * STATIC_KEYS);
    builder.symbol('numalab_operations', 'd');
    for (let i = 0; i < FUNCTION_POINTERS; i++)
      this.pointTo(builder.at + 16 * i, writer.sites[(i * 11) % writer.sites.length]!);
    builder.moveTo(builder.at + 16 * FUNCTION_POINTERS);
    this.fillRandom(LAYOUT.edata);
    for (const [name, offset] of [
      ['_edata', LAYOUT.edata],
      ['__bss_start', LAYOUT.bss],
      ['__hyp_bss_start', LAYOUT.bss],
      ['__hyp_bss_end', LAYOUT.bss + 0x2000],
      ['__bss_stop', LAYOUT.bssEnd],
      ['_end', LAYOUT.end],
    ] as const) {
      builder.symbol(name, 'B', offset);
    }
  }

  private kallsyms(kept: readonly BuiltSymbol[]): void {
    const { builder, shape } = this;
    builder.at = LAYOUT.kallsyms;
    if (shape.kallsyms !== 'none') {
      const relativeBase = emitKallsyms(builder, kept, shape.kallsyms);
      if (relativeBase >= 0) this.pointTo(relativeBase, kept[0]!.offset);
    }
    builder.align(8);
    assert(builder.at < LAYOUT.roAfterInit, 'builtin kernel: kallsyms has outgrown its place');
    this.fillRandom(LAYOUT.roAfterInit);
  }

  /** The tables that boot discards: mcount_loc and the relocations, which come last in init memory. */
  private initData(): void {
    const { builder, writer, shape } = this;
    const entries = shape.callOps ? writer.literals : writer.sites;
    for (let i = 0; i < shape.emptySlots; i++) this.pointTo(LAYOUT.mcount + 8 * i, -1);
    entries.forEach((entry, i) => {
      this.pointTo(LAYOUT.mcount + 8 * (shape.emptySlots + i), entry);
    });
    this.pointers.sort((a, b) => a.slot - b.slot);
    builder.at = shape.relocations === 'rela' ? LAYOUT.rela : LAYOUT.relr;
    if (shape.relocations === 'rela') emitRela(builder, this.pointers);
    else emitRelr(builder, this.pointers);
    assert(builder.at <= LAYOUT.initEnd, 'builtin kernel: the relocations have outgrown their place');
  }
}

/** Generates a kernel; the same seed and shape give the same bytes. */
export const generateKernel = (seed: number, shape: Partial<BuiltinShape> = {}): GeneratedKernel =>
  new Generator(seed, { ...DEFAULT_SHAPE, ...shape }).run();
