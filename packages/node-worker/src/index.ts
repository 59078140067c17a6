export { Agent } from './agent.ts';
export type { AgentCpu, AgentHost } from './agent-host.ts';
export * from './apply-log.ts';
export { buildTables, imageWords, ownedRanges, RODATA_ATTRS, TEXT_ATTRS } from './boot.ts';
export { CoreCpu } from './core-cpu.ts';
export type { Retired, Submission, WriteTimes } from './el2.ts';
export { NodeHardware, type TableWatcher, type TableWatcherFactory, type TranslatingNode } from './hardware.ts';
export { FIXMAP_TEXT_POKE, homeOf, layOut, type MachineLayout, nodeBase } from './layout.ts';
export {
  cellOf,
  type LiveCopy,
  liveCopyOf,
  numberOfCell,
  TEARING_TEST_BYTES,
  TearingTest,
  wordOfCell,
} from './live/cells.ts';
export { ClusterLiveNode } from './live/cluster-live-node.ts';
export { storeOrdered } from './live/far-order.ts';
export { walkHere } from './live/far-tables.ts';
export { FaultyLiveNode, type LiveFaultPorts } from './live/faulty-live-node.ts';
export { LatencyHistogram, percentileOf } from './live/latency-histogram.ts';
export { LineHolders, noteSent, sentLinesBytes } from './live/line-holders.ts';
export { raiseWatched, type WatchedWords, watchedWords, watchedWordsBytes } from './live/live-checks.ts';
export type { LiveCpu } from './live/live-cpu.ts';
export { stoppingCpu } from './live/live-kernel.ts';
export {
  type LiveFaultMemory,
  LiveNode,
  type LiveNodePorts,
  type LiveShared,
  type OrderPart,
  type OrderPorts,
  progressPlaces,
} from './live/live-node.ts';
export { type LiveCount, type LiveNodeReport, liveReportOf } from './live/live-report.ts';
export { MAINTENANCE_BYTES, MaintenanceWords } from './live/maintenance-words.ts';
export { RemoteMaintenance } from './live/remote-parts.ts';
export * as remote from './live/remote-port.ts';
export * as shared from './live/shared-words.ts';
export { passing, StepsRunner } from './live/steps-runner.ts';
export { MemoryOrder, type OrderedStore } from './live/store-order.ts';
export { HypervisorWaiting, lockOrder, unlockOrder } from './live/waiting.ts';
export {
  ANSWER,
  kindOf,
  putMessage,
  RESYNC,
  RESYNCED,
  RETIRE,
  START,
  SUBMIT,
  takeMessage,
  unpackBytes,
  type Words,
} from './live/wire.ts';
export { TRY_AGAIN } from './mmu.ts';
export {
  type Comparison,
  type DirectStore,
  NodeProcess,
  type Synchronisation,
  type WatchMap,
} from './node.ts';
export { NodeLife } from './node-life.ts';
export { type Finding, type GroupLog, Observations, type WordLog } from './observations.ts';
export { addWord, dropWord } from './page-hash.ts';
export { type CopyChanges, type NodeCounts, type NodeReport, reportOf } from './report.ts';
export type { ScrubCounts } from './scrubber.ts';
export { isSameMachine, type KernelText, type MachineSpec, type Strategy, type WorkloadSpec } from './spec.ts';
export { buildStage1, FIXMAP_ATTRS, type Stage1Map } from './stage1-map.ts';
export { type PageState, TextPages } from './text-pages.ts';
export { SERVED_L1I, SERVED_L2, SERVED_LLC, SERVED_LOCAL, SERVED_REMOTE, SERVED_SHARED, Vcpu } from './vcpu.ts';
export type { Wait } from './waits.ts';
export { type PageRepair, pagesOfWrite, type Resync, type Wire } from './wire.ts';
