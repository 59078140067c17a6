/**
 * First in, first out. An array would do as well, but engines make its contents anew at almost every `shift` of one that is
 * short; here what is gone is only passed over, and the array begins again when the queue is empty.
 */
export class Queue<Item> implements Iterable<Item> {
  private readonly items: (Item | undefined)[] = [];
  private head = 0;
  private tail = 0;

  get length(): number {
    return this.tail - this.head;
  }

  push(item: Item): void {
    this.items[this.tail++] = item;
  }

  /** Puts an item before all others. */
  unshift(item: Item): void {
    if (this.head === 0) {
      this.items.unshift(item);
      this.tail++;
    } else this.items[--this.head] = item;
  }

  /** Removes and returns the first item; undefined if there is none. */
  shift(): Item | undefined {
    const { items, head } = this;
    if (head === this.tail) return undefined;
    const item = items[head];
    items[head] = undefined;
    this.head++;
    if (this.head === this.tail) this.clear();
    // What is passed over is no more than what is left, or little.
    else if (this.head > 64 && 2 * this.head > this.tail) {
      items.splice(0, this.head);
      this.tail -= this.head;
      this.head = 0;
    }
    return item;
  }

  /** The `index`-th item, the first being 0; undefined if there is none. */
  at(index: number): Item | undefined {
    return index < this.length ? this.items[this.head + index] : undefined;
  }

  clear(): void {
    for (let i = this.head; i < this.tail; i++) this.items[i] = undefined;
    this.head = 0;
    this.tail = 0;
  }

  *[Symbol.iterator](): Iterator<Item> {
    for (let i = this.head; i < this.tail; i++) yield this.items[i]!;
  }
}
