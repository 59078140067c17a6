import type { Step } from '@numalab/base';
import type { KernelCpu } from './kernel-cpu.ts';
import type { PatchItem, PatchKind, PatchStore, SyntheticForm } from './plan.ts';
import { ALIAS_FIXMAP, ALIAS_LINEAR, type RecordedTrace } from './recorded.ts';

/**
 * The kernel's text patching, as arch/arm64/kernel/patching.c, jump_label.c, ftrace.c and alternative.c do it ([arm64
 * reference 5.1 to 5.4]): which lock, which alias, which maintenance, which synchronisation, in which order.
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

/** aarch64_insn_patch_text_nosync: write, then clean and invalidate by the text's VA. */
function* patchTextNosync(cpu: KernelCpu, store: PatchStore, on: boolean): Step<void> {
  if (yield writeThroughFixmap(cpu, store.offset, on ? store.on : store.off)) {
    yield cpu.cleanInvalidate(store.offset, store.size);
  }
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

const offsetsOf = (stores: readonly PatchStore[]): number[] => stores.map((store) => store.offset);

/** jump_label_transform_queue and _apply: every site without synchronisation, then one kick for all. */
function* transformJumpLabels(cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> {
  for (const store of stores) yield patchTextNosync(cpu, store, on);
  yield cpu.kickAllCpus();
}

function* modifyFtrace(cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> {
  for (const store of stores) yield modifyCode(cpu, store, on);
  yield cpu.kickAllCpus();
}

/** aarch64_insn_write_literal_u64: data, so neither maintenance nor synchronisation follows. */
function* writeLiterals(cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> {
  for (const store of stores) {
    yield writeThroughFixmap(cpu, store.offset, on ? store.on : store.off);
    cpu.storesOver();
  }
}

/** aarch64_insn_patch_text: everybody stops, one core patches. */
function* patchTextStopped(cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> {
  yield cpu.stopMachine(function* () {
    for (const store of stores) yield patchTextNosync(cpu, store, on);
  });
}

/** apply_alternatives under stop_machine: plain stores through the linear map, one maintenance at the end. */
function* applyAlternatives(cpu: KernelCpu, stores: readonly PatchStore[], on: boolean): Step<void> {
  yield cpu.stopMachine(function* () {
    for (const store of stores) yield cpu.store(cpu.linearAlias(store.offset), on ? store.on : store.off);
    yield cpu.cleanAlternatives(offsetsOf(stores));
  });
}

const PATCH: Readonly<Record<PatchKind, typeof transformJumpLabels>> = {
  'jump-label': transformJumpLabels,
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
  if (kind !== 'ftrace-literal') cpu.synchronised(stores);
}

/** One action of a synthetic writer: a store of any form through the linear map, with the synchronisation asked for. */
export function* storeSynthetic(
  cpu: KernelCpu,
  form: SyntheticForm,
  offset: number,
  data: Uint8Array,
  sync: 'none' | 'kick' | 'stop-machine',
): Step<void> {
  const body = function* (): Step<void> {
    yield cpu.execute(form.gadget, form.word, cpu.linearAlias(offset), data);
    yield cpu.cleanInvalidate(offset, form.bytes);
  };
  if (sync === 'stop-machine') yield cpu.stopMachine(body);
  else yield body();
  if (sync === 'kick') yield cpu.kickAllCpus();
  if (sync !== 'none') cpu.synchronised([{ offset, size: form.bytes }]);
}

/** One row of the recorded writer, through the alias that the real writer used. */
export function* storeRecorded(cpu: KernelCpu, trace: RecordedTrace, row: number): Step<void> {
  const offset = trace.offset[row]!;
  const words = trace.size[row] === 8 ? [trace.newLo[row]!, trace.newHi[row]!] : [trace.newLo[row]!];
  const alias = trace.alias[row];
  const direct = alias === ALIAS_LINEAR ? cpu.linearAlias(offset) : cpu.imageAlias(offset);
  const stored = yield alias === ALIAS_FIXMAP ? writeThroughFixmap(cpu, offset, words) : cpu.store(direct, words);
  if (!stored) cpu.lost(offset);
  cpu.storesOver();
}
