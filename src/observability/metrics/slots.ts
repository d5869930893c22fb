/** What is counted: a number that grows, a value that is set, or how many values were how large. */

export class Counter {
  value = 0;

  add(amount = 1): void {
    this.value += amount;
  }
}

export class Gauge {
  value = 0;

  set(value: number): void {
    this.value = value;
  }
}

export class Histogram {
  /** Of values up to each bound, those up to a smaller one left out; the last are those above all bounds. */
  readonly counts: Float64Array;
  readonly bounds: readonly number[];
  sum = 0;

  /** @param bounds ascending. */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  record(value: number): void {
    const { bounds } = this;
    const { length } = bounds;
    let at = 0;
    // Most are below one of the first.
    while (at < length && value > (bounds[at] ?? Number.POSITIVE_INFINITY)) at++;
    this.counts[at] = (this.counts[at] ?? 0) + 1;
    this.sum += value;
  }
}
