import { DESCRIPTOR_FIELDS, type FaultSpec, Trigger } from '@numalab/interconnect';
import { LINE_CELLS, levelShift } from '@numalab/machine';
import type { NodeProcess } from './node.ts';

/** A word of the node's copy: one that was written if there is any, as those are fetched. False: nothing was hit. */
const flipReplica = (node: NodeProcess, { fault, random }: Trigger): boolean => {
  const region = node.memory.textAt(node.layout.copyPa[node.id]!);
  if (region === null) return false;
  const count = region.bytes / 4;
  const written = node.memory.writtenText();
  const word = written.length > 0 ? written[random.below(written.length)]! : random.below(count);
  const bit = random.below(32);
  // With ECC the next read gives what was stored, and a scrub puts it back.
  if (fault.survivable) node.tally.repaired(fault.name);
  else {
    node.memory.flipTextBit(word, bit);
    node.faults?.noteFlip(word + (node.layout.spanStart >> 2), fault.name);
  }
  return true;
};

/** One bit of a word in an instruction cache, which has no ECC. */
const flipL1i = (node: NodeProcess, { random }: Trigger): boolean => {
  const { l1i } = node.cpus[random.below(node.spec.coresPerNode)]!;
  const lines = Array.from({ length: l1i.lineCount }, (_, line) => line).filter((line) => l1i.linePa(line) >= 0);
  if (lines.length === 0) return false;
  const cell = lines[random.below(lines.length)]! * LINE_CELLS + 2 * random.below(LINE_CELLS / 2);
  l1i.cells[cell] = (l1i.cells[cell]! ^ (1 << random.below(32))) >>> 0;
  return true;
};

/** The lowest bit of the output address of a cached translation: it leads to the neighbour of what it should. */
const flipTlb = (node: NodeProcess, { random }: Trigger): boolean => {
  const cpu = node.cpus[random.below(node.spec.coresPerNode)]!;
  const { tlb } = cpu;
  const entries = [...tlb.from.keys()].filter((i) => {
    const size = 2 ** tlb.shift[i]!;
    const isOdd = Math.floor(tlb.to[i]! / size) % 2 === 1;
    return tlb.from[i]! >= 0 && node.homeOf(tlb.to[i]! + (isOdd ? -size : size)) >= 0;
  });
  if (entries.length === 0) return false;
  const entry = entries[random.below(entries.length)]!;
  const size = 2 ** tlb.shift[entry]!;
  tlb.to[entry] = tlb.to[entry]! + (Math.floor(tlb.to[entry]! / size) % 2 === 1 ? -size : size);
  cpu.microEnd = -1;
  return true;
};

/** The bits of a leaf that each field's flip hits: of the low word, or from 32 on of the high one. */
const FIELD_BITS: Readonly<Record<string, number>> = { valid: 0, s2ap: 7, af: 10, xn: 54 };

/** One bit of a stage-2 leaf of the text, in memory, where nobody sees it change. What cores have cached stays. */
const flipDescriptor = (node: NodeProcess, { fault, random }: Trigger): boolean => {
  const { layout, tables, memory } = node;
  if (tables === null) return false;
  const { granule } = tables.editor.config;
  const field = fault.field === '' ? DESCRIPTOR_FIELDS[random.below(DESCRIPTOR_FIELDS.length)]! : fault.field;
  const leaves: { readonly pa: number; readonly lo: number; readonly hi: number; readonly bit: number }[] = [];
  tables.editor.forEachEntry((pa, lo, hi, level, ipa) => {
    const isLeaf = (lo & 1) === 1 && (level === 3 || (lo & 2) === 0);
    const inText = ipa >= layout.imageIpa + layout.spanStart && ipa < layout.imageIpa + layout.spanEnd;
    if (!isLeaf || !inText) return;
    // The output address: its lowest bit, which leads to the neighbour.
    leaves.push({ pa, lo, hi, bit: FIELD_BITS[field] ?? levelShift(granule, level) });
  });
  if (leaves.length === 0) return false;
  const { pa, lo, hi, bit } = leaves[random.below(leaves.length)]!;
  if (bit < 32) memory.store32(pa, (lo ^ (1 << bit)) >>> 0);
  else memory.store32(pa + 4, (hi ^ (1 << (bit - 32))) >>> 0);
  return true;
};

const FLIPS: Readonly<Record<string, (node: NodeProcess, trigger: Trigger) => boolean>> = {
  'flip-replica': flipReplica,
  'flip-l1i': flipL1i,
  'flip-tlb': flipTlb,
  'flip-descriptor': flipDescriptor,
};

/** Flips one bit of what the fault names. False: there was nothing to hit. */
export const flip = (node: NodeProcess, fault: FaultSpec, healPs: number): boolean =>
  FLIPS[fault.kind]!(node, new Trigger(fault, healPs, node.spec.seed, node.id));
