import { InputError, InternalError, LostError } from '@numalab/base';
import { type Finding, shared as word } from '@numalab/node-worker';
import { type FromMember, type LiveStatus, packFrame, unpackFrame } from '../../engine/cluster/member-messages.ts';
import { type Exit, killMembers, type Member, takeMembers } from '../../engine/cluster/members.ts';
import type { LiveFleet } from '../conductor.ts';
import { KeptNews } from '../kept-news.ts';
import type { LostProcess } from '../live-run.ts';
import { monotonicMsClock } from '../monotonic-clock.ts';
import type { LiveMemberJob } from './cluster-task.ts';
import type { LiveMemberOutcome } from './live-member.ts';
import { Successions } from './successions.ts';

const errorOf = ({ name, message, where }: Extract<LiveMemberOutcome, { kind: 'failed' }>, process: number): Error =>
  name === 'InputError' ? InputError.from({ where, message }) : new InternalError(`process ${process}: ${message}`);

/** What becomes of a place in the run, whoever has it in the end. */
class Place {
  readonly outcome: Promise<LiveMemberOutcome | null>;
  resolve!: (outcome: LiveMemberOutcome | null) => void;
  reject!: (error: Error) => void;
  /** Its process has told all that it had. */
  hasLeft = false;

  constructor() {
    this.outcome = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // It is awaited at the end only.
    this.outcome.catch(() => {});
  }
}

/**
 * The processes of a live run as their primary sees them. What it knows of them comes in waves: it asks all, and asks again when
 * all have answered. Nothing is under way when two waves in succession say so with equal counts. One that is killed gets a successor.
 */
export class ClusterFleet implements LiveFleet {
  /** Processes that were ended from outside, and the run went on; and what their nodes had found. */
  readonly lost: LostProcess[] = [];
  readonly lostFindings: Finding[] = [];
  /** Those that have a place in the run now, or had it last. */
  readonly members: Member[];
  /** When the measured phase began, on the run's clock. */
  beganMs = 0;
  failed = false;
  /** A process that was ended from outside before all were there: then nothing has happened yet. */
  lostInBoot: LostProcess | null = null;
  private isAbandoned = false;
  private measuredMs = 0;
  private readonly jobs: readonly LiveMemberJob[];
  private readonly started: (pids: readonly number[]) => void;
  private readonly places: readonly Place[];
  private readonly now: () => number;
  private readonly news: KeptNews;
  private readonly successions: Successions;
  /** By place, the life of its process. */
  private readonly lives: number[];
  /** Places whose processes are asked how far they are. */
  private readonly asked: Set<number>;
  private listening = 0;
  private wave = 0;
  private current = new Map<number, LiveStatus>();
  /** The last two complete waves, the newest first. */
  private waves: readonly (readonly LiveStatus[])[] = [];
  private phaseNow = word.PHASE_BOOT;
  private agents = Infinity;
  retired = 0;

  /** `started` is told the processes, by their system’s numbers, whenever there are others. */
  constructor(jobs: readonly LiveMemberJob[], started: (pids: readonly number[]) => void) {
    this.jobs = jobs;
    this.started = started;
    this.members = [...takeMembers(jobs.length)];
    this.places = jobs.map(() => new Place());
    this.lives = jobs.map(() => 1);
    this.asked = new Set(jobs.keys());
    this.news = new KeptNews(jobs[0]!.spec.nodes);
    this.now = monotonicMsClock(jobs[0]!.originNs);
    this.successions = new Successions({
      start: (place) => this.succeed(place),
      connect: (place) => {
        this.members[place]!.send({ kind: 'connect' });
        this.asked.add(place);
        this.ask(place);
      },
      kill: (place) => this.members[place]!.kill(),
      giveUp: (place) => this.places[place]!.resolve(null),
    });
    this.tellPids();
    for (const place of jobs.keys()) this.employ(place);
  }

  /** What each place left; null: its process is gone. Rejects if the run cannot go on. */
  get outcomes(): readonly Promise<LiveMemberOutcome | null>[] {
    return this.places.map(({ outcome }) => outcome);
  }

  /** Whether every process that is there has nothing left to do. */
  get isFree(): boolean {
    return this.places.every(({ hasLeft }, place) => hasLeft || !this.members[place]!.isAlive);
  }

  /** Ends all processes at once. */
  async kill(): Promise<void> {
    this.isAbandoned = true;
    this.successions.close();
    await killMembers(this.members);
  }

  private tellPids(): void {
    this.started(this.members.map(({ pid }) => pid));
  }

  private send(message: Parameters<Member['send']>[0]): void {
    for (const member of this.members) member.send(message);
  }

  /** Gives the process at `place` its part in the run. */
  private employ(place: number): void {
    const member = this.members[place]!;
    const job = this.jobs[place]!;
    const { durable } = this.news;
    const spread = { ...job.spread, life: this.lives[place]! };
    member.exited.then((exit) => this.lose(place, member, exit));
    member.listen((message) => this.hear(place, message));
    member.send({ kind: 'live', frame: packFrame({ ...job, spread, durable } satisfies LiveMemberJob) });
  }

