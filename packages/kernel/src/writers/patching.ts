import { DONE, type Step } from '@numalab/base';
import type { KernelCpu } from './kernel-cpu.ts';
import { ALIAS_FIXMAP, ALIAS_LINEAR, type RecordedTrace } from './recorded.ts';
import type { PatchItem, PatchKind, PatchStore, SyntheticForm } from './writer-spec.ts';

/**
 * The kernel's text patching, as arch/arm64/kernel/patching.c, jump_label.c, ftrace.c and alternative.c do it ([arm64
 * reference 5.1 to 5.4]): which lock, which alias, which maintenance, which synchronisation, in which order.
 *
 * All generators stand at the top: of one that is made in a function an engine makes a class each time it runs, which keeps the
 * whole machine that it knows until old memory is collected.
 */

/** aarch64_insn_write: one or two words through the fixmap, under patch_lock with interrupts off. */
function* writeThroughFixmap(cpu: KernelCpu, offset: number, words: readonly number[]): Step<boolean> {
  yield cpu.lock('patch_lock');
  const alias = (yield cpu.setFixmap(offset)) as number;
  const stored = (yield cpu.store(alias, words)) as boolean;
  yield cpu.clearFixmap();
  yield cpu.unlock('patch_lock');
  return stored;
}

/**
 * ktext_replication_patch: where the kernel keeps copies of its text, what was stored to node 0's is stored to every other
 * through the linear map. By the text's VA a core reaches its own node's copy alone ([arm64 reference 1.3]).
 */
function* patchCopies(cpu: KernelCpu, offset: number, words: readonly number[]): Step<void> {
  const copies = cpu.copyAliases(offset);
  const bytes = 4 * words.length;
  if (copies.length > 0 && !cpu.isOnNode0()) yield cpu.cleanInvalidate(cpu.linearAlias(offset), bytes);
  for (const alias of copies) {
    yield cpu.store(alias, words);
    yield cpu.cleanInvalidate(alias, bytes);
  }
}

/** aarch64_insn_patch_text_nosync: write, then clean and invalidate by the text's VA. */
function* patchTextNosync(cpu: KernelCpu, store: PatchStore, on: boolean): Step<void> {
  const words = on ? store.on : store.off;
  if (yield writeThroughFixmap(cpu, store.offset, words)) {
    yield cpu.cleanInvalidate(cpu.imageAlias(store.offset), store.size);
    yield patchCopies(cpu, store.offset, words);
    cpu.storesOver();
  } else cpu.lost(store.offset);
}

/** ftrace_modify_code: load the old instruction, compare, patch. */
function* modifyCode(cpu: KernelCpu, store: PatchStore, on: boolean): Step<void> {
  const expected = (on ? store.off : store.on)[0]!;
  const found = (yield cpu.loadText(store.offset)) as number;
  if (found !== expected) cpu.mismatch(store.offset, expected, found);
  yield patchTextNosync(cpu, store, on);
}

/** Stores of an item that its next switch performs. */
const storesOf = (item: PatchItem, isFirst: boolean): readonly PatchStore[] =>
  isFirst ? item.stores : item.stores.filter((store) => !store.once);

