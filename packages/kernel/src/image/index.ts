export * from './container.ts';
export * from './kernel-image.ts';
export * from './read.ts';
export * from './replicated-range.ts';
export * from './site-kinds.ts';
export * from './summary.ts';
export * from './symbol-table.ts';
