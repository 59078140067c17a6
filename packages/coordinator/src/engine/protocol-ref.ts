import { InputError } from '@numalab/base';
import { PROTOCOLS, type Protocol } from '@numalab/protocols';

/** How every thread of a run finds the protocol: the name of a built-in one, or the URL of a module that exports it as default. */
export type ProtocolRef = string | { readonly module: string };

/** Throws InputError if there is none. */
export const loadProtocol = async (ref: ProtocolRef): Promise<Protocol> => {
  if (typeof ref === 'string') {
    if (Object.hasOwn(PROTOCOLS, ref)) return PROTOCOLS[ref]!;
    throw new InputError('replication.protocol', `there is no protocol ${ref}`);
  }
  const loaded = (await import(ref.module)) as { default?: Partial<Protocol> };
  const { default: protocol } = loaded;
  if (typeof protocol?.hypervisor === 'function' && typeof protocol.node === 'function') return protocol as Protocol;
  throw new InputError(ref.module, 'the module has no protocol as its default export');
};
