import type { CampaignResult } from '@numalab/coordinator';

/** What a campaign found, without what depends on where and when it was run. */
export const factsOf = ({ runs, failures, histograms, evidence, rules, events }: CampaignResult): unknown => ({
  runs: { ...runs, perSecond: 0, resumed: 0 },
  ...{ failures, histograms, evidence, rules, events },
});
