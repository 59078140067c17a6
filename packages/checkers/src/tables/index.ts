export * from './bbm-automaton.ts';
export * from './check-tables.ts';
export type { TableFinding } from './finding.ts';
export type { AddressRange } from './ranges.ts';
export { type TableJudgement, TableMemo } from './table-memo.ts';
export type { NodeTables } from './table-view.ts';
export { watchTables } from './watch-tables.ts';
