/** The page docs/CHECKERS.md, from the rules and their twins. */
import { RULES } from '@numalab/checkers';
import { TWINS } from './twins.ts';

const INTRODUCTION = `# Checkers

Every rule that is judged: what its judge looks at, what it cannot tell, and the step that breaks it. Written by
\`pnpm run checkers\` from the rules and from \`tests/conformance/twins.ts\`; \`tests/conformance/rules.test.ts\` compares this page
with both, runs each scenario as it is, where the rule must hold with evidence, and with the one step, where it must be broken and
say what this page says. Judges have more cases of their own beside them, \`packages/checkers/src/**/*.test.ts\`: each place that
reports something has one in which it does and, one step apart, one in which it does not.

Judges look at a history word by word: what they cost grows as the history does. \`judge-cost.test.ts\` judges 4,000 and
16,000 writes, each fetched three times, synchronised and compared with, and allows a factor of 8; measured is 4.1 (10 and 40 ms).
\`checks.budget\` bounds the entries that are looked at. What is left makes the verdict \`unknown\`, unless something was broken
in what was judged; R3, R5, R6, X1 and K1 can be cut short so, and a report then says which were.

| rule | verifies | does not verify | is broken if |
| --- | --- | --- | --- |
`;

/** The whole page; Markdown tables are laid out by the formatter. */
export const checkersPage = (): string =>
  INTRODUCTION +
  RULES.map(({ id, says, verifies, doesNotVerify }) => {
    const steps = TWINS.filter(({ rule }) => rule === id).map(({ what }) => what);
    return `| ${id}: ${says} | ${verifies} | ${doesNotVerify} | ${steps.join('; or ')} |\n`;
  }).join('');
