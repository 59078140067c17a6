import { type Instant, type Task, TaskRun, WAIT } from '@numalab/base';
import * as link from '@numalab/interconnect';
import { type Latencies, LINE_BYTES, type TableOp } from '@numalab/machine';
import {
  Agent,
  type AgentCpu,
  type AgentHost,
  ApplyLog,
  homeOf,
  type MachineLayout,
  type MachineSpec,
  NodeLife,
  type Retired,
  type Submission,
  TextPages,
  type Wire,
} from '@numalab/node-worker';
import { fingerprint } from './fingerprint.ts';
import { HalfWatch } from './half-watch.ts';
import type { LocalEvent, Output, Sent } from './local-event.ts';
import { copyOfLog, type NodeView } from './node-view.ts';
import { PerfectSessions } from './perfect-sessions.ts';
import { type SmallMachine, WRITE_WORDS } from './small-machine.ts';
import { SmallMemory } from './small-memory.ts';

const SKIPPED: ReadonlySet<string> = new Set([
  'process',
  'node',
  'half',
  'makeHalf',
  'options',
  'sent',
  'times',
  'bytes',
  'isCaptured',
]);

/** An edit of tables went well. */
function* nothing(): Generator<TableOp, number> {
  yield { op: 'isb' };
  return 0;
}

/**
 * One node with the real EL2: its agent with the node's half of the protocol, its pages, its crashes and returns. The machine
 * around them is one line of memory and what fetches may see of it. Cores are those that store, each waiting for its write,
 * and one that touches a page that is not mapped.
 */
export class SmallNode implements AgentHost {
  readonly id: number;
  readonly spec: MachineSpec;
  readonly layout: MachineLayout;
  readonly latencies: Latencies;
  readonly agentCpu: AgentCpu;
  readonly cpus: readonly AgentCpu[];
  readonly agent: Agent;
  readonly life: NodeLife;
  readonly textPages: TextPages;
  readonly applyLog: ApplyLog = new ApplyLog();
  readonly sessions: PerfectSessions;
  readonly coherence: SmallMemory;
  readonly maintenance: SmallMemory;
  readonly memory: SmallMemory;
  readonly tables: AgentHost['tables'];
  readonly tableOps: null = null;
  readonly scrubber: null = null;
  readonly passes = (): boolean => false;
  readonly el2: AgentHost['el2'];
  readonly submitted: Map<number, Submission> = new Map();
  readonly scratchLine: Uint32Array = new Uint32Array(LINE_BYTES / 2);
  readonly outputs: Output[] = [];
  private readonly machine: SmallMachine;
  private readonly watch: HalfWatch;
  private now: Instant = 0 as Instant;
  private task: TaskRun | null = null;
  private readonly tasks: (() => Task)[] = [];
  /** The task has begun: it goes on by steps of its own. */
  private isUnderWay = false;
  private blocked = false;
  private halting = false;
  /** PA of the copy that stage 2 maps; -1: none. */
  private mapped: number;
  private touching = false;
  private readonly timers: { at: number; generation: number; tag: number }[] = [];
  /** By core: stores that have trapped, and the number of the last if it is over but for the core's return; -1: it is not. */
  private readonly begun: number[];
  private readonly answered: number[];
  private readonly ended: number[] = [];
  /** Counts what others can notice. */
  private effects = 0;
  /** Times that the agent went on with what it is handling: where it is in it. */
  private place = 0;

  constructor(machine: SmallMachine, id: number) {
    const { spec, layout, latencies, protocol } = machine;
    this.machine = machine;
    this.id = id;
    this.spec = spec;
    this.layout = layout;
    this.latencies = latencies;
    this.agentCpu = {
      core: spec.coresPerNode,
      time: 0,
      replyNumber: 0,
      abandonTask: () => this.abandonTask(),
      loseCaches: () => this.memory.loseCaches(),
    };
    this.cpus = [this.agentCpu];
    this.mapped = layout.copyPa[id]!;
    this.memory = new SmallMemory(this);
    this.coherence = this.memory;
    this.maintenance = this.memory;
    this.el2 = { isLocked: false, lock: function* () {}, unlock() {}, wakeWaiting() {}, forgetWaiting() {} };
    this.tables = { editor: this.editor(), host: { unmapMmio: nothing } };
    this.begun = machine.writes[id]!.map(() => 0);
    this.answered = machine.writes[id]!.map(() => -1);
    this.watch = new HalfWatch(() => `${this.now} ${this.agent === undefined ? '' : fingerprint(this.agent.durable)}`);
    this.sessions = new PerfectSessions(
      { take: (_from, kind, a, b, body, at) => this.take(kind, a, b, body, at) },
      {
        send: (to, kind, a, b, body) => this.output({ type: 'frame', to, message: { kind, a, b, c: 0, body } }),
        restart: (peers) => this.output({ type: 'restart', peers }),
        close: (peer) => this.output({ type: 'close', peer }),
      },
    );
    this.agent = new Agent(this, () => this.watch.node(protocol.node(spec.bugs)));
    this.textPages = new TextPages(this);
    this.life = new NodeLife(this);
  }

