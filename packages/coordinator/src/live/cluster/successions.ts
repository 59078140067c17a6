/** A place in the run has so many successors at most: what dies again and again is not worth what it costs all others. */
const MAX_SUCCESSORS = 3;
/** A successor whose nodes are not up by then is ended. */
const PATIENCE_MS = 60_000;

/** What is done about processes, by their place in the run. */
export interface SuccessionSteps {
  /** Starts a successor, which tells when others can be told of it. */
  readonly start: (place: number) => void;
  /** It is to connect to all others. */
  readonly connect: (place: number) => void;
  /** Ends it: it takes too long. */
  readonly kill: (place: number) => void;
  /** The run goes on without. */
  readonly giveUp: (place: number) => void;
}

/**
 * Who takes the place of processes that are lost: one after the other, and each only when nothing is left of its predecessor in any
 * other process. So no two connect to each other at once, and nobody takes one for the other.
 */
export class Successions {
  private readonly steps: SuccessionSteps;
  /** By place, how many there were. */
  private readonly counts = new Map<number, number>();
  private readonly queue: number[] = [];
  /** By place, who has yet to say that nothing is left of its last process. */
  private readonly mourners = new Map<number, Set<number>>();
  private isClosed = false;
  private current: { readonly place: number; readonly timer: NodeJS.Timeout; listens: boolean; joins: boolean } | null =
    null;

  constructor(steps: SuccessionSteps) {
    this.steps = steps;
  }

  /** Whether a place is empty that will be taken. */
  get isUnderWay(): boolean {
    return this.current !== null || this.queue.length > 0;
  }

  /** Whether `place` is being taken by a process of which no other knows. */
  isUnknown(place: number): boolean {
    return this.current?.place === place && !this.current.joins;
  }

  /** The process at `place` is lost. `others` have been told, and will say when nothing is left of it; null: none knew of it. */
  lost(place: number, others: readonly number[] | null): void {
    for (const mourners of this.mourners.values()) mourners.delete(place);
    if (others !== null) this.mourners.set(place, new Set(others));
    if (this.current?.place === place) this.end();
    if (this.isClosed || this.counts.get(place) === MAX_SUCCESSORS) this.steps.giveUp(place);
    else this.queue.push(place);
    this.goOn();
  }

  /** Nothing is left of the last process at `place` in process `by`. */
  buried(place: number, by: number): void {
    this.mourners.get(place)?.delete(by);
    this.goOn();
  }

  /** Others can be told of the process at `place`. */
  listening(place: number): void {
    if (this.current?.place !== place) return;
    this.current.listens = true;
    this.goOn();
  }

  /** All that the process at `place` has is up. Whether it was to be. */
  settled(place: number): boolean {
    if (this.current?.place !== place) return false;
    this.end();
    this.goOn();
    return true;
  }

  /** From now on no place is taken that is not being taken. */
  close(): void {
    this.isClosed = true;
    for (const place of this.queue.splice(0)) this.steps.giveUp(place);
  }

  private end(): void {
    clearTimeout(this.current!.timer);
    this.current = null;
  }

  private goOn(): void {
    const { current, steps } = this;
    if (current !== null) {
      if (!current.listens || current.joins || this.mourners.get(current.place)!.size > 0) return;
      current.joins = true;
      steps.connect(current.place);
      return;
    }
    const place = this.queue.shift();
    if (place === undefined) return;
    this.counts.set(place, (this.counts.get(place) ?? 0) + 1);
    const timer = setTimeout(() => steps.kill(place), PATIENCE_MS);
    this.current = { place, timer: timer.unref(), listens: false, joins: false };
    steps.start(place);
  }
}
