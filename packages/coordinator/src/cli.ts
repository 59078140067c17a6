#!/usr/bin/env node
import { enableCompileCache } from 'node:module';

enableCompileCache();

const { CommandContext, EXIT_BUG, EXIT_INPUT } = await import('./commands/context.ts');
const { main } = await import('./commands/program.ts');

const context = new CommandContext();

// A reader that closed the pipe has seen enough: end quietly, with the verdict if there is one already.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') process.exit(process.exitCode ?? 0);
  context.note(`standard output: cannot be written to (${code})`);
  process.exit(EXIT_INPUT);
});
process.stderr.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') process.exit(process.exitCode ?? 0);
  // Nobody can be told; what the run comes to is in the exit code.
});

process.on('SIGINT', () => context.interrupt());
process.on('SIGTERM', () => context.interrupt());

const fatal = (error: unknown): void => {
  context.note(`this is a bug in numalab:\n${error instanceof Error ? error.stack : String(error)}`);
  process.exit(EXIT_BUG);
};
process.on('uncaughtException', fatal);
process.on('unhandledRejection', fatal);

process.exitCode = await main(process.argv.slice(2), context);
