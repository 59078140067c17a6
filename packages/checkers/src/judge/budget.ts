/** How many entries of a history judges may look at. When it is used up they stop, and the verdict is `unknown` at best. */
export class Budget {
  private left: number;
  /** Something was left unjudged. */
  exhausted = false;

  constructor(entries: number) {
    this.left = entries;
  }

  /** Takes `entries`; false, and nothing is taken, if there are not so many. */
  spend(entries: number): boolean {
    if (this.exhausted || entries > this.left) {
      this.exhausted = true;
      return false;
    }
    this.left -= entries;
    return true;
  }
}
