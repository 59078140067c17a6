/** When a write that is recorded began and ended, in ticks. */
export interface LiveWriteTimes {
  readonly number: number;
  readonly begin: number;
  readonly end: number;
  readonly core: number;
}

const FIRST_ROOM = 1024;

/** A copy with twice the room. */
const withRoom = <Column extends Int32Array<ArrayBuffer> | Float64Array<ArrayBuffer>>(column: Column): Column => {
  const wider = new (column.constructor as new (length: number) => Column)(2 * column.length);
  wider.set(column);
  return wider;
};

/** Times of the writes of one node that are on record, in columns: no object lives on for each. */
export class LiveTimes {
  private count = 0;
  private numbers = new Int32Array(FIRST_ROOM);
  private cores = new Int32Array(FIRST_ROOM);
  private begins = new Float64Array(FIRST_ROOM);
  private ends = new Float64Array(FIRST_ROOM);

  add(number: number, begin: number, end: number, core: number): void {
    const i = this.count++;
    if (i === this.numbers.length) this.grow();
    this.numbers[i] = number;
    this.begins[i] = begin;
    this.ends[i] = end;
    this.cores[i] = core;
  }

  private grow(): void {
    this.numbers = withRoom(this.numbers);
    this.cores = withRoom(this.cores);
    this.begins = withRoom(this.begins);
    this.ends = withRoom(this.ends);
  }

  entries(): LiveWriteTimes[] {
    return Array.from({ length: this.count }, (_, i) => ({
      number: this.numbers[i]!,
      begin: this.begins[i]!,
      end: this.ends[i]!,
      core: this.cores[i]!,
    }));
  }
}
