import { GRANULES } from '@numalab/machine';
import { addWord, dropWord, imageWords, layOut, type MachineSpec, type PageRepair } from '@numalab/node-worker';
import type { Order } from './order.ts';

/** A page's hash after a write to it. */
interface Version {
  readonly number: number;
  readonly hash: number;
}

/** Hashes of the pages of images, by the size of a page: every machine of a hunt has the same. */
const ofImages = new WeakMap<Uint32Array, Map<number, Int32Array>>();

/** By page of the span from `firstPage` on. */
const imageHashes = (image: Uint32Array, firstWord: number, pageWords: number): Int32Array => {
  const bySize = ofImages.get(image) ?? new Map<number, Int32Array>();
  ofImages.set(image, bySize);
  const known = bySize.get(pageWords);
  if (known !== undefined) return known;
  const firstPage = Math.floor(firstWord / pageWords);
  const hashes = new Int32Array(Math.ceil((firstWord + image.length) / pageWords) - firstPage);
  for (let i = 0; i < image.length; i++) {
    const page = Math.floor((firstWord + i) / pageWords) - firstPage;
    hashes[page] = addWord(hashes[page]!, firstWord + i, image[i]!);
  }
  bySize.set(pageWords, hashes);
  return hashes;
};

/**
 * What the pages of a copy hash to after each write, by image and journal alone: no copy has a say in it, so a copy that is
 * wrong spoils no other. Kept up with the journal when somebody asks.
 */
export class PageHashes {
  private readonly order: Order;
  private readonly pageWords: number;
  private readonly firstPage: number;
  private readonly firstWord: number;
  private readonly image: Uint32Array;
  private readonly atBoot: Int32Array;
  private readonly versions = new Map<number, Version[]>();
  /** Words that writes up to `upTo` have changed. */
  private readonly words = new Map<number, number>();
  private upTo = 0;

  constructor(spec: MachineSpec, order: Order) {
    const layout = layOut(spec);
    this.order = order;
    this.pageWords = GRANULES[spec.granule].bytes / 4;
    this.firstWord = layout.spanStart >> 2;
    this.firstPage = Math.floor(this.firstWord / this.pageWords);
    this.image = imageWords(spec, layout);
    this.atBoot = imageHashes(this.image, this.firstWord, this.pageWords);
  }

  private catchUp(): void {
    const { journal } = this.order;
    for (; this.upTo < journal.length; this.upTo++) {
      const { number, word, words } = journal[this.upTo]!.write;
      for (const [i, value] of words.entries()) this.note(number, word + i, value);
    }
  }

  private note(number: number, word: number, value: number): void {
    const page = Math.floor(word / this.pageWords);
    const old = this.words.get(word) ?? this.image[word - this.firstWord]!;
    const hash = addWord(dropWord(this.last(page), word, old), word, value);
    this.words.set(word, value);
    const versions = this.versions.get(page) ?? [];
    this.versions.set(page, versions);
    if (versions.at(-1)?.number === number) versions.pop();
    versions.push({ number, hash });
  }

  private last(page: number): number {
    return this.versions.get(page)?.at(-1)?.hash ?? this.atBoot[page - this.firstPage]!;
  }

  /** The hash of a page after write `number` and all before it. */
  private hashAt(page: number, number: number): number {
    const version = this.versions.get(page)?.findLast((candidate) => candidate.number <= number);
    return version?.hash ?? this.atBoot[page - this.firstPage]!;
  }

  /**
   * What a page should be whose highest number is `number`; null if that is what it hashes to, or if the journal does not know
   * that write.
   */
  repairOf(page: number, number: number, hash: number): PageRepair | null {
    this.catchUp();
    if (number > this.upTo || hash === this.hashAt(page, number)) return null;
    const { words, values, numbers } = this.order.resync(number);
    const chosen = words.flatMap((word, i) => (Math.floor(word / this.pageWords) === page ? [i] : []));
    return {
      page,
      words: chosen.map((i) => words[i]!),
      values: chosen.map((i) => values[i]!),
      numbers: chosen.map((i) => numbers[i]!),
    };
  }
}
