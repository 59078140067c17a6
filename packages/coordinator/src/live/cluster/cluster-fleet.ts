import { InputError, InternalError, LostError } from '@numalab/base';
import { shared as word } from '@numalab/node-worker';
import { type LiveStatus, packFrame, unpackFrame } from '../../engine/cluster/member-messages.ts';
import type { Exit, Member } from '../../engine/cluster/members.ts';
import type { LiveFleet } from '../conductor.ts';
import type { LostProcess } from '../live-run.ts';
import { monotonicClock } from '../monotonic-clock.ts';
import type { LiveMemberJob } from './cluster-task.ts';
import type { LiveMemberOutcome } from './live-member.ts';

const NS_PER_MS = 1e6;

const errorOf = ({ name, message, where }: Extract<LiveMemberOutcome, { kind: 'failed' }>, process: number): Error =>
  name === 'InputError'
    ? new InputError(where, message.slice(where.length + 2))
    : new InternalError(`process ${process}: ${message}`);

/**
 * The processes of a live run as their primary sees them. What it knows of them comes in waves: it asks all, and asks again when
 * all have answered. Nothing is under way when two waves in succession say so with equal counts.
 */
export class ClusterFleet implements LiveFleet {
  /** Processes that were ended from outside, and the run went on. */
  readonly lost: LostProcess[] = [];
  /** What each process left; null: it is gone. Rejects if the run cannot go on. */
  readonly outcomes: readonly Promise<LiveMemberOutcome | null>[];
  /** When the measured phase began, on the run's clock. */
  beganMs = 0;
  private measuredMs = 0;
  private readonly members: readonly Member[];
  private readonly jobs: readonly LiveMemberJob[];
  private readonly now: () => number;
  private readonly gone = new Set<number>();
  private listening = 0;
  private wave = 0;
  private current = new Map<number, LiveStatus>();
  /** The last two complete waves, the newest first. */
  private waves: readonly (readonly LiveStatus[])[] = [];
  private phaseNow = word.PHASE_BOOT;
  failed = false;

  constructor(members: readonly Member[], jobs: readonly LiveMemberJob[]) {
    this.members = members;
    this.jobs = jobs;
    const clock = monotonicClock(jobs[0]!.originNs);
    this.now = () => clock() / NS_PER_MS;
    this.outcomes = members.map((_, index) => this.outcomeOf(index));
    for (const outcome of this.outcomes) {
      // They are awaited at the end only.
      outcome.catch(() => {
        this.failed = true;
      });
    }
  }

  private outcomeOf(index: number): Promise<LiveMemberOutcome | null> {
    const member = this.members[index]!;
    return new Promise((resolve, reject) => {
      member.exited.then((exit) => {
        const error = this.lose(index, exit);
        if (error === null) resolve(null);
        else reject(error);
      });
      member.listen((message) => {
        if (message.kind === 'status') this.hear(index, message);
        else if (message.kind === 'listening') this.connectAll();
        else if (message.kind === 'outcome') {
          const outcome = unpackFrame(message.frame) as LiveMemberOutcome;
          if (outcome.kind === 'failed') reject(errorOf(outcome, index));
          else resolve(outcome);
        }
      });
      member.send({ kind: 'live', frame: packFrame(this.jobs[index]!) });
    });
  }

  private connectAll(): void {
    if (++this.listening === this.members.length) for (const member of this.members) member.send({ kind: 'connect' });
  }

  /** A process is gone. What the run cannot do without is told as an error. */
  private lose(index: number, { code, signal }: Exit): Error | null {
    this.gone.add(index);
    const { memberOf } = this.jobs[index]!.spread;
    const how = signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`;
    const { pid } = this.members[index]!;
    const nodes = [...memberOf.keys()].filter((node) => node < memberOf.length - 1 && memberOf[node] === index);
    const vital = [
      ...(memberOf.at(-1) === index ? ['the hypervisor'] : []),
      ...(nodes.includes(0) ? ['node 0, whose memory the kernel itself lies in'] : []),
    ];
    const isRunning = this.phaseNow > word.PHASE_BOOT && this.phaseNow < word.PHASE_END;
    if (vital.length > 0) {
      return new LostError(`process ${index} of the run (pid ${pid}), with ${vital.join(' and ')}, ${how}`);
    }
    if (!isRunning) return new LostError(`process ${index} of the run (pid ${pid}) ${how} while no node ran`);
    this.lost.push({ process: index, pid, nodes, how, atMs: this.now() - this.measuredMs });
    for (const [other, member] of this.members.entries()) {
      if (!this.gone.has(other)) member.send({ kind: 'lost', member: index });
    }
    this.current.delete(index);
    return null;
  }

  private hear(index: number, status: LiveStatus): void {
    if (status.wave !== this.wave) return;
    this.current.set(index, status);
    if (status.failed) this.failed = true;
  }

  private get alive(): number {
    return this.members.length - this.gone.size;
  }

  private get newest(): readonly LiveStatus[] {
    return this.waves[0] ?? [];
  }

  look(): void {
    if (this.wave > 0 && this.current.size < this.alive) return;
    if (this.wave > 0) this.waves = [[...this.current.values()], ...this.waves].slice(0, 2);
    this.wave++;
    this.current = new Map();
    for (const [index, member] of this.members.entries()) {
      if (!this.gone.has(index)) member.send({ kind: 'poll', wave: this.wave });
    }
  }

  get retired(): number {
    return this.newest.reduce((sum, { retired }) => sum + retired, 0);
  }

  get isReady(): boolean {
    return this.newest.length === this.members.length && this.newest.every(({ ready }) => ready);
  }

  get isSettled(): boolean {
    return this.newest.length > 0 && this.newest.every(({ settled }) => settled);
  }

  get isFiniteDone(): boolean {
    return this.newest.length > 0 && this.newest.every(({ finite }) => finite);
  }

  get isQuiet(): boolean {
    const [newer, older] = this.waves;
    if (newer === undefined || older === undefined || newer.length !== this.alive || older.length !== this.alive) {
      return false;
    }
    const sum = (wave: readonly LiveStatus[], of: (status: LiveStatus) => number): number =>
      wave.reduce((total, status) => total + of(status), 0);
    const sent = sum(newer, (status) => status.sent);
    const taken = sum(newer, (status) => status.taken);
    if (![...newer, ...older].every(({ idle }) => idle) || sent !== taken) return false;
    return sent === sum(older, (status) => status.sent) && taken === sum(older, (status) => status.taken);
  }

  begin(): void {
    this.beganMs = this.now();
  }

  endFaults(): void {
    for (const member of this.members) member.send({ kind: 'end-faults' });
  }

  phase(phase: number): void {
    this.phaseNow = phase;
    if (phase <= word.PHASE_RUN) this.measuredMs = this.now();
    // What was said before is of another phase.
    this.waves = [];
    this.wave++;
    this.current = new Map();
    const beganMs = phase === word.PHASE_RUN ? this.beganMs : null;
    for (const member of this.members) member.send({ kind: 'phase', phase, beganMs });
    for (const member of this.members) member.send({ kind: 'poll', wave: this.wave });
  }

  limitAgents(count: number): void {
    for (const member of this.members) member.send({ kind: 'agents', count });
  }
}
