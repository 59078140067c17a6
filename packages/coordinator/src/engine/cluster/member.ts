import { enableCompileCache } from 'node:module';
import type { ToLiveMember, ToMember } from './member-messages.ts';

enableCompileCache();

/**
 * The main thread of a member: a process of the operating system that has a part in a run. It stays free for what the primary
 * says; the machine runs on worker threads.
 */

// A terminal sends signals to the whole group: the primary decides what they mean.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
// The primary is gone, and nobody would take what this member does. Before the handler that node installs, which would wait for
// the threads.
process.prependListener('disconnect', () => process.kill(process.pid, 'SIGKILL'));

// What comes before everything is loaded waits for it, in order.
const loaded = import('./member-run.ts');
process.on('message', async (message: ToMember | ToLiveMember) => (await loaded).take(message));
