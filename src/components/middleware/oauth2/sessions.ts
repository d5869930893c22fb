import { randomBytes } from "node:crypto";
import type { Clock } from "../../../core/clock.ts";

// Of a token whose server does not say how long it lives, as in contrib.
const UNKNOWN_LIFE_MS = 60 * 60_000;
const LONGEST_LIFE_MS = 24 * 60 * 60_000;

interface Session {
  readonly credentials: string;
  readonly until: number;
}

/** Who is logged in. Tokens stay here: the browser gets a name that says nothing. */
export class Sessions {
  readonly #clock: Clock;
  readonly #max: number;
  /** The one used last is the last. */
  readonly #byId = new Map<string, Session>();

  /** @param max how many there may be; of more, those go that have not been used for longest. */
  constructor(clock: Clock, max: number) {
    this.#clock = clock;
    this.#max = max;
  }

  /** @returns its name, which nobody can guess, and how long it lives. */
  begin(credentials: string, lifeMs = UNKNOWN_LIFE_MS): { readonly id: string; readonly lifeMs: number } {
    if (this.#byId.size >= this.#max) this.#makeRoom();
    const id = randomBytes(32).toString("base64url");
    const bounded = Math.min(lifeMs, LONGEST_LIFE_MS);
    this.#byId.set(id, { credentials, until: this.#clock.monotonic() + bounded });
    return { id, lifeMs: bounded };
  }

  /** What to put into the app's header; undefined where nobody is logged in under this name. */
  credentials(id: string | undefined): string | undefined {
    const session = id === undefined ? undefined : this.#byId.get(id);
    if (id === undefined || session === undefined) return undefined;
    this.#byId.delete(id);
    if (session.until <= this.#clock.monotonic()) return undefined;
    this.#byId.set(id, session);
    return session.credentials;
  }

  #makeRoom(): void {
    const now = this.#clock.monotonic();
    for (const [id, { until }] of this.#byId) if (until <= now) this.#byId.delete(id);
    for (const id of this.#byId.keys()) {
      if (this.#byId.size < this.#max) return;
      this.#byId.delete(id);
    }
  }
}
