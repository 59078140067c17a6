import { type Protocol, post } from '@numalab/protocols';

/** Wrong on purpose: what `post` does, declared as what `ack` holds. */
const wrong: Protocol = { ...post, guarantee: 'completed' };

export default wrong;
