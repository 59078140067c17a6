import { describe, expect, it } from 'vitest';
import { parseScenario } from '../scenario/load.ts';
import { type CampaignResult, campaignResult } from './campaign-result.ts';
import { makeCell } from './cell.ts';
import { junitXml } from './junit.ts';
import { markdownSummary } from './summary.ts';
import { type RunTally, Tally } from './tally.ts';

const run = (verdict: RunTally['verdict'], invariant: string, message: string): RunTally => ({
  verdict,
  failure: verdict === 'pass' ? null : { cause: `${invariant}: ${message}`, invariant, message, seed: 5, events: 9 },
  sums: {},
  evidence: { eventual: 1, ordered: 1, completed: 1, atomic: 1 },
  rules: [
    { id: 'R1', evidence: 1 },
    { id: 'R2', evidence: 3 },
    { id: 'T4', evidence: 0 },
  ],
  faults: [{ kind: 'drop', fired: 2 }],
  marks: ['write retired'],
  times: { writeLatencyPs: [1_000_000], maintainedPs: [] },
});

const resultOf = (...runs: readonly RunTally[]): CampaignResult => {
  const tally = new Tally();
  for (const one of runs) tally.addRun(one);
  const cell = makeCell(parseScenario('', {}, 'a <scenario> & "more"'), 'none');
  return campaignResult({
    campaign: 'id',
    version: '1',
    seeds: { from: 1, to: runs.length },
    interrupted: false,
    leases: 1,
    wallMs: 2000,
    busyMs: 1500,
    cpuMs: 1400,
    cells: [{ cell, declared: 'completed', tally, busyMs: 1500 }],
    resumed: 0,
    settings: [],
  });
};

/** The names of the elements of an XML document; throws if it is not well-formed. */
const elementsOf = (xml: string): string[] => {
  const open: string[] = [];
  const names: string[] = [];
  const [head, ...rest] = xml.split('<').slice(1);
  expect(head).toMatch(/^\?xml version="1\.0" encoding="UTF-8"\?>\s*$/);
  for (const part of rest) {
    const found = /^(\/?)([a-z]+)((?: [a-z]+="[^"<]*")*)(\/?)>([^<>]*)$/.exec(part);
    if (found === null) throw new Error(`not well-formed: <${part}`);
    const [, closes, name, attributes, isEmpty, text] = found;
    expect(`${attributes}${text}`.replace(/&(amp|lt|gt|quot|#10);/g, '')).not.toContain('&');
    if (closes === '/') expect(open.pop()).toBe(name);
    else {
      names.push(name!);
      if (isEmpty === '') open.push(name!);
    }
  }
  expect(open).toEqual([]);
  return names;
};

describe('JUnit XML', () => {
  it('has a suite for each cell, and a case for its verdict and for each rule that was put to the test', () => {
    const xml = junitXml(resultOf(run('pass', '', '')));
    expect(elementsOf(xml)).toEqual(['testsuites', 'testsuite', 'testcase', 'testcase', 'testcase']);
    expect(xml).toContain('tests="3" failures="0" errors="0" skipped="0"');
    expect(xml).not.toContain('T4');
  });

  it('holds whatever a failure says, and tells failures from errors', () => {
    const nasty = 'it is <b> & "c"\u0000\u001b\ud800]]>\n🙂';
    const xml = junitXml(resultOf(run('fail', 'R1', nasty), run('error', 'bug', 'x')));
    expect(elementsOf(xml).filter((name) => name === 'failure' || name === 'error')).toEqual(['failure', 'error']);
    expect(xml).toContain('failures="1" errors="1"');
    expect(xml).toContain('it is &lt;b&gt; &amp; &quot;c&quot;]]&gt;&#10;🙂');
    expect(xml).toContain('--seed 5');
  });
});

describe('the summary', () => {
  it('begins with the verdict and has a row for each cause, with the way to run it again', () => {
    const lines = markdownSummary(resultOf(run('fail', 'R1', 'a | b'), run('pass', '', ''))).split('\n');
    expect(lines[0]).toBe('# FAIL: 2 of 2 runs');
    const row = lines.find((line) => line.startsWith('| R1: a'));
    expect(row).toContain('| R1: a \\| b | 1 | 5 | `numalab run');
    expect(lines.join('\n')).toContain('**Faults fired:** drop 4.');
    expect(lines.join('\n')).toMatch(/\*\*Never reached:\*\* write refused, /);
  });
});
