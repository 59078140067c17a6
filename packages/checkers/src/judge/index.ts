export { bookFaults, type FaultOutcome, type FaultResult } from './book-faults.ts';
export type { FetchSeen, Refutation, WriteSeen } from './counter-example.ts';
export { Shortest } from './counter-example.ts';
export * from './judge.ts';
export { judgeLive, type LiveJudgeInput } from './judge-live.ts';
export { judgeTables } from './judge-tables.ts';
export { judgeWord, type WordJudgement } from './judge-word.ts';
export { RULES, type Rule, ruleOf } from './rules.ts';
export { type TimedWrite, timedWrites, type Version, versionsByWord } from './timeline.ts';
