import { formatTime } from '../result/format.ts';
import type { CommandContext } from './context.ts';

const REDRAW_MS = 200;

/** A line on standard error that tells how far virtual time is; nothing unless that is a terminal. */
export class Progress {
  private readonly shown: boolean;
  private label = '';
  private last = 0;
  private width = 0;

  constructor(context: CommandContext, quiet: boolean) {
    this.shown = context.isProgressTerminal && !quiet;
  }

  /** What is under way from now on. */
  begin(label: string): void {
    this.label = label;
    this.draw(label);
  }

  /** `virtualPs` of a duration of `durationPs` have passed; finite writers may take longer. */
  update(virtualPs: number, durationPs: number): void {
    const now = performance.now();
    if (now - this.last < REDRAW_MS) return;
    this.last = now;
    this.draw(`${this.label}: ${formatTime(virtualPs)} of ${formatTime(durationPs)} virtual time`);
  }

  /** Wipes the line. */
  end(): void {
    this.draw('');
    if (this.shown && this.width > 0) process.stderr.write('\r');
  }

  private draw(text: string): void {
    if (!this.shown) return;
    process.stderr.write(`\r${text.padEnd(this.width)}`);
    this.width = text.length;
  }
}
