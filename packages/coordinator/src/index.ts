export {
  type CampaignOptions,
  type CampaignProgress,
  campaign,
} from './campaign/campaign.ts';
export type * from './campaign/campaign-result.ts';
export type { DrawnFaults } from './campaign/cell.ts';
export type { Lease, LeaseOutcome } from './campaign/lease.ts';
export { type MatrixOptions, matrix } from './campaign/matrix.ts';
export type { SeedRange } from './campaign/seed-set.ts';
export { Tally, type TallyData } from './campaign/tally.ts';
export { type LeaseRunner, runWorker, type WorkerOptions } from './campaign/worker.ts';
export { closeMembers } from './engine/cluster/members.ts';
export { InlineMachine, type RawRun } from './engine/inline.ts';
export {
  type CheckOptions,
  type JudgedRun,
  judgeRaw,
  type PlacementOptions,
  runMachine,
} from './engine/run-machine.ts';
export {
  type Explored,
  type ExploredFailure,
  exploreProtocol,
  originsOf,
  type Scope,
  specOf,
} from './explore/explore.ts';
export { type HuntFailure, type HuntOptions, type HuntResult, hunt } from './hunt/hunt.ts';
export { type LiveClusterOptions, runLiveCluster } from './live/cluster/run-live-cluster.ts';
export { warmUpOf } from './live/conductor.ts';
export { judgeLiveRun } from './live/judge-run.ts';
export { type ReplayedOrder, replayFromLive } from './live/live-order-file.ts';
export { type LiveResult, type LiveScenarioRun, runLiveScenario } from './live/live-result.ts';
export type { LiveOptions, LiveRun } from './live/live-run.ts';
export { runLiveThreads } from './live/run-threads.ts';
export { buildSpec, type PreparedMachine, type SpecOverrides } from './machine/build-spec.ts';
export { bootNodeTables, type NodeTables, tablePages } from './machine/node-tables.ts';
export { textAsSeen } from './result/dump-text.ts';
export type * from './result/run-result.ts';
export { type RunScenarioOptions, runScenario, runWithMachine, type ScenarioRun } from './result/run-scenario.ts';
export * from './scenario/index.ts';
export { buildVersion, VERSION } from './version.ts';
