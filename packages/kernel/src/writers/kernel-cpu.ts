import type { Step } from '@numalab/base';

/** Locks of the kernel that text patching takes. */
export type KernelLock = 'patch_lock' | 'text_mutex' | 'stop_machine';

/**
 * A core as kernel code sees it: what the code of the writers can do. Everything takes virtual time. Offsets are from `_text`;
 * a VA is given by its bits 51:0.
 */
export interface KernelCpu {
  /** Takes a lock. A spin lock masks interrupts; a mutex lets the core be parked while it sleeps. */
  lock(lock: KernelLock): Step<void>;
  unlock(lock: KernelLock): Step<void>;
  /** set_fixmap(FIX_TEXT_POKE0) for the page of `offset`; returns the alias VA of `offset`. */
  setFixmap(offset: number): Step<number>;
  /** clear_fixmap(FIX_TEXT_POKE0), with its TLBI. */
  clearFixmap(): Step<void>;
  /** VA of `offset` in the linear map, and in the kernel's own mapping. */
  linearAlias(offset: number): number;
  imageAlias(offset: number): number;
  /** VAs of the copies of `offset` on nodes other than 0, in the linear map; none unless the kernel keeps copies itself. */
  copyAliases(offset: number): readonly number[];
  isOnNode0(): boolean;
  /** STR of 4 or 8 bytes at `va`. False if an abort came back (copy_to_kernel_nofault catches it). */
  store(va: number, words: readonly number[]): Step<boolean>;
  /** The instruction of form at offset `gadget` (`word`), aimed at `va` with `data`. False if an abort came back. */
  execute(gadget: number, word: number, va: number, data: Uint8Array): Step<boolean>;
  /** Loads the word at `offset` by the text's own VA. */
  loadText(offset: number): Step<number>;
  /** caches_clean_inval_pou(va, va + bytes). */
  cleanInvalidate(va: number, bytes: number): Step<void>;
  /** DC CIVAC over words of alternatives, then IC IALLUIS once. */
  cleanAlternatives(vas: readonly number[]): Step<void>;
  /** No more maintenance follows what was stored to text: the DSB that has passed was the last. */
  storesOver(): void;
  /** kick_all_cpus_sync(): an interrupt to every other core, waiting for all. */
  kickAllCpus(): Step<void>;
  /** stop_machine(): parks every other core, runs `body`, releases them; each then synchronises its context. */
  stopMachine(body: () => Step<void>): Step<void>;
  /**
   * A writer's synchronisation has returned: from here on no core may execute older words in these bytes (X1). `isStopped`: the
   * writer relies on all other cores standing still while it stores, so none may from its first store on.
   */
  synchronised(stretches: readonly { readonly offset: number; readonly size: number }[], isStopped: boolean): void;
  /** A store that must succeed came back as an abort (R2). */
  lost(offset: number): void;
  /** Whether the known bug `id` is switched on. */
  hasBug(id: string): boolean;
  /** A comparison with the old word that a writer makes failed (K1). */
  mismatch(offset: number, expected: number, found: number): void;
}
