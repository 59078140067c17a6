export { InlineMachine, type RawRun } from './engine/inline.ts';
export {
  type CheckOptions,
  type JudgedRun,
  judgeRaw,
  type PlacementOptions,
  runMachine,
} from './engine/run-machine.ts';
export { buildSpec, type PreparedMachine, type SpecOverrides } from './machine/build-spec.ts';
export { bootNodeTables, type NodeTables, tablePages } from './machine/node-tables.ts';
export { textAsSeen } from './result/dump-text.ts';
export type * from './result/run-result.ts';
export { type RunScenarioOptions, runScenario, runWithMachine, type ScenarioRun } from './result/run-scenario.ts';
export * from './scenario/index.ts';
