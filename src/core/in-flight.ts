/** Counts what is under way, and tells when nothing is: what draining waits for. */
export class InFlight {
  #count = 0;
  #idle: (() => void)[] = [];

  get count(): number {
    return this.#count;
  }

  /** One more. Whoever enters leaves once: a function that ends it twice harmlessly would cost one for each call. */
  enter(): void {
    this.#count++;
  }

  leave(): void {
    this.#count--;
    if (this.#count === 0) this.#tellIdle();
  }

  /** Resolves at the next moment at which nothing is under way. */
  async whenIdle(): Promise<void> {
    if (this.#count === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #tellIdle(): void {
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}
