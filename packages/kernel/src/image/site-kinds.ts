import type { KernelImage } from './kernel-image.ts';

/** What may be written to a word of text at run time. Several can hold; the first in this list is given. */
export const SITE_NONE = 0;
/** First patchable word of a function: NOP, MOV X9,X30 after boot. */
export const SITE_FTRACE = 1;
/** Second patchable word of a function: NOP or BL. */
export const SITE_FTRACE_CALL = 2;
/** One of the two words of an ftrace literal (CALL_OPS). */
export const SITE_FTRACE_LITERAL = 3;
/** Static key: NOP or B. */
export const SITE_JUMP = 4;
/** Word of an alternative, replaced by other code. */
export const SITE_ALTERNATIVE = 5;
/** Word of an alternative that a callback rewrites. */
export const SITE_ALTERNATIVE_CALLBACK = 6;
/** One of the two words of a relocated quad. */
export const SITE_RELOCATION = 7;

/** Names of the codes, as in the `table` column of recorded traces. */
export const SITE_KIND_NAMES: readonly string[] = [
  'other',
  'ftrace',
  'ftrace+4',
  'ftrace-literal',
  'jump',
  'alt',
  'alt_cb',
  'rela',
];

/** The kind of every word of the Image, indexed by offset / 4. One byte a word; made once per image and kept by the user. */
export const siteKinds = (image: KernelImage): Uint8Array => {
  const kinds = new Uint8Array(image.words.length);
  // Least important first: what is written later wins.
  for (const slot of image.relocations.slots) kinds.fill(SITE_RELOCATION, slot >> 2, (slot >> 2) + 2);
  const { orig, origLength, callback, count } = image.alternatives;
  for (const [wanted, kind] of [
    [1, SITE_ALTERNATIVE_CALLBACK],
    [0, SITE_ALTERNATIVE],
  ] as const) {
    for (let i = 0; i < count; i++) {
      if (callback[i] === wanted) kinds.fill(kind, orig[i]! >> 2, (orig[i]! + origLength[i]!) >> 2);
    }
  }
  for (const code of image.jumpEntries.code) kinds[code >> 2] = SITE_JUMP;
  for (const literal of image.ftraceLiterals) kinds.fill(SITE_FTRACE_LITERAL, literal >> 2, (literal >> 2) + 2);
  for (const site of image.ftraceSites) {
    kinds[site >> 2] = SITE_FTRACE;
    kinds[(site >> 2) + 1] = SITE_FTRACE_CALL;
  }
  return kinds;
};
