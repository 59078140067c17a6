/** Characters of a message that tell causes apart. */
const LONGEST = 200;

/**
 * What a failure is called whatever the seed: its rule, and its message without the numbers, moments and words that differ
 * from run to run.
 */
export const causeOf = (rule: string, message: string): string => {
  const general = message
    .split('\n', 1)[0]!
    .replace(/\b0x[0-9a-f]+\b|(?<![A-Za-z])\d+(\.\d+)?/gi, '#')
    .replace(/# (ps|ns|us|ms|s)\b/g, '# s')
    .replace(/#(, #)+/g, '#, …');
  return `${rule}: ${general.length > LONGEST ? `${general.slice(0, LONGEST - 1)}…` : general}`;
};
