/**
 * One piece of work after the other. What others make us send has a bound, so that it neither fills the memory nor keeps
 * what we have to say ourselves waiting.
 */
export class SendQueue {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** @returns what went wrong, if anything; never rejects. */
  add(work: () => Promise<void>): Promise<unknown> {
    this.#waiting++;
    const done = this.#last
      .then(work)
      .then(
        () => undefined,
        (error: unknown) => error,
      )
      .finally(() => this.#waiting--);
    this.#last = done;
    return done;
  }

  /** As {@link add} where fewer than `most` wait; else the work is left undone. */
  async addUnlessFull(most: number, work: () => Promise<void>): Promise<void> {
    if (this.#waiting < most) await this.add(work);
  }

  /** Resolves when all that was added until now is done. */
  async whenEmpty(): Promise<void> {
    await this.#last;
  }
}
