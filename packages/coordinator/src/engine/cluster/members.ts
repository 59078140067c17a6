import cluster, { type Worker } from 'node:cluster';
import { fileURLToPath } from 'node:url';
import { InputError } from '@numalab/base';
import type { FromMember, ToLiveMember, ToMember } from './member-messages.ts';

/** How a process of the operating system ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A process of the operating system that takes parts in runs, as its primary sees it. */
export class Member {
  readonly pid: number;
  /** Resolves when the process is gone, whatever ended it. */
  readonly exited: Promise<Exit>;
  isAlive = true;
  private readonly worker: Worker;
  private heard: (message: FromMember) => void = () => {};

  constructor() {
    this.worker = cluster.fork();
    this.pid = this.worker.process.pid ?? 0;
    this.worker.on('message', (message: FromMember) => this.heard(message));
    this.exited = new Promise((resolve) => {
      const gone = (exit: Exit): void => {
        this.isAlive = false;
        resolve(exit);
      };
      this.worker.on('exit', (code, signal) => gone({ code, signal }));
      // It could not be started.
      this.worker.on('error', () => {
        if (this.worker.process.pid === undefined) gone({ code: null, signal: null });
      });
    });
  }

  /** From now on `heard` is told what the member says. */
  listen(heard: (message: FromMember) => void): void {
    this.heard = heard;
  }

  /** To a member that is gone nothing is sent: that it is gone is told by {@link exited}. */
  send(message: ToMember | ToLiveMember): void {
    if (this.isAlive && this.worker.isConnected()) this.worker.send(message, () => {});
  }

  kill(): void {
    this.worker.process.kill('SIGKILL');
  }

  /** Whether the primary stays alive because of this member. */
  hold(isHeld: boolean): void {
    const { channel } = this.worker.process;
    if (isHeld) {
      this.worker.process.ref();
      channel?.ref();
    } else {
      this.worker.process.unref();
      channel?.unref();
    }
  }
}

/** Members that wait for another run, if there are any: starting them costs more than a short run. */
let idle: readonly Member[] = [];
/** All that live. */
const alive = new Set<Member>();

// Members end by themselves when the primary is gone, but not before anybody can look.
const killAll = (): void => {
  for (const member of alive) member.kill();
};

const start = (): Member => {
  if (alive.size === 0) {
    process.off('exit', killAll);
    process.on('exit', killAll);
  }
  cluster.setupPrimary({
    exec: fileURLToPath(new URL('./member.ts', import.meta.url)),
    args: [],
    execArgv: [],
    serialization: 'advanced',
  });
  const member = new Member();
  alive.add(member);
  member.exited.then(() => alive.delete(member));
  return member;
};

/** `count` members that nobody else uses. */
export const takeMembers = (count: number): readonly Member[] => {
  if (!cluster.isPrimary) {
    throw new InputError('--placement', 'cluster needs a process that is not itself a worker of node:cluster');
  }
  const waiting = idle.filter((member) => member.isAlive);
  idle = waiting.slice(count);
  const taken = waiting.slice(0, count);
  for (const member of taken) member.hold(true);
  return [...taken, ...Array.from({ length: count - taken.length }, start)];
};

/** Members that were taken and have nothing left to do. */
export const giveMembers = (members: readonly Member[]): void => {
  for (const member of members) {
    member.listen(() => {});
    member.hold(false);
  }
  idle = [...idle, ...members];
};

/** Ends members at once, and waits until they are gone. */
export const killMembers = async (members: readonly Member[]): Promise<void> => {
  for (const member of members) member.kill();
  await Promise.all(members.map((member) => member.exited));
};

/** Ends the members that wait for another run. */
export const closeMembers = async (): Promise<void> => {
  const old = idle;
  idle = [];
  for (const member of old) member.hold(true);
  await killMembers(old);
};
