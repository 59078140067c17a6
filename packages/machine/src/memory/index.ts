export { NodeMemory, type SharedNodeMemory, type TextRegion } from './node-memory.ts';
export type { WordMemory } from './word-memory.ts';
