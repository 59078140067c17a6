/** An entry of the catalogue that is no switch, and why. */
export interface AbsentEntry {
  readonly id: string;
  readonly title: string;
  readonly why: string;
}

/** Entries of the catalogue without a counterpart. */
export const ABSENT: readonly AbsentEntry[] = [
  {
    id: '29',
    title: 'ownership is left half done when a donation fails',
    why: 'nothing is donated while a machine runs: pools, replicas and holes are taken at boot, and an edit reserves its table pages before its first store',
  },
  {
    id: '49',
    title: 'an older term is committed by counting copies',
    why: 'there is one hypervisor and its journal: no terms, no votes, no change of members of a quorum',
  },
];
