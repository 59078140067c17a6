import { enableCompileCache } from 'node:module';
import type { Trial, TrialOutcome } from './trial.ts';

enableCompileCache();

/** The task of a worker thread: a trial. */
export default async (trial: Trial): Promise<TrialOutcome> => {
  const { runTrial } = await import('./trial.ts');
  return runTrial(trial);
};