/** Every site without synchronisation. */
function* patchAllNosync(cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> {
  for (const store of stores) yield patchTextNosync(cpu, store, on);
}

/** jump_label_transform_queue and _apply: every site without synchronisation, then one kick for all. */
function* transformJumpLabels(cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> {
  yield patchAllNosync(cpu, stores, on);
  // Bug 5: no context synchronisation on the other cores.
  if (!cpu.hasBug('5')) yield cpu.kickAllCpus();
}

const switchJumpLabels = (cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> =>
  // Bug 6: all in stop_machine, where the cores that are kicked have interrupts off.
  cpu.hasBug('6') ? cpu.stopMachine(() => transformJumpLabels(cpu, stores, on)) : transformJumpLabels(cpu, stores, on);

function* modifyFtrace(cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> {
  for (const store of stores) yield modifyCode(cpu, store, on);
  // Bug 4: caches are invalidated, and what other cores have fetched ahead is left to them.
  if (!cpu.hasBug('4')) yield cpu.kickAllCpus();
}

/** aarch64_insn_write_literal_u64: data, so neither maintenance nor synchronisation follows. Nobody tells other copies. */
function* writeLiterals(cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> {
  for (const store of stores) {
    yield writeThroughFixmap(cpu, store.offset, on ? store.on : store.off);
    cpu.storesOver();
  }
}

/** aarch64_insn_patch_text: everybody stops, one core patches. */
const patchTextStopped = (cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> =>
  cpu.stopMachine(() => patchAllNosync(cpu, stores, on));

/** Stores through the linear map, to all copies (ktext_replication_patch_alternative); returns the VAs to be cleaned. */
function* storeAlternative(cpu: KernelCpu, offset: number, words: readonly number[]): Step<readonly number[]> {
  const aliases = [cpu.linearAlias(offset), ...cpu.copyAliases(offset)];
  for (const alias of aliases) yield cpu.store(alias, words);
  return aliases.length > 1 ? aliases : [cpu.imageAlias(offset)];
}

/** Plain stores through the linear map, one maintenance at the end. */
function* storeAlternatives(cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> {
  const stored: number[] = [];
  for (const { offset, on: set, off } of stores) {
    stored.push(...((yield storeAlternative(cpu, offset, on ? set : off)) as readonly number[]));
  }
  yield cpu.cleanAlternatives(stored);
  cpu.storesOver();
}

function* doNothing(): Step<void> {}

/** apply_alternatives: all of it under stop_machine. */
function* applyAlternatives(cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> {
  // Bug 3: the others are parked when all is patched.
  const isEarly = cpu.hasBug('3');
  if (isEarly) yield storeAlternatives(cpu, stores, on);
  yield cpu.stopMachine(() => (isEarly ? doNothing() : storeAlternatives(cpu, stores, on)));
}

/** Kinds that store while all other cores stand still. */
const STOPPED: ReadonlySet<PatchKind> = new Set<PatchKind>(['kprobe', 'alternatives']);

const PATCH: Readonly<Record<PatchKind, typeof switchJumpLabels>> = {
  'jump-label': switchJumpLabels,
  ftrace: modifyFtrace,
  'ftrace-literal': writeLiterals,
  kprobe: patchTextStopped,
  alternatives: applyAlternatives,
};

/** One action of a patch writer: switches an item, then declares it synchronised. */
export function* switchItem(
  cpu: KernelCpu,
  kind: PatchKind,
  item: PatchItem,
  on: boolean,
  isFirst: boolean,
): Step<void> {
  const stores = storesOf(item, isFirst);
  yield PATCH[kind](cpu, stores, on);
  // A literal is data: what orders it is the reader's business.
  if (kind !== 'ftrace-literal') cpu.synchronised(stores, STOPPED.has(kind));
}

/** The store of a synthetic writer and its maintenance. */
function* storeAndClean(cpu: KernelCpu, form: SyntheticForm, offset: number, data: Uint8Array): Step<void> {
  yield cpu.execute(form.gadget, form.word, cpu.linearAlias(offset), data);
  const cleaning = cpu.cleanInvalidate(cpu.imageAlias(offset), form.bytes);
  if (cleaning !== DONE) yield cleaning;
  cpu.storesOver();
}

/** {@link storeAndClean} and a synchronisation. */
function* storeAndSynchronise(
  cpu: KernelCpu,
  form: SyntheticForm,
  offset: number,
  data: Uint8Array,
  sync: 'kick' | 'stop-machine',
): Step<void> {
  if (sync === 'stop-machine') yield cpu.stopMachine(() => storeAndClean(cpu, form, offset, data));
  else {
    yield storeAndClean(cpu, form, offset, data);
    yield cpu.kickAllCpus();
  }
  cpu.synchronised([{ offset, size: form.bytes }], sync === 'stop-machine');
}

/** One action of a synthetic writer: a store of any form through the linear map, with the synchronisation asked for. */
export const storeSynthetic = (
  cpu: KernelCpu,
  form: SyntheticForm,
  offset: number,
  data: Uint8Array,
  sync: 'none' | 'kick' | 'stop-machine',
): Step<void> =>
  sync === 'none' ? storeAndClean(cpu, form, offset, data) : storeAndSynchronise(cpu, form, offset, data, sync);

/** One row of the recorded writer, through the alias that the real writer used, with the hook that it passed. */
export function* storeRecorded(cpu: KernelCpu, trace: RecordedTrace, row: number): Step<void> {
  const offset = trace.offset[row]!;
  const words = trace.size[row] === 8 ? [trace.newLo[row]!, trace.newHi[row]!] : [trace.newLo[row]!];
  const alias = trace.alias[row];
  const direct = alias === ALIAS_LINEAR ? cpu.linearAlias(offset) : cpu.imageAlias(offset);
  const stored = yield alias === ALIAS_FIXMAP ? writeThroughFixmap(cpu, offset, words) : cpu.store(direct, words);
  if (!stored) cpu.lost(offset);
  // aarch64_insn_write_literal_u64, which pokes 8 bytes, has no hook.
  else if (alias === ALIAS_LINEAR || words.length === 1) yield patchCopies(cpu, offset, words);
  cpu.storesOver();
}
