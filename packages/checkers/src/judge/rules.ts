/** What a rule says, and what its judge can and cannot tell. */
export interface Rule {
  readonly id: string;
  /** In a few words. */
  readonly says: string;
  readonly verifies: string;
  readonly doesNotVerify: string;
}

/** Every rule that is judged, in the order in which reports list them. */
export const RULES: readonly Rule[] = [
  {
    id: 'R1',
    says: 'every replica equals the reference at the end',
    verifies: 'value and write number of every word of every copy that its node maps, when the run is over',
    doesNotVerify: 'what copies held before the end; pages that no node maps at the end',
  },
  {
    id: 'R2',
    says: 'no write is lost or applied twice',
    verifies:
      'every numbered write is retired, is that of one store, and reaches every mapped copy once; every plain store that trapped is numbered',
    doesNotVerify: 'that a refused write left no trace (R1 does: it has no number)',
  },
  {
    id: 'R3',
    says: 'every word fetched or loaded was written there',
    verifies:
      'value and number of every sighting against the writes to that word; words without writer against the image',
    doesNotVerify:
      'when the word stood there (the levels do); two writes of equal value are told apart by number alone',
  },
  {
    id: 'R4',
    says: 'no core goes back in the order',
    verifies: 'for every core and word: fetches by themselves and loads by themselves see numbers that never fall',
    doesNotVerify: 'a fetch after a load (instruction caches are not coherent); different words; other cores',
  },
  {
    id: 'R5',
    says: 'the declared level holds',
    verifies:
      'eventual, ordered, completed and atomic as defined, exactly, from apply logs and from fetches with numbers',
    doesNotVerify: 'how fetches of different words relate (R6 does for words of one write)',
  },
  {
    id: 'R6',
    says: 'multi-word writes are seen whole',
    verifies: 'words sampled together, and fetches of other words of a write issued after one that saw it had ended',
    doesNotVerify: 'loads of more than one word at once, which cores do not perform; writes of one word',
  },
  {
    id: 'X1',
    says: 'no core executes an older word after the writer’s synchronisation',
    verifies:
      'every execution of a written word against the writer’s own finished writes when its synchronisation returned; where a writer relies on all others standing still (kprobes, alternatives), against its writes from their begin on',
    doesNotVerify:
      'what a synchronisation covers of other writers’ stores; writers that declare none (literals, recorded)',
  },
  {
    id: 'K1',
    says: 'a writer that compares first finds what the reference holds',
    verifies: 'the value and number that the writer loaded against what the order held between issue and end',
    doesNotVerify: 'writers that do not compare',
  },
  {
    id: 'E1',
    says: 'a trapped store is as if executed exactly once',
    verifies:
      'PC, registers, write-back, status and stored bytes against an interpreter; the order against those bytes; no abort is injected for replicated text that is unmapped for an update',
    doesNotVerify: 'stores that EL2 refused; flags and system registers, which no store changes',
  },
  {
    id: 'T1',
    says: 'tables are well-formed and belong to EL2',
    verifies: 'every entry of every table, and who else maps a table page, at the end of the run',
    doesNotVerify: 'moments before the end (T4 sees each store)',
  },
  {
    id: 'T2',
    says: 'replicated leaves are read-only and map the right copy',
    verifies: 'every valid leaf of the range against the copy that the protocol says it maps, at the end of the run',
    doesNotVerify: 'leaves that came and went during the run (T5 sees what cores cached of them)',
  },
  {
    id: 'T3',
    says: 'what EL2 took is annotated in every table',
    verifies: 'pools, replicas and holes in all tables, and every leaf onto a replica, at the end of the run',
    doesNotVerify: 'moments before the end',
  },
  {
    id: 'T4',
    says: 'break-before-make and TLB invalidation',
    verifies:
      'each store to a table and each barrier and TLBI between stores, for every descriptor; no entry owes an invalidation when the lock of its tables is released; a node answers a TLBI only when reads that were translated before it have been sampled',
    doesNotVerify: 'whether hardware obeyed (T5); which of several equal TLBIs covered an entry',
  },
  {
    id: 'T5',
    says: 'no core uses a translation or line older than its last invalidation',
    verifies:
      'TLB, walk caches and micro entry of every core after each completed TLBI for what it covers, in samples, and all of them at the end; L1I lines after each completed maintenance of them',
    doesNotVerify: 'L1I lines of other nodes than the one that maintains; L2 and last-level caches, which are coherent',
  },
  {
    id: 'T6',
    says: 'tables of all nodes agree outside the range',
    verifies: 'leaves outside the range that two nodes both have, VMIDs and CnP, at the end of the run',
    doesNotVerify: 'that anything is populated: laziness is legal',
  },
  {
    id: 'L1',
    says: 'every trap retires and no core starves',
    verifies:
      'that no core waits when nothing is left to happen, how long each store stayed in EL2, and that no core faults on one access or one leaf again and again',
    doesNotVerify: 'fairness below the bound of 100 ms of virtual time; runs that were cut off',
  },
  {
    id: 'M1',
    says: 'pools give back what was taken and say when they are exhausted',
    verifies: 'pages in use against pages reachable; requests that failed against those made known',
    doesNotVerify: 'that a pool is large enough: an exhausted one is reported, and the access gets an abort',
  },
];

const BY_ID = new Map(RULES.map((rule) => [rule.id, rule]));

/** The rule of an id that occurs. */
export const ruleOf = (id: string): Rule => BY_ID.get(id)!;
