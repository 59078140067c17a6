import { InputError } from '@numalab/base';
import { traceOf } from '../hunt/run-folder.ts';
import { didYouMean } from '../scenario/problems.ts';
import { filteredEvents } from '../trace/trace-filter.ts';
import { checkTrace } from '../trace/trace-folder.ts';
import { EVENT_KINDS, eventJson, eventText } from '../trace/trace-text.ts';
import { type CommandContext, EXIT_PASS } from './context.ts';

/** Options of `trace`. */
export interface TraceOptions {
  readonly node: readonly string[];
  readonly kind: readonly string[];
  /** Moments, picoseconds. */
  readonly from: number;
  readonly to: number;
  readonly write: readonly number[];
  readonly json: boolean;
}

/** Bytes that are handed to the operating system at once. */
const CHUNK = 2 ** 16;

const processesOf = (names: readonly string[], nodes: number): number[] =>
  names.map((name) => {
    if (name === 'hyp' || name === 'hypervisor') return nodes;
    if (!/^\d{1,4}$/.test(name)) throw new InputError('--node', `${name.slice(0, 40)} is no node, nor hyp`);
    if (Number(name) >= nodes)
      throw new InputError('--node', `${name} is beyond the last of ${nodes} nodes, ${nodes - 1}`);
    return Number(name);
  });

const checkKinds = (kinds: readonly string[]): void => {
  for (const kind of kinds) {
    if (EVENT_KINDS.includes(kind)) continue;
    throw new InputError(
      '--kind',
      `no events of kind ${kind.slice(0, 40)}${didYouMean(kind, EVENT_KINDS)}; there are ${EVENT_KINDS.join(', ')}`,
    );
  }
};

/** Writes lines as fast as whoever reads takes them. */
class Lines {
  private pending: string[] = [];
  private length = 0;

  async add(line: string): Promise<void> {
    this.pending.push(line);
    this.length += line.length + 1;
    if (this.length >= CHUNK) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.pending.length === 0) return;
    const text = `${this.pending.join('\n')}\n`;
    this.pending = [];
    this.length = 0;
    if (process.stdout.write(text)) return;
    await new Promise<void>((resolve) => process.stdout.once('drain', resolve));
  }
}

/** `trace DIR`: the events of a run as text, or as JSON lines. Returns the exit code; throws InputError. */
export const traceCommand = async (path: string, options: TraceOptions, context: CommandContext): Promise<number> => {
  const folder = traceOf(path);
  checkKinds(options.kind);
  const header = checkTrace(folder);
  const filter = {
    processes: processesOf(options.node, header.nodes),
    kinds: options.kind,
    fromPs: options.from,
    toPs: options.to,
    writes: options.write,
  };
  const lines = new Lines();
  context.setExitCode(EXIT_PASS);
  for (const event of filteredEvents(folder, filter)) {
    await lines.add(options.json ? JSON.stringify(eventJson(event, header)) : eventText(event, header));
  }
  await lines.flush();
  return EXIT_PASS;
};
