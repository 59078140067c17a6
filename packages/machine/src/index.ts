export * from './a64/index.ts';
export * from './arm/index.ts';
export * from './caches/index.ts';
export * from './el2/index.ts';
export * from './memory/index.ts';
export * from './topology/index.ts';
