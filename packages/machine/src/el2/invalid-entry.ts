/**
 * Invalid entries that carry meaning, in the layout of a recent pKVM: bits 63:60 type, 59:4 metadata, 3:1 owner, 0 = 0. An
 * entry of all zeroes means "owned by the host, not mapped yet"; any other invalid entry refuses host access.
 */
import { type Field, fieldHi, fieldLo, getField } from '@numalab/base';

export const INVALID_TYPE: Field = [63, 60];
export const INVALID_METADATA: Field = [59, 4];
export const INVALID_OWNER: Field = [3, 1];

/** A break-before-make is under way. */
export const INVALID_TYPE_LOCKED = 1;
/** The memory belongs to somebody else than the host. */
export const INVALID_TYPE_DONATION = 2;
/** The memory holds data that must not be used (guest tables only). */
export const INVALID_TYPE_POISONED = 3;

export const OWNER_HOST = 0;
export const OWNER_HYP = 1;
export const OWNER_GUEST = 2;

/** The words of an entry whose break-before-make is under way. */
export const LOCKED_LO = 0;
export const LOCKED_HI: number = fieldHi(INVALID_TYPE, INVALID_TYPE_LOCKED);

/** Low word of a donation to `owner` (1..7). */
export const donationLo = (owner: number): number => fieldLo(INVALID_OWNER, owner);
/** High word of a donation. */
export const DONATION_HI: number = fieldHi(INVALID_TYPE, INVALID_TYPE_DONATION);

/** Whether the entry is invalid and not zero. */
export const isAnnotated = (lo: number, hi: number): boolean => (lo & 1) === 0 && (lo | hi) !== 0;

/** The type field of an invalid entry. */
export const invalidType = (lo: number, hi: number): number => getField(lo, hi, INVALID_TYPE);

/** The owner that a donation names; {@link OWNER_HOST} for every other entry. */
export const donationOwner = (lo: number, hi: number): number =>
  (lo & 1) === 0 && invalidType(lo, hi) === INVALID_TYPE_DONATION ? getField(lo, hi, INVALID_OWNER) : OWNER_HOST;
