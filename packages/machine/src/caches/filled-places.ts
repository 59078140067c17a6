/**
 * Places of a cache that were filled since it was as at power-on, so that emptying it costs what was used. Not more than a
 * number of them are remembered; beyond that, what is emptied is emptied whole.
 */
export class FilledPlaces {
  private readonly places: Int32Array;
  private count = 0;

  constructor(most: number) {
    this.places = new Int32Array(most);
  }

  note(place: number): void {
    if (this.count < this.places.length) this.places[this.count] = place;
    this.count++;
  }

  /** Sets `array` back to `value` where `ways` places share an entry. */
  restore(array: Float64Array | Uint8Array, value: number, ways = 1): void {
    const { places, count } = this;
    if (count > places.length) array.fill(value);
    else for (let i = 0; i < count; i++) array[Math.floor(places[i]! / ways)] = value;
  }

  forget(): void {
    this.count = 0;
  }
}
