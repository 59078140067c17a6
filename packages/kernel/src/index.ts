export * from './builtin/index.ts';
export * from './image/index.ts';
export * from './writers/index.ts';
