export { EventQueue } from './event-queue.ts';
export * from './kinds.ts';
export { Links } from './links.ts';
export * from './message.ts';
export { Process } from './process.ts';
export { RingReader, RingWriter, ringWords } from './ring.ts';
export { type Frame, Session, type SessionPort, type SessionTimes } from './session.ts';
export { ValueReader, ValueWriter } from './value-codec.ts';
