import type { Message } from '@numalab/interconnect';

/** What can happen to one process. */
export type LocalEvent =
  /** A frame of `from` comes in. */
  | { readonly type: 'frame'; readonly from: number; readonly message: Sent }
  /** `from` has begun anew. */
  | { readonly type: 'hello'; readonly from: number }
  /** Hardware, or the platform's controller, does or says something. */
  | { readonly type: 'hardware'; readonly from: number; readonly message: Sent }
  /** The `index`th thing that the process has planned for itself. */
  | { readonly type: 'own'; readonly index: number }
  /** EL2's agent goes on. */
  | { readonly type: 'step' }
  /** A core touches a page that is not mapped. */
  | { readonly type: 'touch' }
  /** Core `core` stores: its next write traps. */
  | { readonly type: 'submit'; readonly core: number }
  | { readonly type: 'crash'; readonly losesMemory: boolean }
  | { readonly type: 'restart' };

/** A message without its time. */
export type Sent = Pick<Message, 'kind' | 'a' | 'b' | 'c' | 'body'>;

/** What a process does to the world around it. Messages get their `number` once they are known. */
export type Output =
  | { readonly type: 'frame'; readonly to: number; readonly message: Sent; readonly number?: number }
  | { readonly type: 'hardware'; readonly to: number; readonly message: Sent; readonly number?: number }
  | { readonly type: 'restart'; readonly peers: readonly number[] }
  | { readonly type: 'close'; readonly peer: number };
