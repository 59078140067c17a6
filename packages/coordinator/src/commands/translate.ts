import { once } from 'node:events';
import { assert, InputError } from '@numalab/base';
import {
  ACCESS_READ,
  ACCESS_WRITE,
  FSC_ACCESS_FLAG,
  FSC_ADDRESS_SIZE,
  FSC_PERMISSION,
  FSC_TRANSLATION,
  fscLevel,
  fscType,
  type Stage2Walker,
} from '@numalab/machine';
import { buildSpecWithTables, nodeTablesAt, walkerOf } from '../machine/node-tables.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { type CommandContext, EXIT_INTERRUPTED, EXIT_PASS } from './context.ts';
import type { TranslateOptions } from './options.ts';

const INPUT = 'standard input';
const MAX_IPA = 2 ** 52;
/** Lines put together for one write to standard output. */
const BATCH = 4096;

const FAULT_NAMES: Readonly<Record<number, string>> = {
  [FSC_ADDRESS_SIZE]: 'address-size',
  [FSC_TRANSLATION]: 'translation',
  [FSC_ACCESS_FLAG]: 'access-flag',
  [FSC_PERMISSION]: 'permission',
};

/** Reads IPAs as they come in pieces of text, a hexadecimal number (with or without 0x) a line. */
export class IpaReader {
  readonly ipas: number[] = [];
  private line = 0;
  private rest = '';

  /** Takes in what may end in the middle of a line. Throws InputError naming the line. */
  push(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop()!;
    for (const line of lines) this.take(line);
  }

  /** The last line need not end. */
  end(): void {
    this.take(this.rest);
    this.rest = '';
  }

  private take(raw: string): void {
    this.line++;
    const text = raw.trim();
    if (text === '') return;
    const digits = /^(?:0x)?([0-9a-f]+)$/i.exec(text)?.[1];
    if (digits === undefined) {
      throw new InputError(`${INPUT}:${this.line}`, `${JSON.stringify(text.slice(0, 40))} is no hexadecimal IPA`);
    }
    const ipa = Number.parseInt(digits, 16);
    if (ipa > MAX_IPA) throw new InputError(`${INPUT}:${this.line}`, `the IPA ${text.slice(0, 40)} is above 2^52`);
    this.ipas.push(ipa);
  }
}

const readIpas = async (): Promise<readonly number[]> => {
  const reader = new IpaReader();
  process.stdin.setEncoding('utf8');
  for await (const chunk of process.stdin) reader.push(chunk as string);
  reader.end();
  return reader.ipas;
};

/** What the tables say about one access, as a line of JSON. */
export const translationLine = (walker: Stage2Walker, ipa: number, access: 'read' | 'write'): string => {
  const status = walker.walk(ipa, access === 'read' ? ACCESS_READ : ACCESS_WRITE);
  const start = `{"ipa":"0x${ipa.toString(16)}","access":"${access}",`;
  if (status === 0) return `${start}"pa":"0x${walker.pa.toString(16)}"}`;
  const fault = FAULT_NAMES[fscType(status)];
  assert(fault !== undefined, `a walk of a node's own tables ended with status ${status}`);
  return `${start}"fault":"${fault}","level":${fscLevel(status)}}`;
};

/** `translate SCENARIO`: answers for IPAs on standard input. Returns the exit code; throws InputError. */
export const translateCommand = async (
  scenario: Scenario,
  { node, access, at, seed }: TranslateOptions,
  context: CommandContext,
): Promise<number> => {
  const found = await nodeTablesAt(buildSpecWithTables(scenario, seed), node, at, () => context.signal);
  if (found === null) return EXIT_INTERRUPTED;
  const walker = walkerOf(found);
  // All of the input is judged before the first answer, so that bad input prints no answers.
  const ipas = await readIpas();
  for (let from = 0; from < ipas.length && !process.stdout.destroyed; from += BATCH) {
    const lines = ipas.slice(from, from + BATCH).map((ipa) => translationLine(walker, ipa, access));
    if (!process.stdout.write(`${lines.join('\n')}\n`)) await once(process.stdout, 'drain');
  }
  return EXIT_PASS;
};
