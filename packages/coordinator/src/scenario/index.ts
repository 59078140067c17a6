export * from './catalogue.ts';
export * from './describe.ts';
export { drawFaults, type SwarmOptions } from './draw-faults.ts';
export * from './files.ts';
export * from './latencies.ts';
export * from './load.ts';
export { type FaultShape, faultShape, survivableKinds } from './resolve-faults.ts';
export type * from './scenario.ts';
export * from './units.ts';
