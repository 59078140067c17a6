import type { CampaignFailure } from './campaign-result.ts';

const quote = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** The command line that runs the shortest run of a failure again. */
export const replayOf = ({ scenario, protocol, topology, seed }: CampaignFailure): string => {
  const words = ['numalab', 'run', scenario, '--seed', String(seed)];
  if (protocol !== null) words.push('--protocol', protocol);
  if (topology !== null) words.push('--set', `machine.distances=${topology}`);
  return words.map(quote).join(' ');
};
