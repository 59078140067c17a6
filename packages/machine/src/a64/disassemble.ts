import { CONDITIONS } from './encode.ts';

/**
 * Short text for instruction words in reports: what the lab patches, branches over and stores with; `.inst` for the rest.
 * Spelled as the GNU disassembler does, aliases included, except that a branch without an address shows its offset.
 */

type Format = (word: number, va: number | undefined) => string;

const field = (word: number, msb: number, lsb: number): number => (word << (31 - msb)) >>> (31 - msb + lsb);
const signedField = (word: number, msb: number, lsb: number): number => (word << (31 - msb)) >> (31 - msb + lsb);
const hexWord = (word: number): string => `0x${(word >>> 0).toString(16)}`;

const x = (n: number): string => (n === 31 ? 'xzr' : `x${n}`);
const w = (n: number): string => (n === 31 ? 'wzr' : `w${n}`);
const sp = (n: number): string => (n === 31 ? 'sp' : `x${n}`);
const general = (n: number, wide: boolean): string => (wide ? x(n) : w(n));
const VECTOR = 'bhsdq';

/** `0x…` of a branch target if the address is known, else `.+0x40`. */
const target = (offset: number, va: number | undefined): string => {
  if (va !== undefined) return `0x${(0xfff0_0000_0000_0000n + BigInt(va + offset)).toString(16)}`;
  return offset < 0 ? `.-0x${(-offset).toString(16)}` : `.+0x${offset.toString(16)}`;
};

const byte = (word: number): string => ['b', 'h', '', ''][word >>> 30]!;
const data = (word: number): string => general(word & 31, word >>> 30 === 3);
const rn = (word: number): string => sp(field(word, 9, 5));
const rs = (word: number): number => field(word, 20, 16);
const offsetText = (offset: number): string => (offset === 0 ? '' : `, #${offset}`);

const scaleOf = (word: number): number => (field(word, 26, 26) && field(word, 23, 23) ? 4 : word >>> 30);
const register = (word: number): string => (field(word, 26, 26) ? `${VECTOR[scaleOf(word)]}${word & 31}` : data(word));
const suffix = (word: number): string => (field(word, 26, 26) ? '' : byte(word));

const scaled =
  (name: string): Format =>
  (word) =>
    `${name}${suffix(word)} ${register(word)}, [${rn(word)}${offsetText(field(word, 21, 10) * 2 ** scaleOf(word))}]`;
const unscaled =
  (name: string): Format =>
  (word) =>
    `${name}${suffix(word)} ${register(word)}, [${rn(word)}${offsetText(signedField(word, 20, 12))}]`;
