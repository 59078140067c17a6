import { destination, type Level, type Logger, pino } from 'pino';

/** The log of a command: a line of JSON for each thing that happened, on standard error. */
export const commandLog = (level: Level): Logger =>
  pino({ level, base: { pid: process.pid } }, destination({ dest: 2, sync: true }));
