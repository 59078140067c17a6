import type { CommandContext } from './context.ts';

const REDRAW_MS = 200;
const LINE_MS = 5000;

/** How far something is, on standard error: a line that is redrawn on a terminal, else one every few seconds. */
export class ProgressLine<Progress> {
  private readonly redraws: boolean;
  private readonly quiet: boolean;
  private readonly context: CommandContext;
  private readonly textOf: (progress: Progress) => string;
  private last = performance.now();
  private width = 0;

  constructor(context: CommandContext, quiet: boolean, textOf: (progress: Progress) => string) {
    this.context = context;
    this.quiet = quiet;
    this.textOf = textOf;
    this.redraws = context.isProgressTerminal;
  }

  /** Shows the progress if the last time is long enough ago. */
  update(progress: Progress): void {
    const now = performance.now();
    if (this.quiet || now - this.last < (this.redraws ? REDRAW_MS : LINE_MS)) return;
    this.last = now;
    if (this.redraws) this.draw(this.textOf(progress));
    else this.context.note(this.textOf(progress));
  }

  /** Wipes the line. */
  end(): void {
    if (this.width === 0) return;
    this.draw('');
    process.stderr.write('\r');
    this.width = 0;
  }

  private draw(text: string): void {
    process.stderr.write(`\r${text.padEnd(this.width)}`);
    this.width = text.length;
  }
}
