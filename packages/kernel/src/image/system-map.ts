import { InputError } from '@numalab/base';
import { SymbolTable } from './symbol-table.ts';

/** The words of a 64-bit VA. */
export interface LinkBase {
  readonly hi: number;
  readonly lo: number;
}

const LINE = /^([0-9a-f]{8})([0-9a-f]{8}) (\S) (\S+)$/;

/**
 * Parses System.map text (`<16 hex digits> <type letter> <name>` a line) into symbols relative to `_text`. Throws
 * {@link InputError} on a line of another form and if `_text` is missing, as in the stub that Debian's kernel package has.
 */
export const readSystemMap = (
  text: string,
  imageSize: number,
  name: string,
): { symbols: SymbolTable; base: LinkBase } => {
  const lines = text.split(/\r?\n/);
  let base: LinkBase | undefined;
  const rows: { hi: number; lo: number; type: string; name: string }[] = [];
  lines.forEach((line, index) => {
    if (line === '') return;
    const match = LINE.exec(line);
    if (match === null) {
      if (line.startsWith('ffffffffffffffff B The real System.map')) {
        throw new InputError(name, 'is a stub: the real System.map is in the kernel package whose name ends with -dbg');
      }
      throw new InputError(`${name}:${index + 1}`, 'not a System.map line (address, type letter, name)');
    }
    const row = { hi: parseInt(match[1]!, 16), lo: parseInt(match[2]!, 16), type: match[3]!, name: match[4]! };
    if (row.name === '_text') base = row;
    rows.push(row);
  });
  if (base === undefined) throw new InputError(name, 'no symbol _text: not the System.map of a kernel');
  const { hi, lo } = base;
  const symbols = rows
    .map((row) => ({ offset: (row.hi - hi) * 0x1_0000_0000 + (row.lo - lo), type: row.type, name: row.name }))
    .filter((symbol) => symbol.offset >= 0 && symbol.offset <= imageSize);
  return { symbols: SymbolTable.from(symbols), base: { hi, lo } };
};

/**
 * Throws {@link InputError} if `map` and `kallsyms` disagree on a text symbol, which means that the map belongs to
 * another build. Names that occur more than once are not compared.
 */
export const checkMapMatches = (map: SymbolTable, kallsyms: SymbolTable, name: string): void => {
  const places = new Map<string, number>();
  for (let i = 0; i < map.count; i++) places.set(map.names[i]!, places.has(map.names[i]!) ? -1 : map.offsets[i]!);
  const seen = new Map<string, number>();
  for (const symbol of kallsyms.names) seen.set(symbol, (seen.get(symbol) ?? 0) + 1);
  for (let i = 0; i < kallsyms.count; i++) {
    const symbol = kallsyms.names[i]!;
    const place = places.get(symbol) ?? -1;
    if (place < 0 || seen.get(symbol) !== 1 || !'tT'.includes(kallsyms.types[i]!)) continue;
    if (place !== kallsyms.offsets[i]!) {
      const [a, b] = [place, kallsyms.offsets[i]!].map((offset) => `_text+0x${offset.toString(16)}`);
      throw new InputError(name, `does not belong to this kernel: it has ${symbol} at ${a}, the Image has it at ${b}`);
    }
  }
};
