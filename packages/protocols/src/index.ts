import { ack } from './ack.ts';
import { post } from './post.ts';
import type { Protocol } from './protocol.ts';

export * from './protocol.ts';
export { ack, post };

/** The built-in protocols by name. */
export const PROTOCOLS: Readonly<Record<string, Protocol>> = { ack, post };
