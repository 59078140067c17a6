/** Writes docs/CHECKERS.md: `pnpm run checkers`. */
import { writeFileSync } from 'node:fs';
import { checkersPage } from './checkers-page.ts';

writeFileSync(new URL('../../docs/CHECKERS.md', import.meta.url), checkersPage());
