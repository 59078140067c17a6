import colors from 'picocolors';

type Colors = ReturnType<typeof colors.createColors>;

/** Exit codes of the command line. */
export const EXIT_PASS = 0;
export const EXIT_FAIL = 1;
export const EXIT_INPUT = 2;
export const EXIT_UNKNOWN = 3;
export const EXIT_BUG = 70;
export const EXIT_INTERRUPTED = 130;

/** How long a command may take to wind up after a signal before it is ended. */
const GRACE_MS = 10_000;

/** What a command knows of the terminal it runs in, and how it speaks. */
export class CommandContext {
  /** Colours for standard output; they are the identity unless it is a terminal that wants them. */
  readonly colors: Colors;
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean;
  /** Whether progress may be redrawn on standard error. */
  readonly isProgressTerminal: boolean;
  /** Width for text: that of the terminal, at most 120; 80 in a pipe. */
  readonly columns: number;
  private readonly controller = new AbortController();
  private heeded = false;

  constructor() {
    this.isTerminal = process.stdout.isTTY === true;
    this.isProgressTerminal = process.stderr.isTTY === true;
    const plain = process.env.NO_COLOR !== undefined && process.env.NO_COLOR !== '';
    this.colors = colors.createColors(this.isTerminal && !plain && process.env.TERM !== 'dumb');
    this.columns = this.isTerminal ? Math.min(120, process.stdout.columns || 80) : 80;
  }

  /**
   * Aborted by SIGINT or SIGTERM. Who reads it promises to stop soon, to print what there is, and to return; numalab then
   * exits with 130 whatever is returned. A command that never reads it is ended at once. Signals arrive only between
   * turns of the event loop, so long computations must await something now and then.
   */
  get signal(): AbortSignal {
    this.heeded = true;
    return this.controller.signal;
  }

  /** Whether a signal has arrived. */
  get interrupted(): boolean {
    return this.controller.signal.aborted;
  }

  /** Writes lines to standard output. */
  print(...lines: readonly string[]): void {
    process.stdout.write(`${lines.join('\n')}\n`);
  }

  /** Writes one JSON document to standard output: compact in a pipe, indented on a terminal. */
  printJson(value: unknown): void {
    process.stdout.write(`${JSON.stringify(value, null, this.isTerminal ? 2 : 0)}\n`);
  }

  /** Writes a line to standard error. */
  note(line: string): void {
    process.stderr.write(`${line}\n`);
  }

  /** The code that ends the process if standard output is closed while a command prints; set it before the report. */
  setExitCode(code: number): void {
    process.exitCode = code;
  }

  /** Called for SIGINT and SIGTERM. */
  interrupt(): void {
    if (!this.heeded || this.interrupted) process.exit(EXIT_INTERRUPTED);
    process.exitCode = EXIT_INTERRUPTED;
    this.controller.abort();
    setTimeout(() => process.exit(EXIT_INTERRUPTED), GRACE_MS).unref();
  }
}
