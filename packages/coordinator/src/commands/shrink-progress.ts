import type { ShrinkProgress } from '../shrink/shrink.ts';
import type { CommandContext } from './context.ts';

const REDRAW_MS = 200;
const LINE_MS = 5000;

/** How far a search is, on standard error: a line that is redrawn on a terminal, else one every few seconds. */
export class ShrinkProgressLine {
  private readonly context: CommandContext;
  private readonly quiet: boolean;
  private last = performance.now();
  private width = 0;

  constructor(context: CommandContext, quiet: boolean) {
    this.context = context;
    this.quiet = quiet;
  }

  update({ trials, events, decisions }: ShrinkProgress): void {
    const now = performance.now();
    const { isProgressTerminal } = this.context;
    if (this.quiet || now - this.last < (isProgressTerminal ? REDRAW_MS : LINE_MS)) return;
    this.last = now;
    const text = `${trials} runs tried, ${events} events and ${decisions} decisions left`;
    if (isProgressTerminal) this.draw(text);
    else this.context.note(text);
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
