#!/usr/bin/env node
import { enableCompileCache } from 'node:module';

enableCompileCache();

const { CommandContext, EXIT_BUG } = await import('./commands/context.ts');
const { main } = await import('./commands/program.ts');

const context = new CommandContext();

// A reader that closed the pipe has seen enough: end quietly, with the verdict if there is one already.
const endQuietly = (error: NodeJS.ErrnoException): void => {
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
  throw error;
};
process.stdout.on('error', endQuietly);
process.stderr.on('error', endQuietly);

process.on('SIGINT', () => context.interrupt());
process.on('SIGTERM', () => context.interrupt());

const fatal = (error: unknown): void => {
  context.note(`this is a bug in numalab:\n${error instanceof Error ? error.stack : String(error)}`);
  process.exit(EXIT_BUG);
};
process.on('uncaughtException', fatal);
process.on('unhandledRejection', fatal);

process.exitCode = await main(process.argv.slice(2), context);
