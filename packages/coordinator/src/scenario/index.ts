export * from './catalogue.ts';
export * from './describe.ts';
export * from './files.ts';
export * from './latencies.ts';
export * from './load.ts';
export type * from './scenario.ts';
export * from './units.ts';
