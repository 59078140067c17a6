/**
 * In the process that tells a newcomer, which takes the place of a process that is gone, what all know: since when the newcomer
 * hears by itself what each other process says. What that one had said before is here when its fence is, and nothing
 * is missing between the two.
 */
export class Newcomers {
  private readonly waiting = new Map<number, { readonly life: number; readonly fenced: Set<number> }>();

  /** `member` has connected to `by` in its `life`, and everything that `by` had said before has come. */
  fence(member: number, life: number, by: number): void {
    const known = this.waiting.get(member);
    // One that is gone again may have left some.
    if (known?.life === life) known.fenced.add(by);
    else if (known === undefined || known.life < life) this.waiting.set(member, { life, fenced: new Set([by]) });
  }

  /** Takes those that hear all of `present` by themselves: they can be told. */
  take(self: number, present: readonly number[]): number[] {
    const ready = [...this.waiting.keys()].filter((member) => {
      const { fenced } = this.waiting.get(member)!;
      return fenced.has(self) && present.every((other) => other === member || fenced.has(other));
    });
    for (const member of ready) this.waiting.delete(member);
    return ready;
  }
}
