import type { Clock } from "../../../core/clock.ts";
import type { Token } from "../../auth/token-endpoint.ts";

// Of a token whose server does not say how long it lives.
const UNKNOWN_LIFE_MS = 5 * 60_000;
// A token is not to expire on its way.
const MAX_MARGIN_MS = 30_000;
// Requests that come meanwhile are told of the same failure.
const FAILURE_MS = 1_000;

interface Held {
  readonly credentials: string;
  readonly renewAt: number;
  readonly expiresAt: number;
}

/** The token of a client: fetched by the first request that needs one, for all that come while it lasts. */
export class ClientToken {
  readonly #clock: Clock;
  readonly #fetch: () => Promise<Token>;
  #held: Held | undefined;
  #fetching: Promise<string> | undefined;
  #failed: { readonly error: unknown; readonly until: number } | undefined;

  constructor(clock: Clock, fetch: () => Promise<Token>) {
    this.#clock = clock;
    this.#fetch = fetch;
  }

  /** What to put into a header. @throws what fetching does, where there is no token that still serves. */
  async credentials(): Promise<string> {
    const now = this.#clock.monotonic();
    const held = this.#held;
    if (held !== undefined && now < held.renewAt) return held.credentials;
    try {
      return await this.#renewed(now);
    } catch (error) {
      if (held !== undefined && this.#clock.monotonic() < held.expiresAt) return held.credentials;
      throw error;
    }
  }

  async #renewed(now: number): Promise<string> {
    if (this.#failed !== undefined && now < this.#failed.until) throw this.#failed.error;
    this.#fetching ??= this.#fetchNow().finally(() => {
      this.#fetching = undefined;
    });
    return await this.#fetching;
  }

  async #fetchNow(): Promise<string> {
    const askedAt = this.#clock.monotonic();
    try {
      const { credentials, expiresInMs = UNKNOWN_LIFE_MS } = await this.#fetch();
      const expiresAt = askedAt + expiresInMs;
      this.#held = { credentials, expiresAt, renewAt: expiresAt - Math.min(MAX_MARGIN_MS, expiresInMs / 5) };
      this.#failed = undefined;
      return credentials;
    } catch (error) {
      this.#failed = { error, until: this.#clock.monotonic() + FAILURE_MS };
      throw error;
    }
  }
}
