/** Bugs by which not all cores have the one VMID of the host. */
const VMID_BUGS: readonly string[] = ['20', '21', '32'];

/** Whether TLBIs must be told apart by VMID: with none of these bugs every core has VMID 0, and all reach all. */
export const hasVmids = (bugs: readonly string[]): boolean => VMID_BUGS.some((id) => bugs.includes(id));

/**
 * The VMID in VTTBR_EL2 of core `core` of a node: 0 on every core ([arm64 reference 0.6]). Bug 20: two cores took one from the
 * allocator at the same time, and both kept theirs. Bug 21: core 0 loaded VTTBR_EL2 before the VMID was allocated. Bug 32: every node
 * has one of its own.
 */
export const vmidOf = (bugs: readonly string[], node: number, core: number): number => {
  if (bugs.includes('20')) return 1 + (core % 2);
  if (bugs.includes('21')) return core === 0 ? 0 : 1;
  return bugs.includes('32') ? node : 0;
};
