import { type Instant, NEVER } from '@numalab/base';
import { FRAME_HELLO, type Frame, Session } from '@numalab/interconnect';
import { type Explored, failureOf, type Scope, verdictOf } from './explore.ts';
import { fingerprint, Interner } from './fingerprint.ts';
import type { Broken } from './monitor.ts';
import { type Model, Search, type Step } from './search.ts';
import { type Body, type MakeSession, Side, type SideEvent, type SideView, TIMES } from './session-side.ts';

interface SideState {
  readonly id: number;
  readonly view: SideView;
  readonly past: readonly (readonly [SideEvent, Instant])[];
}

/** Two sides, and what is on the wire from each. */
interface LinkState {
  readonly sides: readonly [SideState, SideState];
  /** Numbers of the frames under way from a side, ascending: any may arrive next. */
  readonly wires: readonly [readonly number[], readonly number[]];
  readonly now: number;
  /** Frames that may still be lost, repeated or damaged; and sides that may still crash. */
  readonly faults: number;
  readonly crashes: number;
  /** The side whose end the other hears of from elsewhere; -1: there is none. */
  readonly news: number;
}

interface LinkStep extends Step<LinkState> {
  readonly text: string;
}

const NAMES = ['the first side', 'the other side'];

/** How much may happen on one link. */
interface LinkScope {
  /** Sent by each side; and one more by each after a crash. */
  readonly messages: readonly [number, number];
  /** Frames that are lost, repeated or damaged. */
  readonly faults: number;
  readonly crashes: number;
}

/** Without crashes, and with one: more of all at once is more than can be covered. */
const SCOPES: readonly LinkScope[] = [
  { messages: [2, 1], faults: 2, crashes: 0 },
  { messages: [1, 1], faults: 1, crashes: 1 },
];

/** A pair of sessions and a wire between them. */
class LinkModel implements Model<LinkState, LinkStep> {
  readonly first: LinkState;
  readonly faults: Record<string, number> = { drop: 0, duplicate: 0, corrupt: 0, crash: 0 };
  private readonly make: readonly (() => Side)[];
  private readonly states: readonly Interner<SideState>[] = [new Interner(), new Interner()];
  private readonly frames = new Interner<Frame>();
  private readonly steps = new Map<string, { readonly to: SideState; readonly sent: readonly number[] }>();
  private eventsRun = 0;

  constructor(makeSession: MakeSession, bugs: readonly string[], { messages, faults, crashes }: LinkScope) {
    const times = { ...TIMES, bugs };
    this.make = messages.map((count) => () => new Side(makeSession, times, count));
    const sides = this.make.map((make, side) => this.stateOf(side, make(), [])) as unknown as LinkState['sides'];
    this.first = { sides, wires: [[], []], now: 0, faults, crashes, news: -1 };
  }

  get effort(): { readonly localStates: number; readonly eventsRun: number } {
    return { localStates: this.states.reduce((sum, { size }) => sum + size, 0), eventsRun: this.eventsRun };
  }

  private stateOf(side: number, at: Side, past: SideState['past']): SideState {
    const states = this.states[side]!;
    const { key, view } = at;
    const known = states.find(key);
    if (known !== undefined) return states.value(known);
    const state = { id: states.size, view, past };
    states.number(key, state);
    return state;
  }

  /** What an event does to a side, found out once. */
  private step(
    side: number,
    from: SideState,
    name: string,
    event: SideEvent,
    now: number,
  ): { readonly to: SideState; readonly sent: readonly number[] } {
    const key = `${side} ${from.id} ${name} ${now}`;
    const known = this.steps.get(key);
    if (known !== undefined) return known;
    const live = this.make[side]!();
    const past = [...from.past, [event, now as Instant] as const];
    for (const [earlier, at] of past) live.apply(earlier, at);
    this.eventsRun += past.length;
    const sent = live.sent.map((frame) => this.frames.number(fingerprint(frame), frame));
    const step = { to: this.stateOf(side, live, past), sent };
    this.steps.set(key, step);
    return step;
  }