const indexed: Format = (word) => {
  const offset = `#${signedField(word, 20, 12)}`;
  const where = field(word, 11, 11) ? `[${rn(word)}, ${offset}]!` : `[${rn(word)}], ${offset}`;
  return `str${suffix(word)} ${register(word)}, ${where}`;
};
const byRegister: Format = (word) => {
  const option = field(word, 15, 13);
  if ((option & 2) === 0) return `.inst ${hexWord(word)}`;
  const shift = field(word, 12, 12) ? scaleOf(word) : 0;
  const index = general(rs(word), (option & 1) === 1);
  const extend = ['', '', 'uxtw', 'lsl', '', '', 'sxtw', 'sxtx'][option]!;
  // A byte shifted by 0 still shows its shift; LSL #0 unshifted is the default and shows nothing.
  const amount = field(word, 12, 12) ? ` #${shift}` : '';
  const extension = option === 3 && amount === '' ? '' : `, ${extend}${amount}`;
  return `str${suffix(word)} ${register(word)}, [${rn(word)}, ${index}${extension}]`;
};
const pair: Format = (word) => {
  const mode = field(word, 24, 23);
  const opc = word >>> 30;
  const vector = field(word, 26, 26) === 1;
  const name = (n: number): string => (vector ? `${VECTOR[opc + 2]}${n}` : general(n, opc === 2));
  const offset = signedField(word, 21, 15) * (vector ? 4 << opc : opc === 2 ? 8 : 4);
  const where =
    mode === 1
      ? `[${rn(word)}], #${offset}`
      : mode === 3
        ? `[${rn(word)}, #${offset}]!`
        : `[${rn(word)}${offsetText(offset)}]`;
  return `${mode === 0 ? 'stnp' : 'stp'} ${name(word & 31)}, ${name(field(word, 14, 10))}, ${where}`;
};
const exclusive: Format = (word) => {
  const two = field(word, 21, 21) === 1;
  const name = `st${field(word, 15, 15) ? 'l' : ''}x${two ? 'p' : 'r'}${byte(word)}`;
  const second = two ? `, ${general(field(word, 14, 10), word >>> 30 === 3)}` : '';
  return `${name} ${w(rs(word))}, ${data(word)}${second}, [${rn(word)}]`;
};
const ordered: Format = (word) => `${field(word, 15, 15) ? 'stlr' : 'stllr'}${byte(word)} ${data(word)}, [${rn(word)}]`;
const compare: Format = (word) => {
  const order = `${field(word, 22, 22) ? 'a' : ''}${field(word, 15, 15) ? 'l' : ''}`;
  if (field(word, 23, 23)) {
    const old = general(rs(word), word >>> 30 === 3);
    return `cas${order}${byte(word)} ${old}, ${data(word)}, [${rn(word)}]`;
  }
  const two = (n: number): string => [n, n + 1].map((i) => general(i, field(word, 30, 30) === 1)).join(', ');
  return `casp${order} ${two(rs(word))}, ${two(word & 31)}, [${rn(word)}]`;
};
const OPERATIONS = 'add clr eor set smax smin umax umin'.split(' ');
const atomic: Format = (word) => {
  const order = `${field(word, 23, 23) ? 'a' : ''}${field(word, 22, 22) ? 'l' : ''}`;
  const tail = `${order}${byte(word)} ${general(rs(word), word >>> 30 === 3)}`;
  if (field(word, 15, 15)) return `swp${tail}, ${data(word)}, [${rn(word)}]`;
  const name = OPERATIONS[field(word, 14, 12)]!;
  // ST<op> is the alias that loads nothing; acquiring forms have none.
  if ((word & 31) === 31 && !order.startsWith('a')) return `st${name}${tail}, [${rn(word)}]`;
  return `ld${name}${tail}, ${data(word)}, [${rn(word)}]`;
};
const structures: Format = (word) => {
  const count = [0, 0, 4, 0, 0, 0, 3, 1, 0, 0, 2, 0, 0, 0, 0, 0][field(word, 15, 12)]!;
  if (count === 0) return `.inst ${hexWord(word)}`;
  const arrangement = ['8b', '16b', '4h', '8h', '2s', '4s', '1d', '2d'][field(word, 11, 10) * 2 + field(word, 30, 30)];
  const names = Array.from({ length: count }, (_, i) => `v${((word & 31) + i) % 32}.${arrangement}`);
  const list = count > 2 && (word & 31) + count <= 32 ? `${names[0]}-${names[count - 1]}` : names.join(', ');
  const m = rs(word);
  const step = m === 31 ? `#${count * (field(word, 30, 30) ? 16 : 8)}` : x(m);
  return `st1 {${list}}, [${rn(word)}]${field(word, 23, 23) ? `, ${step}` : ''}`;
};

const imm19 = (word: number): number => signedField(word, 23, 5) * 4;
const branch =
  (name: string): Format =>
  (word, va) =>
    `${name} ${target(signedField(word, 25, 0) * 4, va)}`;
const compareBranch: Format = (word, va) => {
  const name = field(word, 24, 24) ? 'cbnz' : 'cbz';
  return `${name} ${general(word & 31, word >>> 31 === 1)}, ${target(imm19(word), va)}`;
};
const testBranch: Format = (word, va) => {
  const bit = (word >>> 31) * 32 + field(word, 23, 19);
  const offset = target(signedField(word, 18, 5) * 4, va);
  return `${field(word, 24, 24) ? 'tbnz' : 'tbz'} ${general(word & 31, bit > 31)}, #${bit}, ${offset}`;
};
const one =
  (name: string): Format =>
  (word) =>
    `${name} ${x(field(word, 9, 5))}`;
const key = (word: number): string => (field(word, 10, 10) ? 'ab' : 'aa');
const ret: Format = (word) => (field(word, 9, 5) === 30 ? 'ret' : `ret ${x(field(word, 9, 5))}`);
const exception =
  (name: string): Format =>
  (word) =>
    `${name} #0x${field(word, 20, 5).toString(16)}`;
const literal: Format = (word, va) => {
  const vector = field(word, 26, 26) === 1;
  const size = word >>> 30;
  if (size === 3) return `.inst ${hexWord(word)}`;
  const name = size === 2 && !vector ? 'ldrsw' : 'ldr';
  const into = vector ? `${VECTOR[size + 2]}${word & 31}` : general(word & 31, size > 0);
  return `${name} ${into}, ${target(imm19(word), va)}`;
};
const pageAddress: Format = (word, va) => {
  const offset = (signedField(word, 23, 5) * 4 + field(word, 30, 29)) * 4096;
  return `adrp ${x(word & 31)}, ${target(offset, va === undefined ? va : va - (va % 4096))}`;
};
const fixed =
  (text: string): Format =>
  () =>
    text;

