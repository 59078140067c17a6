import { ack } from './ack.ts';
import { bbm } from './bbm.ts';
import { collapse } from './collapse.ts';
import { direct } from './direct.ts';
import { invalidate } from './invalidate.ts';
import { post } from './post.ts';
import type { Protocol } from './protocol.ts';
import { stopMachine } from './stop-machine.ts';

export * from './protocol.ts';
export { ack, bbm, collapse, direct, invalidate, post, stopMachine };

/** The built-in protocols by name. */
export const PROTOCOLS: Readonly<Record<string, Protocol>> = {
  post,
  ack,
  direct,
  bbm,
  'stop-machine': stopMachine,
  invalidate,
  collapse,
};
