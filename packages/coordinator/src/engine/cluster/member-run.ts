import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { ThreadTask } from '../thread-task.ts';
import { ringMemory } from '../thread-task.ts';
import { failureIn, reportsIn, runTasks } from '../threads.ts';
import { barrierMemory, RunControl } from '../window-barrier.ts';
import {
  type FromMember,
  type MemberJob,
  type MemberOutcome,
  packFrame,
  type ToLiveMember,
  type ToMember,
  unpackJob,
} from './member-messages.ts';
import { packReport } from './packed-report.ts';

const PROGRESS_MS = 100;

/** The run under way: its control, and the way to the thread that has the connections. */
let current: { readonly control: RunControl; readonly port: MessagePort } | null = null;

const tell = (message: FromMember): void => {
  process.send!(message);
};

const tasksOf = (job: MemberJob, barrier: SharedArrayBuffer, port: MessagePort): readonly ThreadTask[] => {
  const { tellsProgress: _, cluster, ...rest } = job;
  const rings = ringMemory(job.threads);
  return Array.from({ length: job.threads }, (_, thread) => ({
    ...rest,
    thread,
    barrier,
    rings,
    cluster: { ...cluster, port: thread === 0 ? port : null },
  }));
};

const run = async (job: MemberJob): Promise<MemberOutcome> => {
  const barrier = barrierMemory(job.threads);
  const control = new RunControl(barrier);
  const { port1: port, port2 } = new MessageChannel();
  port.on('message', () => tell({ kind: 'listening' }));
  current = { control, port };
  const timer = setInterval(() => tell({ kind: 'progress', virtualPs: control.progressPs() }), PROGRESS_MS);
  if (!job.tellsProgress) clearInterval(timer);
  try {
    const outcomes = await runTasks(tasksOf(job, barrier, port2), control);
    const failed = failureIn(outcomes);
    if (failed !== null) return { kind: 'failed', ...failed };
    const reports = reportsIn(outcomes);
    if (reports === null) return { kind: 'stopped' };
    return { kind: 'done', reports: reports.map((report) => packReport(job.spec, report)) };
  } finally {
    clearInterval(timer);
    port.close();
    current = null;
  }
};

const takeLive = async (
  message: Parameters<typeof import('../../live/cluster/live-member.ts').takeLive>[0],
): Promise<void> => await (await import('../../live/cluster/live-member.ts')).takeLive(message, tell);

/** Does what the primary says. */
export const take = async (message: ToMember | ToLiveMember): Promise<void> => {
  switch (message.kind) {
    case 'run':
      tell({ kind: 'outcome', frame: packFrame(await run(unpackJob(message.frame))) });
      break;
    case 'connect':
      if (current !== null) current.port.postMessage('connect');
      else await takeLive(message);
      break;
    case 'end':
      current?.control.end();
      break;
    default:
      await takeLive(message);
  }
};
