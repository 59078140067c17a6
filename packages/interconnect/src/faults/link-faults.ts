import { flipBit } from '../checksum.ts';
import { RESYNC, RETIRE, SUBMIT } from '../kinds.ts';
import { FRAME_ACKNOWLEDGEMENT, FRAME_HELLO, type Frame } from '../session.ts';
import { type FaultPlan, type FaultSpec, MESSAGE_FAULTS, plans } from './fault.ts';
import type { TallyKeeper } from './tally.ts';
import { Trigger } from './trigger.ts';

/** Sends a frame over the wire: `delayPs` later than it would, and, if it `overtakes`, without holding up later ones. */
export type Put = (frame: Frame, delayPs: number, overtakes: boolean) => void;

/** What `match` calls a frame. */
const nameOf = ({ kind, sequence }: Frame): string => {
  if (kind === FRAME_HELLO) return 'hello';
  if (kind === FRAME_ACKNOWLEDGEMENT || sequence === 0) return 'acknowledgement';
  if (kind === SUBMIT) return 'submit';
  if (kind === RETIRE) return 'retire';
  return kind === RESYNC ? 'resync' : 'protocol';
};

const isOnLink = ({ from, to, bothWays }: FaultSpec, sender: number, receiver: number): boolean => {
  if ((from < 0 || from === sender) && (to < 0 || to === receiver)) return true;
  return bothWays && (from < 0 || from === receiver) && (to < 0 || to === sender);
};

/**
 * What happens to the frames that one process sends: the only place where messages are lost, repeated, held up, put out of
 * order or damaged. Only frames between EL2s pass here; memory, maintenance and interrupts are hardware, which loses nothing.
 */
export class LinkFaults {
  private readonly process: number;
  private readonly triggers: readonly Trigger[];
  private readonly tally: TallyKeeper;

  constructor(plan: FaultPlan, seed: number, process: number, tally: TallyKeeper) {
    this.process = process;
    this.tally = tally;
    this.triggers = plan.faults
      .filter(({ kind }) => MESSAGE_FAULTS.has(kind))
      .map((fault) => new Trigger(fault, plan.healPs, seed, process));
  }

  /** Sends `frame` to `to` at `time` as the faults have it: never, once or several times. */
  send(to: number, frame: Frame, time: number, put: Put): void {
    let sent = frame;
    let delayPs = 0;
    let overtakes = false;
    let copies = 1;
    for (const trigger of this.triggers) {
      const { fault } = trigger;
      if (!isOnLink(fault, this.process, to)) continue;
      if (fault.match !== '' && fault.match !== nameOf(frame)) continue;
      if (!trigger.hits(time)) continue;
      this.tally.fired(fault.name, time);
      if (fault.kind === 'drop' || fault.kind === 'partition') copies = 0;
      else if (fault.kind === 'duplicate') copies++;
      else if (fault.kind === 'corrupt' || fault.kind === 'flip-message') sent = this.damage(sent, trigger);
      else {
        delayPs += fault.spanPs;
        if (fault.kind === 'reorder') overtakes = true;
      }
    }
    // A later copy comes behind the first, as a switch would repeat it.
    for (let copy = 0; copy < copies; copy++) put(sent, delayPs * (copy + 1), overtakes || copy > 0);
  }

  /** A flip hits the payload alone; a corrupted frame any of its fields. */
  private damage(frame: Frame, { fault, random }: Trigger): Frame {
    if (fault.kind === 'flip-message') {
      const { kind, a, b, body } = frame;
      const payload = flipBit({ a, b, body }, random) as { a: number; b: number; body: unknown };
      return { ...frame, ...payload, kind, flaw: fault.name };
    }
    const { flaw: _, ...fields } = frame;
    return { ...(flipBit(fields, random) as typeof fields), flaw: fault.name };
  }
}

/** The faults of what `process` sends; null if none is planned. */
export const linkFaultsOf = (
  plan: FaultPlan | null,
  seed: number,
  process: number,
  tally: TallyKeeper,
): LinkFaults | null =>
  plan !== null && plans(plan, MESSAGE_FAULTS) ? new LinkFaults(plan, seed, process, tally) : null;
