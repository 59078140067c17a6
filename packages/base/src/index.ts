export * from './address.ts';
export * from './bits.ts';
export * from './errors.ts';
export * from './hash.ts';
export * from './queue.ts';
export * from './random.ts';
export * from './task.ts';
export * from './time.ts';
