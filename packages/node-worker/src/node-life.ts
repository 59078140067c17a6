import type { Step } from '@numalab/base';
import { alignDown } from '@numalab/base';
import * as link from '@numalab/interconnect';
import type { Steps } from '@numalab/protocols';
import type { AgentHost } from './agent-host.ts';
import { imageWords } from './boot.ts';
import type { Resync } from './wire.ts';

/** What a node is doing as a whole. */
const UP = 0;
/** Nothing runs for a while, cores and EL2 alike; nothing is lost. */
const PAUSED = 1;
/** EL2 is gone and the cores stand still. */
const DOWN = 2;
/** EL2 is back, or follows a hypervisor that is; the cores stand still until the node's copy is as it should be. */
const CATCHING_UP = 3;

/** What hardware does by itself, whatever the cores do: memory, coherence, maintenance, and words in memory such as locks. */
const HARDWARE: ReadonlySet<number> = new Set([
  link.READ_LINE,
  link.LINE,
  link.STORE,
  link.STORED,
  link.MEND,
  link.DROP_LINE,
  link.DROPPED,
  link.CLEAN_LINE,
  link.MAINTAIN,
  link.MAINTAINED,
  link.LOCK,
  link.UNLOCK,
  link.STOP,
]);

/** What only EL2's agent listens to: lost while there is none. */
const FOR_AGENT: ReadonlySet<number> = new Set([
  link.FRAME,
  link.RETIRE,
  link.RESYNC,
  link.SESSION_TIMER,
  link.TIMER,
  link.HALT,
  link.RELEASE,
]);

/** A core in the middle of an edit of the tables finishes it before the node can stand still; this is how often EL2 looks. */
const LOCK_PAUSE_PS = 500_000;
/** EL2 starts again within this time. */
const BOOT_PS = 5_000_000;
/** Reading one line of the image from where it is kept. */
export const LOAD_LINE_PS = 20_000;

/**
 * Pauses, crashes and restarts of one node. A crash takes EL2's agent with its sessions and all that it was doing, and the
 * contents of caches and TLBs; if the node's memory is lost, its copy of the text too. Cores stand still with their contexts, as
 * firmware keeps them, until EL2 is back and the copy has caught up: so no core runs what the order has left behind. Memory,
 * coherence and maintenance of the node go on: that is hardware. Tables survive, or are built as they were.
 */
export class NodeLife {
  private readonly node: AgentHost;
  private phase: number = UP;
  private lostMemory = false;
  /** By core: when it would act next. */
  private readonly times: number[] = [];
  private isCaptured = false;
  private held: link.Message[] = [];
  /** Counts the lives of this node's EL2. */
  epoch = 1;
  /** The copy has all writes up to this one. */
  resyncedTo = 0;

  constructor(node: AgentHost) {
    this.node = node;
  }

  get isUp(): boolean {
    return this.phase === UP;
  }

  /** In words, for the account of a run that hangs. */
  get state(): string {
    return ['up', 'paused', 'down', 'catching up'][this.phase]!;
  }

  /** Whether cores stand still while the agent works. */
  get isCatchingUp(): boolean {
    return this.phase === CATCHING_UP;
  }

  // ---- standing still -------------------------------------------------------------------------------------------------------

  /** Takes a message while the node is not up. False: it is, and the node should handle it. */
  takes(message: link.Message): boolean {
    if (this.phase === UP) return false;
    if (!this.passes(message)) {
      const isLost = this.phase === DOWN && FOR_AGENT.has(message.kind);
      if (!isLost) this.held.push(message);
      return true;
    }
    // What the message does to cores, it does to what they will do when they go on.
    this.restore();
    this.node.dispatch(message);
    if (!this.isUp) this.capture();
    return true;
  }

  private passes({ kind, b }: link.Message): boolean {
    if (HARDWARE.has(kind) || kind === link.FAULT) return true;
    return this.phase === CATCHING_UP && (FOR_AGENT.has(kind) || (kind === link.WAKE && b === this.node.agentCpu.core));
  }

  private isFrozen(core: number): boolean {
    return this.phase === PAUSED || core !== this.node.agentCpu.core;
  }

  private capture(): void {
    if (this.isCaptured) return;
    this.isCaptured = true;
    for (const cpu of this.node.cpus) {
      if (!this.isFrozen(cpu.core)) continue;
      this.times[cpu.core] = cpu.time;
      cpu.time = Infinity;
    }
  }

  private restore(): void {
    if (!this.isCaptured) return;
    this.isCaptured = false;
    for (const cpu of this.node.cpus) if (this.isFrozen(cpu.core)) cpu.time = this.times[cpu.core]!;
  }

  /** Everything goes on at `at`, and what was put off happens. */
  private goOn(at: number): void {
    this.restore();
    this.phase = UP;
    const { node } = this;
    for (const cpu of node.cpus) {
      if (cpu === node.agentCpu && cpu.time === Infinity) continue;
      if (cpu.time < at) cpu.time = at;
    }
    const held = this.held;
    this.held = [];
    for (const message of held) node.receive({ ...message, time: Math.max(message.time, at) as never });
    node.el2.wakeWaiting(at);
  }

  // ---- pauses -----------------------------------------------------------------------------------------------------------

  /** False: the node is not up. */
  pause(): boolean {
    if (this.phase !== UP) return false;
    this.phase = PAUSED;
    this.capture();
    return true;
  }

  endPause(at: number): void {
    if (this.phase === PAUSED) this.goOn(at);
  }

  // ---- crashes ------------------------------------------------------------------------------------------------------------

  /** When a crash can happen that is due at `at`; later than that if an edit of the tables is under way. */
  momentFor(at: number): number {
    return this.node.el2.isLocked ? at + LOCK_PAUSE_PS : at;
  }

