export * from './branch.ts';
export * from './core-execute.ts';
export * from './core-store.ts';
export * from './disassemble.ts';
export * from './el2-store.ts';
export * from './emulated-store.ts';
export * as a64 from './encode.ts';
export * from './registers.ts';
export * from './store-forms.ts';
