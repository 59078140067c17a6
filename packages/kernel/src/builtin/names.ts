import type { Random } from '@numalab/base';

const SUBSYSTEMS = 'sched mm vfs net blk irq timer rcu lock acct crypt dev pipe sock page slab'.split(' ');
const VERBS = (
  'get put find alloc free queue wake read write sync flush check update insert remove ' +
  'begin finish attach detach reset'
).split(' ');
const NOUNS = (
  'entry node list task range buffer state frame timer group context page device ' +
  'request counter event bucket slot region owner'
).split(' ');

/** Names of functions, each given once: three words in an order that the seed decides. */
export class NameSource {
  private readonly order: Uint32Array;
  private next = 0;

  constructor(random: Random) {
    const total = SUBSYSTEMS.length * VERBS.length * NOUNS.length;
    this.order = Uint32Array.from({ length: total }, (_, i) => i);
    for (let i = total - 1; i > 0; i--) {
      const j = random.below(i + 1);
      const swapped = this.order[i]!;
      this.order[i] = this.order[j]!;
      this.order[j] = swapped;
    }
  }

  /** A name that was not given before; after the last combination they are numbered. */
  take(): string {
    const round = Math.floor(this.next / this.order.length);
    const pick = this.order[this.next++ % this.order.length]!;
    const noun = NOUNS[pick % NOUNS.length]!;
    const verb = VERBS[Math.floor(pick / NOUNS.length) % VERBS.length]!;
    const subsystem = SUBSYSTEMS[Math.floor(pick / NOUNS.length / VERBS.length)]!;
    const name = `${subsystem}_${verb}_${noun}`;
    return round === 0 ? name : `${name}_${round}`;
  }
}

/** Parts of names that occur often: the generator of kallsyms makes tokens of them. */
export const FREQUENT_PARTS: readonly string[] = [
  ...SUBSYSTEMS.map((word) => `${word}_`),
  ...VERBS.map((word) => `${word}_`),
  ...NOUNS,
  ...SUBSYSTEMS.map((word) => `t${word}_`),
  ...SUBSYSTEMS.map((word) => `T${word}_`),
  '__kvm_nvhe_',
  'numalab_',
  'store_',
  '_text_start',
  '_text_end',
];
