import type { Finding } from '@numalab/node-worker';
import type { LiveNews } from './live-task.ts';

/** What nodes tell at once, kept for when they end before their report: what they found, and what is durable. */
export class KeptNews {
  /** By node, what its half of the protocol declared durable. */
  readonly durable: readonly Map<string, unknown>[];
  private readonly found: readonly Finding[][];

  /** `durable` is what is known before anything is told. */
  constructor(nodes: number, durable: readonly ReadonlyMap<string, unknown>[] = []) {
    this.durable = Array.from({ length: nodes }, (_, node) => new Map(durable[node]));
    this.found = this.durable.map(() => []);
  }

  hear(news: LiveNews): void {
    if ('finding' in news) this.found[news.node]!.push(news.finding);
    else if (news.kept === undefined) this.durable[news.node]!.delete(news.key);
    else this.durable[news.node]!.set(news.key, news.kept.value);
  }

  /** What a node had found in a life that is over. */
  takeFindings(node: number): Finding[] {
    return this.found[node]!.splice(0);
  }
}
