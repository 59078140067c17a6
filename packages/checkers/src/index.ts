export * from './judge/index.ts';
export * from './tables/index.ts';
