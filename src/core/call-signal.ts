/**
 * Tells whoever works for a call that nobody waits for it any more. The part of AbortSignal that this takes, so that a
 * real one will do wherever one is at hand; making a real one costs more than the rest of a hop (decision 9).
 */
export interface CallSignal {
  readonly aborted: boolean;
  /** What it was aborted with; undefined until then. */
  readonly reason: unknown;
  /** The listener is called once, when the signal fires; not where it has fired already. */
  addEventListener(type: "abort", listener: AbortListener): void;
  removeEventListener(type: "abort", listener: AbortListener): void;
}

export interface AbortListener {
  handleEvent(): void;
}

/** A signal, and the means to fire it. */
export class CallAbort implements CallSignal {
  #reason: Error | undefined;
  readonly #listeners: AbortListener[] = [];

  get aborted(): boolean {
    return this.#reason !== undefined;
  }

  get reason(): Error | undefined {
    return this.#reason;
  }

  /** Calling it again does nothing. */
  abort(reason: Error): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    for (const listener of this.#listeners.splice(0)) listener.handleEvent();
  }

  addEventListener(_type: "abort", listener: AbortListener): void {
    if (this.#reason === undefined) this.#listeners.push(listener);
  }

  removeEventListener(_type: "abort", listener: AbortListener): void {
    const place = this.#listeners.indexOf(listener);
    if (place !== -1) this.#listeners.splice(place, 1);
  }
}

/** What to fail with where `signal` has fired. */
export function abortReason(signal: CallSignal | undefined): Error {
  return signal?.reason instanceof Error ? signal.reason : new Error("nobody waits for the call any more");
}
