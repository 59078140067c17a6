/**
 * Fault status codes: DFSC and IFSC of ESR_EL2, FST of PAR_EL1 (Arm ARM D19.2.37). Walkers return 0 for success and one of
 * these codes for a fault. The one code that would be 0 itself, an address size fault at level 0, is therefore
 * {@link FSC_ADDRESS_SIZE_L0} inside numalab; every six-bit register field drops its bit 6.
 */

export const FSC_ADDRESS_SIZE = 0x00;
/** Address size fault at level 0: 0b000000 in a register. */
export const FSC_ADDRESS_SIZE_L0 = 0x40;
export const FSC_TRANSLATION = 0x04;
export const FSC_ACCESS_FLAG = 0x08;
export const FSC_PERMISSION = 0x0c;
/** External abort on the access itself. */
export const FSC_EXTERNAL = 0x10;
/** External abort on the fetch of a descriptor. */
export const FSC_EXTERNAL_WALK = 0x14;
export const FSC_ALIGNMENT = 0x21;
export const FSC_TLB_CONFLICT = 0x30;
export const FSC_UNSUPPORTED_UPDATE = 0x31;
export const FSC_LOCKDOWN = 0x34;
export const FSC_UNSUPPORTED_EXCLUSIVE = 0x35;

const EXTERNAL_WALK_LM1 = 0x13;
const ADDRESS_SIZE_LM1 = 0x29;
const TRANSLATION_LM1 = 0x2b;

/** Address size fault at `level`, -1..3. */
export const FSC_ADDRESS_SIZE_L = (level: number): number =>
  level > 0 ? level : level === 0 ? FSC_ADDRESS_SIZE_L0 : ADDRESS_SIZE_LM1;
/** Translation fault at `level`, -1..3. */
export const FSC_TRANSLATION_L = (level: number): number => (level < 0 ? TRANSLATION_LM1 : FSC_TRANSLATION + level);
/** Access flag fault at `level`, 0..3; there are no leaves at level -1. */
export const FSC_ACCESS_FLAG_L = (level: number): number => FSC_ACCESS_FLAG + level;
/** Permission fault at `level`, 0..3; there are no leaves at level -1. */
export const FSC_PERMISSION_L = (level: number): number => FSC_PERMISSION + level;
/** External abort on the fetch of a descriptor at `level`, -1..3. */
export const FSC_EXTERNAL_WALK_L = (level: number): number =>
  level < 0 ? EXTERNAL_WALK_LM1 : FSC_EXTERNAL_WALK + level;

/**
 * The class of a fault without its level: FSC_ADDRESS_SIZE, FSC_TRANSLATION, FSC_ACCESS_FLAG, FSC_PERMISSION or
 * FSC_EXTERNAL_WALK for faults of a walk, else the six-bit code itself.
 */
export const fscType = (fsc: number): number => {
  const code = fsc & 0x3f;
  if (code < 0x10 || (code & 0x3c) === FSC_EXTERNAL_WALK) return code & 0x3c;
  if (code === EXTERNAL_WALK_LM1) return FSC_EXTERNAL_WALK;
  if (code === ADDRESS_SIZE_LM1) return FSC_ADDRESS_SIZE;
  return code === TRANSLATION_LM1 ? FSC_TRANSLATION : code;
};

/** The level of a walk's fault, -1..3. Meaningless for codes that carry none. */
export const fscLevel = (fsc: number): number => {
  const code = fsc & 0x3f;
  return code === EXTERNAL_WALK_LM1 || code === ADDRESS_SIZE_LM1 || code === TRANSLATION_LM1 ? -1 : code & 3;
};

const WALK_NAMES: Readonly<Record<number, string>> = {
  [FSC_ADDRESS_SIZE]: 'address size fault',
  [FSC_TRANSLATION]: 'translation fault',
  [FSC_ACCESS_FLAG]: 'access flag fault',
  [FSC_PERMISSION]: 'permission fault',
  [FSC_EXTERNAL_WALK]: 'external abort on a table walk',
};
const OTHER_NAMES: Readonly<Record<number, string>> = {
  [FSC_EXTERNAL]: 'external abort',
  [FSC_ALIGNMENT]: 'alignment fault',
  [FSC_TLB_CONFLICT]: 'TLB conflict abort',
  [FSC_UNSUPPORTED_UPDATE]: 'unsupported hardware update',
  [FSC_LOCKDOWN]: 'lockdown fault',
  [FSC_UNSUPPORTED_EXCLUSIVE]: 'unsupported exclusive or atomic access',
};

/** A fault in words, such as `permission fault, level 3`. */
export const fscName = (fsc: number): string => {
  const type = fscType(fsc);
  const walk = WALK_NAMES[type];
  if (walk !== undefined) return `${walk}, level ${fscLevel(fsc)}`;
  return OTHER_NAMES[type] ?? `fault status 0x${(fsc & 0x3f).toString(16)}`;
};
