import type { HypervisorHalf, NodeHalf, Steps } from '@numalab/protocols';
import { fingerprint, Interner } from './fingerprint.ts';

/** All pasts there have been, one after another: a number and what came then. */
const pasts = new Interner<null>();

type Handlers = Readonly<Record<string, ((...args: never[]) => Steps | undefined) | undefined>>;

/**
 * What has happened to a half of a protocol, as a number. A half keeps its state in closures and suspended generators, where
 * nobody can look; but it acts through its context alone, so all that it was ever told, and when it went on, decides its
 * state. Two halves with the same past are in the same state.
 */
export class HalfWatch {
  private past = 0;
  /** Of the half there is: it wants to know of faults. */
  wantsFaults = false;
  /** Of what a half can look at besides what it is told: it decides too. */
  private readonly circumstances: () => string;
  private last = '';

  constructor(circumstances: () => string) {
    this.circumstances = circumstances;
  }

  get number(): number {
    return this.past;
  }

  /** Nothing that was is left. */
  forget(): void {
    this.past = 0;
    this.last = '';
  }

  note(text: string): void {
    this.past = pasts.number(`${this.past} ${text}`, null) + 1;
  }

  /** What the half can look at may have changed since it last could. */
  private look(): void {
    const now = this.circumstances();
    if (now === this.last) return;
    this.last = now;
    this.note(`sees ${now}`);
  }

  /** A half like `half` whose every call and resumption is noted. */
  hypervisor(half: HypervisorHalf): HypervisorHalf {
    this.forget();
    this.look();
    return this.watched(half as unknown as Handlers, [
      'onWrite',
      'onMessage',
      'onTimer',
      'onNodeDown',
      'onNodeBack',
    ]) as unknown as HypervisorHalf;
  }

  node(half: NodeHalf): NodeHalf {
    this.forget();
    this.look();
    this.wantsFaults = half.onFault !== undefined;
    return this.watched(half as unknown as Handlers, ['onMessage', 'onFault', 'onTimer']) as unknown as NodeHalf;
  }

  private watched(half: Handlers, names: readonly string[]): Handlers {
    const handlers: Record<string, (...args: never[]) => Steps | undefined> = {};
    for (const name of names) {
      handlers[name] = (context: never, ...args: never[]): Steps | undefined => {
        if (half[name] === undefined) return undefined;
        this.look();
        this.note(`${name} ${fingerprint(args)}`);
        const steps = half[name](context, ...args);
        return steps === undefined ? undefined : this.steps(steps);
      };
    }
    return handlers;
  }

  private *steps(steps: Steps): Steps {
    let input: unknown;
    for (;;) {
      const { done, value } = steps.next(input);
      if (done === true) return;
      input = yield value as number;
      this.look();
      if (input !== undefined) this.note(`gets ${fingerprint(input)}`);
    }
  }
}
