export { InstructionCache, LINE_CELLS } from './instruction-cache.ts';
export { LINE_BYTES, TagCache } from './tag-cache.ts';
export { TLB_EXECUTE, TLB_READ, TLB_WRITE, Tlb } from './tlb.ts';
