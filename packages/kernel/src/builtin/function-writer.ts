import { alignDown, type Random } from '@numalab/base';
import { a64 } from '@numalab/machine';
import type { ImageBuilder } from './image-builder.ts';

const { SIZE_WORD, SIZE_DOUBLE, NOP } = a64;

/** A static-key entry as generated. */
export interface BuiltJump {
  readonly code: number;
  readonly target: number;
  readonly key: number;
  readonly flags: number;
}

/** An alternative as generated. */
export interface BuiltAlternative {
  readonly orig: number;
  readonly replacement: number;
  readonly capability: number;
  readonly callback: boolean;
  readonly length: number;
}

/** A static key: where it lies and whether it starts enabled. */
export interface BuiltKey {
  readonly offset: number;
  readonly enabled: boolean;
}

/** Functions call only functions of their own group. */
export type FunctionGroup = 'kernel' | 'hyp' | 'trampoline' | 'init';

/** A call whose callee gets its place later. */
interface CallSite {
  readonly group: FunctionGroup;
  readonly site: number;
  readonly layer: number;
  readonly draw: number;
}

/** What the functions of a section have in common. */
export interface SectionStyle {
  readonly group: FunctionGroup;
  /** Whether functions can be traced: literal, NOP pair at the entry, and a row of mcount_loc. */
  readonly traced: boolean;
  /** One function in so many has a static key; 0 for none. */
  readonly jumpOneIn: number;
  /** Bit 1 of the key's flags: init text. */
  readonly jumpFlags: number;
  readonly alternativeOneIn: number;
}

/** Functions call only functions of a higher layer, so that no walk recurses for ever. */
const LAYERS = 6;
const noLayers = (): number[][] => Array.from({ length: LAYERS }, () => []);
/** Words of code between two control transfers, at most. */
const MAX_FILLER = 9;
const CAPABILITIES = 90;

/**
 * Writes functions that look to a fetch unit as compiled ones do: frame, runs of arithmetic, forward branches, loops, calls,
 * loads of constants and literals, static keys with their target out of line, alternatives. All choices come from `random`.
 */
export class FunctionWriter {
  readonly jumps: BuiltJump[] = [];
  readonly alternatives: BuiltAlternative[] = [];
  /** First patchable word of each traced function. */
  readonly sites: number[] = [];
  /** The literal in front of each traced function, in the same order. */
  readonly literals: number[] = [];
  private readonly layers: Record<FunctionGroup, number[][]> = {
    kernel: noLayers(),
    hyp: noLayers(),
    trampoline: noLayers(),
    init: noLayers(),
  };
  private readonly calls: CallSite[] = [];
  private readonly builder: ImageBuilder;
  private readonly random: Random;
  private readonly keys: readonly BuiltKey[];
  private readonly constants: { readonly start: number; readonly end: number };
  /** Callbacks that alternatives name. */
  private readonly callbacks: readonly number[];
  /** Whether a literal stands before each traced function (CALL_OPS). */
  private readonly callOps: boolean;

  constructor(
    builder: ImageBuilder,
    random: Random,
    keys: readonly BuiltKey[],
    constants: { readonly start: number; readonly end: number },
    callbacks: readonly number[],
    callOps: boolean,
  ) {
    this.builder = builder;
    this.random = random;
    this.keys = keys;
    this.constants = constants;
    this.callbacks = callbacks;
    this.callOps = callOps;
  }

