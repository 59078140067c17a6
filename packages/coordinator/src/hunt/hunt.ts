import { join } from 'node:path';
import { type CampaignProgress, campaign } from '../campaign/campaign.ts';
import type { CampaignFailure, CampaignResult, RunCounts } from '../campaign/campaign-result.ts';
import { type DrawnFaults, makeCell, scenarioOfSeed } from '../campaign/cell.ts';
import type { SeedRange } from '../campaign/seed-set.ts';
import type { Scheduler } from '../scenario/draw-schedule.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { runIntoFolder } from './run-folder.ts';

/** What a hunt looks through, and whom it tells. */
export interface HuntOptions {
  /** Both ends included. */
  readonly seeds: SeedRange;
  /** Default `swarm`: every seed draws faults of its own. */
  readonly faults?: DrawnFaults;
  /** Default `mixed`: every seed has a scheduler of its own. */
  readonly scheduler?: Scheduler;
  /** Threads; default: cores. */
  readonly jobs?: number;
  /** Folder for a folder per distinct failure: its shortest run, which `replay` runs again. */
  readonly out?: string;
  /** Words of the command line that the scenario was loaded with, for lines that run a seed again. */
  readonly settings?: readonly string[];
  /** Ends the hunt soon, with what there is. */
  readonly signal?: AbortSignal;
  readonly progress?: (progress: CampaignProgress) => void;
}

/** One way in which runs fail. */
export interface HuntFailure
  extends Pick<CampaignFailure, 'cause' | 'invariant' | 'message' | 'count' | 'seed' | 'events'> {
  /** The command line that runs the shortest of its runs again. */
  readonly replay: string;
  /** Folder of that run; null if none was asked for. */
  readonly folder: string | null;
}

/** What `numalab hunt --json` prints. */
export interface HuntResult
  extends Pick<
    CampaignResult,
    'verdict' | 'reason' | 'seeds' | 'interrupted' | 'evidence' | 'rules' | 'marks' | 'wallMs'
  > {
  readonly scenario: string;
  readonly runs: RunCounts & { readonly requested: number; readonly perSecond: number };
  /** Every cause once, the most frequent first. */
  readonly failures: readonly HuntFailure[];
  /** Faults that fired, by kind. */
  readonly faultsFired: Readonly<Record<string, number>>;
}

/**
 * Runs `scenario` with many seeds on all cores, each with faults of its own, and tells every distinct failure once, with its
 * shortest run. Throws InputError for a scenario that cannot be run or a folder that cannot be made.
 */
export const hunt = async (scenario: Scenario, options: HuntOptions): Promise<HuntResult> => {
  const { out, faults = 'swarm', scheduler = 'mixed', seeds, jobs, settings, signal, progress } = options;
  const found = await campaign([scenario], {
    seeds,
    faults,
    scheduler,
    ...(jobs === undefined ? {} : { jobs }),
    ...(settings === undefined ? {} : { settings }),
    ...(signal === undefined ? {} : { signal }),
    ...(progress === undefined ? {} : { progress }),
  });
  const { verdict, reason, interrupted, evidence, rules, marks, wallMs, runs, faultsFired } = found;
  const cell = makeCell(scenario, faults, scheduler);
  const failures: HuntFailure[] = [];
  for (const { cause, invariant, message, count, seed, events, replay } of found.failures) {
    let folder: string | null = null;
    // A run that numalab could not end leaves nothing to write down.
    if (out !== undefined && invariant !== 'bug') {
      folder = join(out, `failure-${failures.length + 1}`);
      await runIntoFolder('--out', folder, scenarioOfSeed(cell, seed), seed);
    }
    failures.push({ cause, invariant, message, count, seed, events, replay, folder });
  }
  return {
    scenario: scenario.name,
    seeds,
    verdict,
    reason,
    interrupted,
    runs,
    failures,
    faultsFired,
    evidence,
    rules,
    marks,
    wallMs,
  };
};