  keyOf({ sides, wires, now, faults, crashes, news }: LinkState): string {
    return `${sides[0].id},${sides[1].id},${wires[0]};${wires[1]},${now},${faults},${crashes},${news}`;
  }

  from(state: LinkState): readonly LinkStep[] {
    const out: LinkStep[] = [];
    for (const side of [0, 1] as const) {
      const { view } = state.sides[side];
      if (view.left > 0 && !view.isDown) this.add(state, side, 'sends a message', 'send', { type: 'send' }, out);
      if (view.isDown) this.add(state, side, 'is back', 'restart', { type: 'restart' }, out);
      else if (state.crashes > 0) {
        this.faults.crash!++;
        this.add(
          { ...state, crashes: state.crashes - 1, news: side },
          side,
          'crashes',
          'crash',
          { type: 'crash' },
          out,
          true,
        );
      }
      // The other side is told that this one is down, before it is back.
      if (state.news === side && view.isDown) {
        const other = side === 0 ? 1 : 0;
        this.add(
          { ...state, news: -1 },
          other,
          `hears that ${NAMES[side]} is down`,
          'close',
          { type: 'close' },
          out,
          true,
        );
      }
      this.arrivals(state, side, out);
    }
    if (out.every(({ isOptional }) => isOptional)) this.timers(state, out);
    return out;
  }

  /** What may become of the frames on the wire from `side`. */
  private arrivals(state: LinkState, side: 0 | 1, out: LinkStep[]): void {
    const to = side === 0 ? 1 : 0;
    for (const [i, number] of state.wires[side].entries()) {
      if (state.wires[side].indexOf(number) < i) continue;
      const frame = this.frames.value(number);
      const gone = this.withWire(state, side, state.wires[side].toSpliced(i, 1));
      const arrives = `takes ${frameText(frame)}`;
      this.add(gone, to, arrives, `f${number}`, { type: 'frame', frame }, out);
      if (state.faults === 0) continue;
      const faults = state.faults - 1;
      this.faults.drop!++;
      out.push({
        next: { ...gone, faults },
        isOptional: true,
        error: null,
        text: `${frameText(frame)} of ${NAMES[side]} is lost`,
      });
      this.faults.duplicate!++;
      this.add(
        { ...state, faults },
        to,
        `${arrives}, of which a copy is still under way`,
        `f${number}`,
        { type: 'frame', frame },
        out,
        true,
      );
      const damaged = damagedFrame(frame);
      this.faults.corrupt!++;
      this.add(
        { ...gone, faults },
        to,
        `takes ${frameText(frame)}, damaged`,
        `d${number}`,
        { type: 'frame', frame: damaged },
        out,
        true,
      );
    }
  }

  private timers(state: LinkState, out: LinkStep[]): void {
    const first = Math.min(...state.sides.map(({ view }) => (view.isDown ? NEVER : view.wake)));
    if (first === NEVER) return;
    for (const side of [0, 1] as const) {
      const { wake, isDown } = state.sides[side].view;
      if (wake !== first || isDown) continue;
      const later = { ...state, now: Math.max(state.now, first) };
      this.add(later, side, 'has a timer that fires', 'timeout', { type: 'timeout' }, out);
    }
  }

  private withWire(state: LinkState, side: 0 | 1, wire: readonly number[]): LinkState {
    return { ...state, wires: side === 0 ? [wire, state.wires[1]] : [state.wires[0], wire] };
  }

  private add(
    state: LinkState,
    side: 0 | 1,
    what: string,
    name: string,
    event: SideEvent,
    out: LinkStep[],
    isOptional = false,
  ): void {
    const { to, sent } = this.step(side, state.sides[side], name, event, state.now);
    const wire = [...state.wires[side], ...sent].sort((x, y) => x - y);
    const sides: LinkState['sides'] = side === 0 ? [to, state.sides[1]] : [state.sides[0], to];
    const next = this.withWire({ ...state, sides }, side, wire);
    const frames = sent.map((number) => frameText(this.frames.value(number)));
    const effect = frames.length === 0 ? '' : `; sends ${frames.join(', ')}`;
    out.push({ next, isOptional, error: null, text: `${NAMES[side]} ${what}${effect}` });
  }