  /** Writes one function at the next aligned place; returns its entry. */
  write(name: string, type: string, style: SectionStyle): number {
    const { builder, random } = this;
    builder.align(8, NOP);
    if (style.traced && this.callOps) {
      this.literals.push(builder.at);
      builder.emit(NOP, NOP);
    }
    const entry = builder.at;
    builder.symbol(name, type);
    if (style.traced) {
      // A landing pad comes first where indirect calls are expected; the patchable words stand behind it.
      if (random.chance(1, 16)) builder.emit(a64.BTI_C);
      this.sites.push(builder.at);
      builder.emit(NOP, NOP);
    }
    const layer = random.below(LAYERS);
    this.layers[style.group][layer]!.push(entry);
    const isLeaf = layer === LAYERS - 1;
    if (!isLeaf) builder.emit(a64.PACIASP, a64.stpPre(SIZE_DOUBLE, 29, 30, 31, -32), a64.addImm(29, 31, 0));
    const cold: (() => void)[] = [];
    const segments = 4 + random.below(18);
    const jumpAt = style.jumpOneIn > 0 && random.chance(1, style.jumpOneIn) ? random.below(segments) : -1;
    const alternativeAt =
      style.alternativeOneIn > 0 && random.chance(1, style.alternativeOneIn) ? random.below(segments) : -1;
    for (let i = 0; i < segments; i++) {
      if (i === jumpAt) this.jumpLabel(cold, style.jumpFlags);
      if (i === alternativeAt) this.alternative(cold);
      this.segment(layer, style.group, cold);
    }
    if (!isLeaf) builder.emit(a64.ldpPost(SIZE_DOUBLE, 29, 30, 31, 32), a64.AUTIASP);
    builder.emit(a64.ret());
    for (const emit of cold) emit();
    return entry;
  }

  /** Gives every call its callee, once all functions have their places. */
  link(): void {
    for (const { group, site, layer, draw } of this.calls) {
      const callees = this.layers[group].slice(layer + 1).find((functions) => functions.length > 0);
      // In a section so small that no function is left to call, the NOP stays.
      if (callees !== undefined) this.builder.patch(site, a64.bl(callees[draw % callees.length]! - site));
    }
  }

  private filler(count: number): void {
    for (let i = 0; i < count; i++) this.builder.emit(this.arithmetic());
  }

  private arithmetic(): number {
    const { random } = this;
    const [d, n, m] = [random.below(16), random.below(16), random.below(16)];
    switch (random.below(12)) {
      case 0:
        return a64.addImm(d, n, random.below(256));
      case 1:
        return a64.subImm(d, n, random.below(256));
      case 2:
        return a64.addReg(d, n, m);
      case 3:
        return a64.subReg(d, n, m);
      case 4:
        return a64.andReg(d, n, m);
      case 5:
        return a64.orrReg(d, n, m);
      case 6:
        return a64.eorReg(d, n, m);
      case 7:
        return a64.movz(d, random.below(4096));
      case 8:
        return a64.movReg(d, m);
      case 9:
        return a64.ldr(SIZE_DOUBLE, d, 31, 8 * (2 + random.below(2)));
      case 10:
        return a64.str(SIZE_DOUBLE, d, 31, 8 * (2 + random.below(2)));
      default:
        return a64.cmpImm(n, random.below(64));
    }
  }

  /** A conditional branch over `offset` bytes. */
  private condition(offset: number): number {
    const { random } = this;
    const register = random.below(16);
    switch (random.below(5)) {
      case 0:
        return a64.cbz(register, offset);
      case 1:
        return a64.cbnz(register, offset, false);
      case 2:
        return a64.tbz(register, random.below(64), offset);
      case 3:
        return a64.tbnz(register, random.below(64), offset);
      default:
        return a64.bCond(random.below(14), offset);
    }
  }

  private segment(layer: number, group: FunctionGroup, cold: (() => void)[]): void {
    const { builder, random } = this;
    const length = 1 + random.below(MAX_FILLER);
    switch (random.below(8)) {
      case 0:
      case 1:
        builder.emit(this.condition(4 * (length + 1)));
        this.filler(length);
        break;
      case 2:
        this.filler(length);
        builder.emit(this.condition(-4 * length));
        break;
      case 3:
        this.filler(length);
        if (layer < LAYERS - 1) this.call(layer, group);
        break;
      case 5:
        this.loadConstant();
        this.filler(length);
        break;
      case 6:
        this.filler(length);
        if (random.chance(1, 4)) this.loadLiteral(cold);
        break;
      default:
        this.filler(length);
    }
  }

