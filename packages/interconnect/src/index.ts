export { EventQueue } from './event-queue.ts';
export * from './kinds.ts';
export { Links } from './links.ts';
export * from './message.ts';
export { Process } from './process.ts';
export { type Frame, Session, type SessionPort, type SessionTimes } from './session.ts';
