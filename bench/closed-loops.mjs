// Callers in closed loops: each makes its next call when its last one is answered, until the time is over.

/** @typedef {{ call(): void }} Caller `call` ends, some time, in `answered` or `failed` of its loops */

export class ClosedLoops {
  #phase = undefined;
  #error = undefined;

  /**
   * Each caller makes at least one call, and none once `ms` are over.
   *
   * @param {Caller[]} callers
   * @returns {Promise<number[]>} how long each call took, in milliseconds
   */
  run(callers, ms) {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) throw this.#error;
      this.#phase = { resolve, reject, until: performance.now() + ms, busy: callers.length, times: [] };
      for (const caller of callers) caller.call();
    });
  }

  /** The same, and what the times come to. */
  async measure(callers, ms) {
    const began = performance.now();
    const times = await this.run(callers, ms);
    const seconds = (performance.now() - began) / 1000;
    times.sort((a, b) => a - b);
    return {
      calls: times.length,
      callsPerSecond: times.length / seconds,
      p50Ms: times[times.length >> 1],
      p99Ms: times[Math.floor(times.length * 0.99)],
    };
  }

  /** @param {Caller} caller whose call was answered after `ms` */
  answered(caller, ms) {
    const phase = this.#phase;
    phase.times.push(ms);
    if (performance.now() < phase.until) caller.call();
    else if (--phase.busy === 0) phase.resolve(phase.times);
  }

  failed(error) {
    this.#error ??= error;
    this.#phase?.reject(error);
  }

  /** @throws {Error} where a connection has broken meanwhile. */
  check() {
    if (this.#error !== undefined) throw this.#error;
  }
}