const FORMATS: readonly (readonly [mask: number, value: number, format: Format])[] = [
  [0xffff_ffff, 0xd503_201f, fixed('nop')],
  [0xffff_ffff, 0xd503_3fdf, fixed('isb')],
  [0xffff_ffff, 0xd503_245f, fixed('bti c')],
  [0xffff_ffff, 0xd503_249f, fixed('bti j')],
  [0xffff_ffff, 0xd503_233f, fixed('paciasp')],
  [0xffff_ffff, 0xd503_23bf, fixed('autiasp')],
  [0xffff_ffff, 0xd65f_0bff, fixed('retaa')],
  [0xffff_ffff, 0xd65f_0fff, fixed('retab')],
  [0xffff_ffff, 0xd69f_03e0, fixed('eret')],
  [0xffe0_ffe0, 0xaa00_03e0, (word) => `mov ${x(word & 31)}, ${x(rs(word))}`],
  [0xfc00_0000, 0x1400_0000, branch('b')],
  [0xfc00_0000, 0x9400_0000, branch('bl')],
  [0xff00_0010, 0x5400_0010, (word, va) => `bc.${CONDITIONS[word & 15]} ${target(imm19(word), va)}`],
  [0xff00_0010, 0x5400_0000, (word, va) => `b.${CONDITIONS[word & 15]} ${target(imm19(word), va)}`],
  [0x7e00_0000, 0x3400_0000, compareBranch],
  [0x7e00_0000, 0x3600_0000, testBranch],
  [0xffff_fc1f, 0xd61f_0000, one('br')],
  [0xffff_fc1f, 0xd63f_0000, one('blr')],
  [0xffff_fc1f, 0xd65f_0000, ret],
  [0xffff_f81f, 0xd61f_081f, (word) => `br${key(word)}z ${x(field(word, 9, 5))}`],
  [0xffff_f81f, 0xd63f_081f, (word) => `blr${key(word)}z ${x(field(word, 9, 5))}`],
  [0xffff_f800, 0xd71f_0800, (word) => `br${key(word)} ${x(field(word, 9, 5))}, ${sp(word & 31)}`],
  [0xffff_f800, 0xd73f_0800, (word) => `blr${key(word)} ${x(field(word, 9, 5))}, ${sp(word & 31)}`],
  [0xffe0_001f, 0xd420_0000, exception('brk')],
  [0xffe0_001f, 0xd440_0000, exception('hlt')],
  [0xffe0_001f, 0xd400_0001, exception('svc')],
  [0xffe0_001f, 0xd400_0002, exception('hvc')],
  [0xffe0_001f, 0xd400_0003, exception('smc')],
  [0xffff_0000, 0x0000_0000, (word) => `udf #${word}`],
  [0x3b00_0000, 0x1800_0000, literal],
  [0x9f00_0000, 0x9000_0000, pageAddress],
  [0xffff_ffe0, 0xd50b_7420, (word) => `dc zva, ${x(word & 31)}`],
  [0x3fc0_0000, 0x3900_0000, scaled('str')],
  [0x3fc0_0000, 0x3d00_0000, scaled('str')],
  [0xffc0_0000, 0x3d80_0000, scaled('str')],
  [0x3be0_0c00, 0x3800_0000, unscaled('stur')],
  [0xffe0_0c00, 0x3c80_0000, unscaled('stur')],
  [0x3fe0_0c00, 0x3800_0800, unscaled('sttr')],
  [0x3fe0_0c00, 0x1900_0000, unscaled('stlur')],
  [0x3be0_0400, 0x3800_0400, indexed],
  [0xffe0_0400, 0x3c80_0400, indexed],
  [0x3be0_0c00, 0x3820_0800, byRegister],
  [0xffe0_0c00, 0x3ca0_0800, byRegister],
  [0x7e40_0000, 0x2800_0000, pair],
  [0x7e40_0000, 0x2c00_0000, pair],
  [0xfe40_0000, 0x6c00_0000, pair],
  [0x3fe0_7c00, 0x0800_7c00, exclusive],
  [0xbfe0_0000, 0x8820_0000, exclusive],
  [0x3fff_7c00, 0x089f_7c00, ordered],
  [0x3fa0_7c00, 0x08a0_7c00, compare],
  [0xbfa1_7c01, 0x0820_7c00, compare],
  [0x3f20_8c00, 0x3820_0000, atomic],
  [0x3f20_fc00, 0x3820_8000, atomic],
  [0xbfff_0000, 0x0c00_0000, structures],
  [0xbfe0_0000, 0x0c80_0000, structures],
];

/** The text of an instruction word. `va` (bits 51:0 of its address) turns branch offsets into addresses. */
export const disassemble = (word: number, va?: number): string => {
  for (const [mask, value, format] of FORMATS) if ((word & mask) === (value | 0)) return format(word, va);
  return `.inst ${hexWord(word)}`;
};