  private succeed(place: number): void {
    this.members[place] = takeMembers(1)[0]!;
    this.lives[place]!++;
    this.tellPids();
    this.employ(place);
    const member = this.members[place]!;
    member.send({ kind: 'phase', phase: this.phaseNow, beganMs: this.beganMs });
    if (this.agents < Infinity) member.send({ kind: 'agents', count: this.agents });
  }

  private ask(place: number): void {
    this.members[place]!.send({ kind: 'poll', wave: this.wave });
  }

  private hear(place: number, message: FromMember): void {
    if (message.kind === 'status') this.note(place, message);
    else if (message.kind === 'news') this.news.hear(message.news);
    else if (message.kind === 'buried') this.successions.buried(message.member, place);
    else if (message.kind === 'listening') {
      if (this.lives[place]! > 1) this.successions.listening(place);
      else if (++this.listening === this.members.length) this.send({ kind: 'connect' });
    } else if (message.kind === 'outcome') {
      const outcome = unpackFrame(message.frame) as LiveMemberOutcome;
      if (outcome.kind === 'failed') this.fail(place, errorOf(outcome, place));
      this.places[place]!.hasLeft = true;
      this.places[place]!.resolve(outcome);
    }
  }

  private fail(place: number, error: Error): void {
    this.failed = true;
    this.places[place]!.reject(error);
  }

  /** A process is gone. What the run cannot do without is told as an error. */
  private lose(place: number, { pid }: Member, { code, signal }: Exit): void {
    if (this.places[place]!.hasLeft || this.isAbandoned) return;
    const { memberOf } = this.jobs[place]!.spread;
    const how = signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`;
    const nodes = [...memberOf.keys()].filter((node) => node < memberOf.length - 1 && memberOf[node] === place);
    const vital = [
      ...(memberOf.at(-1) === place ? ['the hypervisor'] : []),
      ...(nodes.includes(0) ? ['node 0, whose memory the kernel itself lies in'] : []),
    ];
    const lost = { process: place, pid, nodes, how, atMs: this.now() - this.measuredMs, backMs: null };
    if (this.phaseNow === word.PHASE_BOOT) {
      this.lostInBoot ??= lost;
      this.fail(place, new LostError(`process ${place} of the run (pid ${pid}) ${how} while no node ran`));
    } else if (vital.length > 0) {
      this.fail(place, new LostError(`process ${place} of the run (pid ${pid}), with ${vital.join(' and ')}, ${how}`));
    } else {
      this.lost.push(lost);
      for (const node of nodes) this.lostFindings.push(...this.news.takeFindings(node));
      this.replace(place);
    }
  }

  private replace(place: number): void {
    const isUnknown = this.successions.isUnknown(place);
    const others = [...this.members.keys()].filter((other) => other !== place && this.members[other]!.isAlive);
    if (!isUnknown) for (const other of others) this.members[other]!.send({ kind: 'lost', member: place });
    this.asked.delete(place);
    this.current.delete(place);
    this.successions.lost(place, isUnknown ? null : others);
  }

  private note(place: number, status: LiveStatus): void {
    if (status.settled && this.successions.settled(place)) this.noteBack(place);
    if (status.wave !== this.wave) return;
    this.current.set(place, status);
    if (status.failed) this.failed = true;
  }

  private noteBack(place: number): void {
    const backMs = this.now() - this.measuredMs;
    for (const lost of this.lost) if (lost.process === place) lost.backMs ??= backMs;
    // What was said before was said without it.
    this.waves = [];
  }

  private get newest(): readonly LiveStatus[] {
    return this.waves[0] ?? [];
  }

  look(): void {
    if (this.wave > 0 && this.current.size < this.asked.size) return;
    if (this.wave > 0) {
      this.waves = [[...this.current.values()], ...this.waves].slice(0, 2);
      this.retired = this.newest.reduce((sum, { retired }) => sum + retired, 0);
    }
    this.wave++;
    this.current = new Map();
    for (const place of this.asked) this.ask(place);
  }

  get isReady(): boolean {
    return this.newest.length === this.members.length && this.newest.every(({ ready }) => ready);
  }

  get isSettled(): boolean {
    return !this.successions.isUnderWay && this.newest.length > 0 && this.newest.every(({ settled }) => settled);
  }

  get isFiniteDone(): boolean {
    return this.newest.length > 0 && this.newest.every(({ finite }) => finite);
  }

  get isQuiet(): boolean {
    const [newer, older] = this.waves;
    const { size } = this.asked;
    if (newer === undefined || older === undefined || newer.length !== size || older.length !== size) return false;
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
    this.send({ kind: 'end-faults' });
  }

  phase(phase: number): void {
    this.phaseNow = phase;
    if (phase <= word.PHASE_RUN) this.measuredMs = this.now();
    // What is begun now would not be over when the run is.
    if (phase >= word.PHASE_DRAIN) this.successions.close();
    // What was said before is of another phase.
    this.waves = [];
    this.wave++;
    this.current = new Map();
    this.send({ kind: 'phase', phase, beganMs: phase === word.PHASE_RUN ? this.beganMs : null });
    for (const place of this.asked) this.ask(place);
  }

  limitAgents(count: number): void {
    this.agents = count;
    this.send({ kind: 'agents', count });
  }
}