  judge({ sides }: LinkState): readonly Broken[] {
    return sides.flatMap(({ view: { broken } }, side) =>
      broken === '' ? [] : [{ id: 'session', level: null, message: `${NAMES[side]} ${broken}` }],
    );
  }

  /** All is sent, and everything that was sent in the lives that both sides are in now has been delivered. */
  judgeEnd({ sides }: LinkState): readonly Broken[] {
    return [0, 1].flatMap((side) => {
      const [from, to] = [sides[side]!.view, sides[1 - side]!.view];
      const isThere = from.place === 0 || (to.got.life === from.life && to.got.place === from.place);
      if (isThere && from.pending === 0) return [];
      const message = `nothing is left to happen, and ${NAMES[1 - side]!} has not got message ${from.place} of ${NAMES[side]!}, or has not said so`;
      return [{ id: 'session', level: null, message }];
    });
  }

  cutOff(): string {
    return '';
  }

  outcomeOf({ sides }: LinkState): string {
    return sides.map(({ view: { epoch, got } }) => `${epoch} ${got.life} ${got.place}`).join('; ');
  }
}

const frameText = ({ kind, sequence, body, epoch }: Frame): string => {
  if (sequence > 0) return `message ${(body as Body).place} (life ${epoch}, sequence ${sequence})`;
  return kind === FRAME_HELLO ? `the hello of life ${epoch}` : `an acknowledgement (life ${epoch})`;
};

/** One bit of the payload, or of the head of a frame that has none, the other way round. */
const damagedFrame = (frame: Frame): Frame =>
  frame.sequence === 0
    ? { ...frame, acknowledged: frame.acknowledged ^ 1 }
    : { ...frame, body: { ...(frame.body as Body), place: (frame.body as Body).place ^ 2 } };

/**
 * Everything that two sessions can do over a link that may lose, repeat, damage and reorder frames, while either side may crash
 * and begin anew. Verifies: in order and exactly once within a pair of incarnations, nothing of an earlier one, and all there in
 * the end. Timers fire when nothing else can happen. One search for each of {@link SCOPES}, those with more crashes left out.
 */
export const exploreSessions = async (
  bugs: readonly string[],
  { crashes, maxStates }: Scope,
  signal?: AbortSignal,
  progress?: (states: number) => void,
  makeSession: MakeSession = (...args) => new Session(...args),
): Promise<readonly Explored[]> => {
  const all: Explored[] = [];
  for (const scope of SCOPES.filter((one) => one.crashes <= crashes)) {
    const started = performance.now();
    const model = new LinkModel(makeSession, bugs, scope);
    const searched = await new Search(model, {
      maxStates,
      isFailure: () => true,
      ...(signal === undefined ? {} : { signal }),
      ...(progress === undefined ? {} : { progress }),
    }).run();
    const { found, outcomes: _, ...covered } = searched!;
    const failures = found.map((broken) =>
      failureOf(
        broken,
        broken.path.map(({ text }) => text),
      ),
    );
    all.push({
      subject: scope.crashes === 0 ? 'session layer' : 'session layer with a crash',
      declared: null,
      held: null,
      refuted: [],
      verdict: verdictOf(failures.length, covered.complete),
      failures,
      faults: model.faults,
      bounds: [
        `two sessions, ${scope.messages[0]} and ${scope.messages[1]} messages${scope.crashes > 0 ? ', and one more each after the crash' : ''}`,
        `${scope.faults} frames lost, repeated or damaged, and any order of all`,
        `${scope.crashes} crashes, of either side`,
      ],
      ...covered,
      wallMs: performance.now() - started,
    });
  }
  return all;
};
