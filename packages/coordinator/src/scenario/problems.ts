import type { z } from 'zod';
import type { FieldPath } from './document.ts';
import { scenarioJsonSchema } from './schema.ts';

type Issue = z.core.$ZodIssue;

/** One thing wrong with a scenario: where, and what in one clause. */
export interface Problem {
  readonly path: FieldPath;
  readonly message: string;
}

/** Number of single-character edits between two words; swapping two neighbours is one. */
const editDistance = (a: string, b: string): number => {
  let before: readonly number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(substitution, swap, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    before = previous;
    previous = row;
  }
  return previous[b.length] ?? 0;
};

/** `; did you mean X?` if one of `known` is close to `word`, else nothing. */
export const didYouMean = (word: string, known: readonly string[]): string => {
  if (word.length > 60) return '';
  const scored = known.map((candidate) => ({
    candidate,
    distance: editDistance(word.toLowerCase(), candidate.toLowerCase()),
  }));
  scored.sort((x, y) => x.distance - y.distance);
  const [best] = scored;
  if (best === undefined || best.distance > Math.max(1, Math.floor(word.length / 3))) return '';
  return `; did you mean ${best.candidate}?`;
};

/** A value as a message shows it: short, on one line. */
const show = (value: unknown): string => {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a mapping';
  return value === null ? 'nothing' : String(value);
};

const valueAt = (root: unknown, path: FieldPath): unknown => {
  let value = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
};

interface JsonSchema {
  readonly properties?: { readonly [key: string]: JsonSchema } & { readonly kind?: JsonSchema };
  readonly items?: JsonSchema;
  readonly oneOf?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly const?: unknown;
}

/** The keys that a mapping at `path` may have. */
const knownKeys = (root: unknown, path: FieldPath): string[] => {
  let schema: JsonSchema | undefined = scenarioJsonSchema() as JsonSchema;
  for (const [depth, part] of path.entries()) {
    schema = typeof part === 'number' ? schema?.items : schema?.properties?.[part];
    const variants: readonly JsonSchema[] | undefined = schema?.oneOf ?? schema?.anyOf;
    const kind = valueAt(root, [...path.slice(0, depth + 1), 'kind']);
    schema = variants?.find(({ properties }) => properties?.kind?.const === kind) ?? schema;
  }
  return Object.keys(schema?.properties ?? {}).filter((key) => key !== '$schema');
};

/** Every path of keys that a scenario may have, lists left out. */
const allPaths = (schema: JsonSchema, prefix: string): string[] =>
  Object.entries(schema.properties ?? {}).flatMap(([key, child]) => [
    `${prefix}${key}`,
    ...allPaths(child as JsonSchema, `${prefix}${key}.`),
  ]);

/** What an unknown key may have been meant for: a key of the same mapping, else one elsewhere. */
const hintForKey = (key: string, root: unknown, path: FieldPath): string => {
  const near = didYouMean(key, knownKeys(root, path));
  if (near !== '') return near;
  const paths = allPaths(scenarioJsonSchema() as JsonSchema, '');
  const elsewhere = didYouMean(key, paths.map(lastPart));
  const word = /did you mean (.*)\?/.exec(elsewhere)?.[1];
  const full = paths.find((candidate) => lastPart(candidate) === word);
  return full === undefined ? '' : `; did you mean ${full}?`;
};

const lastPart = (path: string): string => path.slice(path.lastIndexOf('.') + 1);

const TYPE_NAMES: Readonly<Record<string, string>> = {
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
  tuple: 'a list',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

const listOf = (values: readonly unknown[]): string =>
  values.length < 2 ? values.join('') : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;

const bound = (issue: Issue & { code: 'too_small' | 'too_big' }): string => {
  const small = issue.code === 'too_small';
  const limit = small ? issue.minimum : issue.maximum;
  if (issue.origin === 'string') return small ? 'must not be empty' : `must have at most ${limit} characters`;
  if (issue.origin === 'array') return `must have at ${small ? 'least' : 'most'} ${limit} entries`;
  return `must be at ${small ? 'least' : 'most'} ${limit}`;
};

const oneOf = (values: readonly unknown[], value: unknown): string => {
  if (value === undefined) return `is missing; it must be ${listOf(values)}`;
  const hint = typeof value === 'string' ? didYouMean(value, values.map(String)) : '';
  return `must be ${listOf(values)}, not ${typeof value === 'string' ? value.slice(0, 40) : show(value)}${hint}`;
};

/** Of a union that nothing fits: what is wrong with the part that came farthest, if one came farther than its type. */
const insideUnion = (issue: Issue & { code: 'invalid_union' }): Issue | undefined => {
  const nested = issue.errors.flatMap((errors) => errors.slice(0, 1)).filter(({ path }) => path.length > 0);
  return nested[0] as Issue | undefined;
};

const explain = (issue: Issue, root: unknown, prefix: FieldPath = []): Problem => {
  const path = [...prefix, ...(issue.path as FieldPath)];
  const value = valueAt(root, path);
  switch (issue.code) {
    case 'unrecognized_keys': {
      const key = issue.keys[0] ?? '';
      return { path: [...path, key], message: `unknown key${hintForKey(key, root, path)}` };
    }
    case 'invalid_type': {
      if (value === undefined) return { path, message: 'is missing' };
      // A leaf that says itself what it wants says more than its type does.
      const isOwn = issue.message.startsWith('must be');
      const wanted = isOwn ? issue.message : `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}`;
      return { path, message: `${wanted}, not ${show(value)}` };
    }
    case 'too_small':
    case 'too_big':
      return { path, message: `${bound(issue)}${typeof value === 'number' ? `, not ${value}` : ''}` };
    case 'invalid_value':
      return { path, message: oneOf(issue.values, value) };
    case 'invalid_union': {
      const nested = insideUnion(issue);
      if (nested !== undefined) return explain(nested, root, path);
      const options = (issue as { options?: readonly unknown[] }).options;
      if (issue.discriminator !== undefined && options !== undefined) return { path, message: oneOf(options, value) };
      return { path, message: `${issue.message}, not ${show(value)}` };
    }
    case 'custom':
    case 'invalid_format':
      return { path, message: `${issue.message}, not ${show(value)}` };
    default:
      return { path, message: issue.message };
  }
};

/** The first problem that a schema found in `root`, an unknown key before all others, since it often explains the rest. */
export const firstProblem = (issues: readonly Issue[], root: unknown): Problem => {
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  return issue === undefined ? { path: [], message: 'is not valid' } : explain(issue, root);
};