  private call(layer: number, group: FunctionGroup): void {
    const { builder, random } = this;
    if (random.chance(1, 24)) {
      builder.emit(a64.ldr(SIZE_DOUBLE, 8, 0, 8 * random.below(16)), a64.blr(8));
      return;
    }
    // The lesser of two draws makes some callees hotter than others.
    const draw = Math.min(random.below(4096), random.below(4096));
    this.calls.push({ group, site: builder.at, layer, draw });
    builder.emit(NOP);
  }

  /** ADRP and LDR, with or without an ADD between them, of a doubleword in rodata. */
  private loadConstant(): void {
    const { builder, random, constants } = this;
    const place = alignDown(constants.start + random.below(constants.end - constants.start), 8);
    const register = random.below(8);
    const page = alignDown(place, 4096) - alignDown(builder.at, 4096);
    builder.emit(a64.adrp(register, page));
    if (random.chance(1, 2)) builder.emit(a64.ldr(SIZE_DOUBLE, register + 1, register, place % 4096));
    else builder.emit(a64.addImm(register, register, place % 4096), a64.ldr(SIZE_DOUBLE, register + 1, register));
  }

  /** LDR from a literal that stands behind the function. */
  private loadLiteral(cold: (() => void)[]): void {
    const { builder, random } = this;
    const site = builder.at;
    const register = random.below(16);
    builder.emit(NOP);
    cold.push(() => {
      builder.align(8, NOP);
      builder.patch(site, a64.ldrLiteral(SIZE_DOUBLE, register, builder.at - site));
      // A literal must not look like an instruction that a walk could fall into by mistake: the upper half is zero.
      builder.emit(random.below(0x1_0000), 0);
    });
  }

  /** A static key's site, its target out of line. */
  private jumpLabel(cold: (() => void)[], sectionFlags: number): void {
    const { builder, random } = this;
    const code = builder.at;
    const key = this.keys[random.below(this.keys.length)]!;
    const branch = random.chance(1, 8);
    builder.emit(NOP);
    const length = 1 + random.below(MAX_FILLER);
    cold.push(() => {
      const target = builder.at;
      this.filler(length);
      builder.emit(a64.b(code + 4 - builder.at));
      this.jumps.push({ code, target, key: key.offset, flags: (branch ? 1 : 0) | sectionFlags });
      // What arch_static_branch leaves: a branch exactly if the key's initial state asks for one.
      if (key.enabled !== branch) builder.patch(code, a64.b(target - code));
    });
  }

  /** One of the three kinds that make up nearly all of a real kernel's: LSE atomics, callbacks, single words. */
  private alternative(cold: (() => void)[]): void {
    const { builder, random } = this;
    const orig = builder.at;
    const capability = random.below(CAPABILITIES);
    const [d, n, m] = [random.below(8), 8 + random.below(4), 12 + random.below(4)];
    const kind = random.below(4);
    if (kind === 0) {
      builder.emit(a64.b(4));
      const replacement = this.callbacks[random.below(this.callbacks.length)]!;
      this.alternatives.push({ orig, replacement, capability, callback: true, length: 4 });
      return;
    }
    const code =
      kind === 1
        ? [a64.ldxr(SIZE_WORD, d, n), a64.addReg(d, d, m), a64.stxr(SIZE_WORD, m, d, n), a64.cbnz(m, -12, false)]
        : [kind === 2 ? NOP : a64.DSB_ISH];
    const replacement =
      kind === 1
        ? [a64.ldadd(SIZE_WORD, m, d, n), NOP, NOP, NOP]
        : [kind === 2 ? a64.movz(d, capability) : a64.DMB_ISH];
    builder.emit(...code);
    cold.push(() => {
      const at = builder.at;
      builder.emit(...replacement);
      this.alternatives.push({ orig, replacement: at, capability, callback: false, length: 4 * code.length });
    });
  }
}
