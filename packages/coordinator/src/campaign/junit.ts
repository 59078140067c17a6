import type { CampaignFailure, CampaignResult, CellResult } from './campaign-result.ts';

const isXmlCharacter = (code: number): boolean =>
  code >= 0x20 ? (code < 0xd800 || code > 0xdfff) && code !== 0xfffe && code !== 0xffff : code === 9 || code === 10;

/** Text for XML 1.0: entities for what has a meaning there, nothing for characters it cannot hold. */
const escapeXml = (text: string): string =>
  [...text]
    .filter((character) => isXmlCharacter(character.codePointAt(0)!))
    .join('')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\n', '&#10;');

const seconds = (ms: number): string => (ms / 1000).toFixed(3);

const element = (
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  body: readonly string[],
): string[] => {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escapeXml(String(value))}"`);
  const open = `<${name}${written.join('')}`;
  return body.length === 0 ? [`${open}/>`] : [`${open}>`, ...body.map((line) => `  ${line}`), `</${name}>`];
};

const failureElement = (failure: CampaignFailure): string[] => {
  const { invariant, cause, message, count, seed } = failure;
  const text = `${count} runs, the shortest with seed ${seed}: ${message}; ${failure.replay}`;
  const name = invariant === 'bug' ? 'error' : 'failure';
  return element(name, { type: invariant, message: cause }, [escapeXml(text)]);
};

/** A cell is a suite; a rule that it put to the test, or broke, is a case; the causes that broke a rule are its failures. */
const suite = (cell: CellResult, failures: readonly CampaignFailure[]): string[] => {
  const ids = new Set([
    ...Object.keys(cell.rules).filter((id) => cell.rules[id]! > 0),
    ...failures.map((f) => f.invariant),
  ]);
  const broken = (id: string): readonly CampaignFailure[] => failures.filter(({ invariant }) => invariant === id);
  const cases = [...ids].map((id) =>
    element('testcase', { classname: cell.name, name: id, time: seconds(0) }, broken(id).flatMap(failureElement)),
  );
  const isUnknown = cell.verdict === 'unknown';
  const skipped = isUnknown ? element('skipped', { message: cell.reason }, []) : [];
  const whole = element('testcase', { classname: cell.name, name: 'verdict', time: seconds(cell.busyMs) }, skipped);
  const brokenRules = [...ids].filter((id) => broken(id).length > 0);
  const attributes = {
    name: cell.name,
    tests: cases.length + 1,
    failures: brokenRules.filter((id) => id !== 'bug').length,
    errors: brokenRules.filter((id) => id === 'bug').length,
    skipped: Number(isUnknown),
    time: seconds(cell.busyMs),
  };
  return element('testsuite', attributes, [...whole, ...cases.flat()]);
};

/** A campaign as JUnit XML, which CI systems show as tests. */
export const junitXml = (result: CampaignResult): string => {
  const suites = result.cells.map((cell, index) =>
    suite(
      cell,
      result.failures.filter((failure) => failure.cell === index),
    ),
  );
  const body = element('testsuites', { name: 'numalab campaign', time: seconds(result.wallMs) }, suites.flat());
  return `${['<?xml version="1.0" encoding="UTF-8"?>', ...body].join('\n')}\n`;
};
