export * from './errno.ts';
export * from './host-stage2.ts';
export * from './invalid-entry.ts';
export { MAX_TLBI_BY_IPA } from './invalidation.ts';
export type { MapOptions } from './map-range.ts';
export * from './page-pool.ts';
export * from './pool-sizes.ts';
export * from './stage2-editor.ts';
export * from './table-ops.ts';
