import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ORDER, PURE, ROOT, sourceFiles, workspaceFolders } from './workspace.ts';

/** Files may be longer than this only for the reason given here. */
const MAX_LINES = 400;
const LONGER: Readonly<Record<string, string>> = {
  'packages/machine/src/el2/stage2-editor.test.ts': 'one suite of the editor, whose cases share a fixture',
  'packages/node-worker/src/node.ts': 'the hub of a node: its parts, its loop, and the two tables of what messages do',
  'packages/node-worker/src/live/live-node.ts':
    'one thread: its loop, and what its cores share with those of other threads',
};

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const files = workspaceFolders().flatMap(sourceFiles);

describe('the files', () => {
  it('are there', () => {
    expect(files.length).toBeGreaterThan(200);
  });

  it.each(ORDER)('of %s are reached by one index of named exports', (name) => {
    expect(existsSync(join(ROOT, `packages/${name}/src/index.ts`))).toBe(true);
    expect(read(`packages/${name}/src/index.ts`)).not.toMatch(/export default|=>|function /);
  });

  it(`have at most ${MAX_LINES} lines, or a reason`, () => {
    const long = files.filter((path) => read(path).split('\n').length - 1 > MAX_LINES && !(path in LONGER));
    expect(long).toEqual([]);
  });

  it('are no longer than need be where a reason is given', () => {
    expect(Object.keys(LONGER).filter((path) => read(path).split('\n').length - 1 <= MAX_LINES)).toEqual([]);
  });

  it('of pure packages do not switch off the rules that keep them pure', () => {
    const rules =
      /biome-ignore(-all|-start)? lint(\/(style\/noRestricted|nursery|correctness\/noNodejs)|[ :])|@ts-nocheck/;
    const pure = PURE.flatMap((name) => sourceFiles(`packages/${name}/src`));
    expect(pure.filter((path) => rules.test(read(path)))).toEqual([]);
  });

  it('have no test that is left out or left alone', () => {
    const only = /\b(describe|it|test)\.(only|todo)\b|\bx(it|describe)\(/;
    const own = 'tests/tidy/files.test.ts';
    expect(files.filter((path) => path.endsWith('.test.ts') && path !== own && only.test(read(path)))).toEqual([]);
  });
});
