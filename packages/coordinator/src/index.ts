export { buildSpec, type PreparedMachine, type SpecOverrides } from './machine/build-spec.ts';
export { bootNodeTables, type NodeTables, tablePages } from './machine/node-tables.ts';
export * from './scenario/index.ts';