  /** False: the node is down already. */
  crash(at: number, losesMemory: boolean): boolean {
    const { node } = this;
    if (this.phase === DOWN) return false;
    if (this.phase === PAUSED) this.goOn(at);
    this.restore();
    this.phase = DOWN;
    this.capture();
    node.agent.kill();
    node.el2.forgetWaiting(node.agentCpu);
    node.sessions.close();
    if (losesMemory) this.loseMemory();
    else node.coherence.cleanAll();
    for (const cpu of node.cpus) cpu.loseCaches();
    node.tellPlatform(link.NODE_DOWN, this.epoch, at);
    return true;
  }

  private loseMemory(): void {
    const { node } = this;
    this.lostMemory = true;
    node.coherence.dropDirty();
    node.memory.loseText();
    this.resyncedTo = 0;
  }

  /** EL2 comes back, with nothing but what the cores' contexts say. */
  restart(at: number): void {
    if (this.phase !== DOWN) return;
    this.phase = CATCHING_UP;
    this.epoch++;
    this.node.sessions.restart(this.epoch, [this.node.spec.nodes], at as never);
    this.join(at);
  }

  /** The hypervisor has begun anew: what the agent had to do for the old one is void, and cores stand still until it says so. */
  follow(at: number): void {
    this.node.agent.renew();
    if (this.phase === UP || this.phase === PAUSED) this.standStill(at);
    else if (this.phase === CATCHING_UP) this.join(at);
  }

  /** Also when EL2 looks again whether the tables are at rest. */
  standStill(at: number): void {
    const { node } = this;
    if (this.phase === DOWN || this.phase === CATCHING_UP) return;
    if (this.phase === PAUSED || node.el2.isLocked) {
      node.postLocal(at + LOCK_PAUSE_PS, link.FAULT, -1, 0);
      return;
    }
    this.phase = CATCHING_UP;
    this.capture();
    node.countStanding(at);
    node.el2.wakeWaiting(at);
    this.join(at);
  }

  /** Says that this node wants to know what it missed, and hands in again what its cores wait for. */
  private join(at: number): void {
    const { node } = this;
    node.transmit(node.spec.nodes, { kind: 'join', epoch: this.epoch }, at);
    for (const [core, submission] of node.submitted) node.submit(core, submission, at);
  }

  /** Brings the copy up to the order: what differs is stored with its number and made visible, and every page is mapped. */
  *resync({ upTo, words, ...journalled }: Resync): Steps {
    let { values, numbers } = journalled;
    const { node } = this;
    const { agentCpu, coherence, maintenance, textPages, scratchLine } = node;
    yield BOOT_PS;
    yield maintenance.dsb(agentCpu);
    if (this.lostMemory) yield* this.reload();
    const lines = new Set<number>();
    // Bug 52: from a peer, whatever it holds, instead of from the journal.
    if (node.spec.bugs.includes('52')) ({ values, numbers } = yield* this.peerWords(words));
    // Bug 47: nothing is applied, and all is acknowledged.
    const isApplied = !node.spec.bugs.includes('47');
    // Bug 50: what had come in counts as applied.
    const known = node.spec.bugs.includes('50') ? node.agent.received : 0;
    for (let i = 0; i < words.length && isApplied; i++) {
      if (numbers[i]! <= known) continue;
      const pa = node.copyOf(words[i]! * 4);
      // Whoever stored a word that is here already may have been kept from cleaning its line.
      lines.add(alignDown(pa, 64));
      coherence.readLine(pa, scratchLine, 0, false);
      const cell = ((pa & 63) >>> 2) * 2;
      const own = scratchLine[cell + 1]!;
      if (own > numbers[i]! || (own === numbers[i] && scratchLine[cell] === values[i])) continue;
      yield coherence.storeOwnText(agentCpu, pa, [values[i]!], numbers[i]!);
      yield node.latencies.storePs;
    }
    for (const line of lines) yield maintenance.cleanLine(agentCpu, line);
    yield maintenance.dsb(agentCpu);
    yield maintenance.broadcast(agentCpu, link.IC_IALLUIS, 0);
    yield maintenance.dsb(agentCpu);
    node.applyLog.resynced(upTo, agentCpu.time);
    for (const { page } of textPages.exceptions()) yield textPages.map(agentCpu, page, 'own');
    this.resyncedTo = Math.max(this.resyncedTo, upTo);
    node.unhalt(agentCpu.time);
    node.transmit(node.spec.nodes, { kind: 'resynced', upTo }, agentCpu.time);
  }

  /** The words as the next node's copy has them: bug 52. */
  private *peerWords(words: readonly number[]): Step<Pick<Resync, 'values' | 'numbers'>> {
    const { agentCpu, coherence, layout, spec, id } = this.node;
    const base = layout.copyPa[(id + 1) % spec.nodes]! - layout.spanStart;
    const [values, numbers]: [number[], number[]] = [[], []];
    for (const word of words) {
      values.push(yield* coherence.load32(agentCpu, base + 4 * word));
      numbers.push(agentCpu.replyNumber);
    }
    return { values, numbers };
  }

  /** A node without its memory loads the image again. */
  private *reload(): Steps {
    const { node } = this;
    const { memory, spec, layout } = node;
    const region = memory.textAt(layout.copyPa[node.id]!)!;
    // What was stored meanwhile stands in lines whose other words are lost.
    node.coherence.dropDirty();
    memory.reloadText(imageWords(spec, layout));
    this.lostMemory = false;
    yield (region.bytes / 64) * LOAD_LINE_PS;
  }

  /** The hypervisor lets the cores go on. */
  start(at: number): void {
    if (this.phase !== CATCHING_UP) return;
    this.goOn(at);
    this.node.scrubber?.begin(at);
  }
}
