export { contestedWords } from './contested-words.ts';
export type { KernelCpu, KernelLock } from './kernel-cpu.ts';
export { storeRecorded, storeSynthetic, switchItem } from './patching.ts';
export * from './plan.ts';
export { keepRows, planRecordedWriter, type RecordedPlan } from './plan-recorded.ts';
export { ALIAS_IMAGE, type RecordedTrace, readRecordedTrace, replayOver, rowsAfterBoot } from './recorded.ts';
export * from './writer-spec.ts';
