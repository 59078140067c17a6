/** Small deliberate defects of a machine that has booted: each breaks one thing. */
import type { InlineMachine } from '@numalab/coordinator';
import { S2_HI_XN, S2_LO_WRITE, type TableOp } from '@numalab/machine';
import type { NodeProcess } from '@numalab/node-worker';

export type Defect = (machine: InlineMachine) => void;

interface Entry {
  readonly pa: number;
  readonly lo: number;
  readonly hi: number;
  readonly level: number;
  readonly ipa: number;
}

const entriesOf = (node: NodeProcess): Entry[] => {
  const entries: Entry[] = [];
  node.tables!.editor.forEachEntry((pa, lo, hi, level, ipa) => entries.push({ pa, lo, hi, level, ipa }));
  return entries;
};

const isLeaf = ({ lo, level }: Entry): boolean => (lo & 1) === 1 && (level === 3 || (lo & 2) === 0);
const isTable = ({ lo, level }: Entry): boolean => (lo & 3) === 3 && level < 3;

/** Changes node 1's first entry that fits, in memory, where neither editor nor watcher sees it. */
const corrupt =
  (
    fits: (entry: Entry, node: NodeProcess) => boolean,
    change: (entry: Entry, node: NodeProcess) => readonly [lo: number, hi: number, at?: number],
  ): Defect =>
  ({ nodes }) => {
    const node = nodes[1]!;
    const entry = entriesOf(node).find((one) => fits(one, node));
    if (entry === undefined) throw new Error('no entry to change');
    const [lo, hi, at = entry.pa] = change(entry, node);
    node.memory.store32(at, lo >>> 0);
    node.memory.store32(at + 4, hi >>> 0);
  };

const inText = ({ ipa }: Entry, { layout }: NodeProcess): boolean =>
  ipa >= layout.imageIpa + layout.spanStart && ipa < layout.imageIpa + layout.spanEnd;

/** The first entry of the table around `pa` that holds nothing at all; -1: there is none. */
const emptyBeside = (node: NodeProcess, pa: number): number => {
  const page = node.tables!.config.granule.bytes;
  for (let at = pa - (pa % page); at < pa - (pa % page) + page; at += 8)
    if (node.memory.load32(at) === 0 && node.memory.load32(at + 4) === 0) return at;
  return -1;
};

/** A table stands in two entries. */
export const tableLinkedTwice: Defect = corrupt(
  (entry, node) => isTable(entry) && entry.level === 2 && emptyBeside(node, entry.pa) >= 0,
  ({ lo, hi, pa }, node) => [lo, hi, emptyBeside(node, pa)],
);

/** A leaf of the text is writable. */
export const textWritable: Defect = corrupt(
  (entry, node) => isLeaf(entry) && inText(entry, node),
  ({ lo, hi }) => [lo | S2_LO_WRITE, hi],
);

/** What EL2 took is not annotated any more. */
export const annotationLost: Defect = corrupt(
  ({ lo, hi }) => (lo & 1) === 0 && (lo | hi) !== 0,
  () => [0, 0],
);

/** A leaf outside the range differs from the other nodes'. */
export const leafDiffers: Defect = corrupt(
  (entry, node) => isLeaf(entry) && !inText(entry, node) && entry.ipa >= node.spec.base,
  ({ lo, hi }) => [lo, hi ^ S2_HI_XN],
);

/** EL2 of node 1 leaves out its TLBIs. */
export const skipsTlbi: Defect = ({ nodes }) => {
  const { maintenance } = nodes[1]!;
  const perform = maintenance.perform.bind(maintenance);
  const withoutTlbi = function* <Result>(edit: Generator<TableOp, Result>): Generator<TableOp, Result> {
    for (;;) {
      const step = edit.next();
      if (step.done === true) return step.value;
      if (step.value.op !== 'tlbi') yield step.value;
    }
  };
  maintenance.perform = (cpu, edit) => perform(cpu, withoutTlbi(edit));
};

/** The walk caches of node 1's cores do not hear TLBIs. */
export const deafWalkCache: Defect = ({ nodes }) => {
  for (const { stage2Leaves } of nodes[1]!.cpus) {
    stage2Leaves.invalidate = () => {};
    stage2Leaves.invalidateAll = () => {};
  }
};

/** The instruction caches of node 1's cores do not hear IC IVAU. */
export const deafInstructionCache: Defect = ({ nodes }) => {
  for (const { l1i } of nodes[1]!.cpus) l1i.invalidate = () => {};
};

/** The copies that EL2 reads name another data register than the store that cores execute. */
export const otherRegister: Defect = ({ nodes }) => {
  for (const node of nodes) {
    const writer = node.spec.writers[0];
    if (writer?.kind !== 'synthetic') throw new Error('a synthetic writer was asked for');
    const { gadget, word } = writer.forms[0]!;
    node.memory.store32(node.copyOf(gadget), (word ^ 1) >>> 0);
  }
};

/** Node 1 takes a page from its pool and forgets it. */
export const leaksPage: Defect = ({ nodes }) => {
  nodes[1]!.tables!.pool.alloc();
};

/** Node 1's pool fails once, and nobody says so. */
export const silentExhaustion: Defect = ({ nodes }) => {
  nodes[1]!.tables!.pool.failures++;
};
