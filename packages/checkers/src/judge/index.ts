export { bookFaults, type FaultOutcome, type FaultResult } from './book-faults.ts';
export * from './judge.ts';
export { judgeTables } from './judge-tables.ts';
export { type CounterExample, judgeWord, type WordJudgement } from './judge-word.ts';
export { type TimedWrite, timedWrites, type Version, versionsByWord } from './timeline.ts';