  private editor(): NonNullable<AgentHost['tables']>['editor'] {
    const set = (pa: number): Generator<TableOp, number> => {
      this.mapped = pa;
      this.effects++;
      return nothing();
    };
    const none = { getLeaf: () => 0, leafEntryPa: 0, leafLo: 0 };
    return { map: (_ipa, _bytes, pa) => set(pa), unmap: () => set(-1), writeProtect: nothing, ...none };
  }

  // ---- what the agent asks of its machine -----------------------------------------------------------------------------------

  private output(output: Output): void {
    this.outputs.push(output);
    this.effects++;
  }

  /** Something that others can notice has happened. */
  noticed(): void {
    this.effects++;
  }

  get isHalted(): boolean {
    return this.halting;
  }

  copyOf(offset: number): number {
    return this.layout.copyPa[this.id]! + offset - this.layout.spanStart;
  }

  primaryOf(offset: number): number {
    return this.layout.copyPa[0]! + offset - this.layout.spanStart;
  }

  isShared(): boolean {
    return false;
  }

  isReplicated(offset: number): boolean {
    return offset >= this.layout.spanStart && offset < this.layout.spanEnd;
  }

  homeOf(pa: number): number {
    return homeOf(this.spec, pa);
  }

  get image(): Uint32Array {
    return this.machine.image;
  }

  transmit(to: number, wire: Wire): void {
    this.sessions.send(to, link.FRAME, 0, 0, wire);
  }

  submit(core: number, submission: Submission): void {
    this.submitted.set(core, submission);
    this.sessions.send(this.spec.nodes, link.SUBMIT, submission.serial, core, submission);
  }

  tellPlatform(kind: number, a: number): void {
    this.output({ type: 'hardware', to: this.spec.nodes, message: { kind, a, b: 0, c: 0, body: null } });
  }

  /** Asks the primary's node for its line, or answers such a question or the hypervisor's. */
  sendHardware(to: number, message: Sent): void {
    this.output({ type: 'hardware', to, message });
  }

  setTimer(at: number, generation: number, tag: number): void {
    this.timers.push({ at, generation, tag });
  }

  postLocal(): void {}

  /** All cores stop at once: those that are in EL2 count as stopped. */
  halt(): void {
    this.halting = true;
    this.effects++;
  }

  release(): void {
    this.halting = false;
    this.effects++;
  }

  unhalt(): void {
    this.halting = false;
  }

  countStanding(): void {}

  /** The core that touched the page goes on. */
  wakeLater(): void {
    this.touching = false;
  }

  receive(message: link.Message): void {
    this.dispatch(message);
  }

  startTask(_cpu: AgentCpu, task: () => Task): void {
    if (this.task !== null) this.tasks.push(task);
    else this.task = new TaskRun(task());
  }

  private abandonTask(): void {
    this.task = null;
    this.isUnderWay = false;
    this.tasks.length = 0;
    this.blocked = false;
  }

  /** The agent waits for a line no more. */
  wakeAgent(): void {
    this.blocked = false;
  }

  // ---- what happens to the node -----------------------------------------------------------------------------------------------

  private take(kind: number, a: number, core: number, body: unknown, at: number): boolean {
    if (kind === link.RETIRE) this.onRetired(a, core, body as Retired);
    else this.agent.deliver(body as Wire, at);
    return true;
  }

  /** The answer to a submission that was handed in twice may come twice. */
  private onRetired(number: number, core: number, { serial }: Retired): void {
    if (this.submitted.get(core)?.serial !== serial) return;
    this.submitted.delete(core);
    this.answered[core] = number;
  }

  dispatch(message: link.Message): void {
    const { kind, a, b, from, time, body } = message;
    if (kind === link.FRAME) this.sessions.receive(from, body as link.Frame, time);
    else if (kind === link.TIMER) this.agent.timer(a, b, time);
    else this.memory.serve(message);
  }

  private deliver(from: number, message: Sent, body: unknown): void {
    const whole = { ...message, body, time: this.now, order: 0, to: this.id, from };
    if (!this.life.takes(whole)) this.dispatch(whole);
  }

  /** Lets an event happen at `now`. */
  apply(event: LocalEvent, now: Instant): void {
    this.now = now;
    this.agentCpu.time = now;
    this.outputs.length = 0;
    this.happen(event);
    this.goOn(event.type === 'step');
    if (this.life.isUp && !this.halting) this.endWrites();
  }

  private happen(event: LocalEvent): void {
    switch (event.type) {
      case 'frame':
        this.deliver(event.from, { ...event.message, kind: link.FRAME }, event.message);
        break;
      case 'hardware':
        this.deliver(event.from, event.message, event.message.body);
        break;
      case 'hello':
        this.life.follow(this.now);
        break;
      case 'own': {
        const { generation, tag } = this.timers.splice(event.index, 1)[0]!;
        this.deliver(this.id, { kind: link.TIMER, a: generation, b: tag, c: 0, body: null }, null);
        break;
      }
      case 'touch':
        this.touching = true;
        // Runs until the core waits.
        this.textPages.wait({ ...this.agentCpu, core: 0 } as never, this.machine.page).next();
        break;
      case 'submit':
        this.submit(event.core, this.machine.writes[this.id]![event.core]![this.begun[event.core]!++]!);
        break;
      case 'crash':
        this.life.crash(this.now, event.losesMemory);
        this.timers.length = 0;
        this.watch.forget();
        break;
      case 'restart':
        this.life.restart(this.now);
        break;
      default:
    }
  }

  /** Lets the agent go on until others can notice something of it; unreduced: until its next yield, if it is its turn. */
  private goOn(isTurn: boolean): void {
    const { unreduced, spec } = this.machine;
    // Some bugs are in what comes in before the agent begins.
    if (!isTurn && (unreduced || spec.bugs.length > 0 || this.isUnderWay)) return;
    for (const before = this.effects; this.task !== null && !this.blocked; ) {
      const { current } = this.agent;
      const ticks = this.task.resume();
      this.place = this.agent.current === null || this.agent.current !== current ? 0 : this.place + 1;
      if (ticks === null) {
        const next = this.tasks.shift();
        this.task = next === undefined ? null : new TaskRun(next());
      } else if (ticks === WAIT) this.blocked = true;
      this.isUnderWay = this.task !== null;
      if (unreduced || this.effects !== before) return;
    }
  }

  /** Cores whose writes are over leave EL2. */
  private endWrites(): void {
    for (const [core, number] of this.answered.entries()) {
      if (number < 0) continue;
      this.answered[core] = -1;
      this.ended.push(number);
    }
  }

  private get isIdle(): boolean {
    return this.task === null;
  }

  // ---- what the search sees --------------------------------------------------------------------------------------------------

  view(): NodeView {
    const { life, machine, memory, ended, timers, applyLog, textPages, watch } = this;
    const runs = life.isUp && !this.halting;
    const isFree = (core: number): boolean => !this.submitted.has(core) && this.answered[core]! < 0;
    const writes = machine.writes[this.id]!;
    const page = textPages.stateOf(machine.page);
    const own = this.mapped === this.layout.copyPa[this.id];
    return {
      isUp: life.isUp,
      isDown: life.state === 'down',
      canStep: this.task !== null && !this.blocked,
      isIdle: this.isIdle,
      canTouch: runs && page === 'unmapped' && !this.touching && (watch.wantsFaults || machine.unreduced),
      canSubmit: runs
        ? [...writes.keys()].filter((core) => isFree(core) && this.begun[core]! < writes[core]!.length)
        : [],
      sees: !runs || this.mapped < 0 ? 'nothing' : own ? 'own' : 'primary',
      visible: memory.visible(machine.word),
      stored: memory.stored(machine.word, WRITE_WORDS),
      isTorn: memory.isTorn(machine.word, WRITE_WORDS),
      ended: [...ended],
      waiting: [...writes.keys()].filter((core) => !isFree(core)),
      touching: this.touching,
      wantsFaults: watch.wantsFaults,
      timers: timers.map(({ at }) => ({ at })),
      log: copyOfLog(applyLog),
      page,
      state: life.state,
    };
  }

  /** Equal texts: equal states. */
  key(): string {
    const { agent, life, textPages, memory, applyLog, submitted, timers, begun, answered, ended } = this;
    const { task, tasks, blocked, halting, mapped, touching, isUnderWay } = this;
    return `${fingerprint([agent, life, textPages, memory, applyLog], SKIPPED)}${fingerprint([
      submitted,
      timers,
      begun,
      answered,
      ended,
      tasks.length,
      [task === null, blocked, halting, mapped, touching, isUnderWay],
    ])} ${this.watch.number} ${this.place}`;
  }
}
