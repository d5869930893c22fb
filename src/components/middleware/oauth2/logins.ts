import { generateRandomCodeVerifier, generateRandomState } from "oauth4webapi";
import type { Clock } from "../../../core/clock.ts";
import type { RequestMessage } from "../../../core/message.ts";
import type { RawHeaders } from "../../../core/raw-headers.ts";
import type { Cookies } from "./cookies.ts";
import type { Sealer } from "./sealed.ts";

// As contrib gives the user.
const LIFE_MS = 10 * 60_000;
// Pages that a browser opens side by side; of more, the earlier ones have to begin again.
const MAX_AT_ONCE = 4;
// A cookie holds some 4,000 characters, of which sealing takes a third.
const MAX_RETURN_CHARS = 2_000;
const NAME = "login-";

/** A login that has begun: the user is at the authorization server. */
export interface Login {
  readonly state: string;
  /** Of PKCE (RFC 7636). */
  readonly verifier: string;
  /** Where the user wanted to go: a path of the same server, and its query. */
  readonly returnTo: string;
}

/**
 * Logins are kept in the browser, sealed: whoever only begins them takes no memory, and the process in which one ends may be
 * another one. That the cookie comes back with the state is what binds the login to the browser.
 */
export class Logins {
  readonly #cookies: Cookies;
  readonly #sealer: Sealer;
  readonly #clock: Clock;

  constructor(cookies: Cookies, sealer: Sealer, clock: Clock) {
    this.#cookies = cookies;
    this.#sealer = sealer;
    this.#clock = clock;
  }

  /** @returns the login, and the cookies to set. */
  begin(request: RequestMessage): { readonly login: Login; readonly cookies: RawHeaders } {
    const login = {
      state: generateRandomState(),
      verifier: generateRandomCodeVerifier(),
      returnTo: ownPlace(request),
    };
    const open = [...this.#cookies.in(request.headers).keys()].filter((name) => name.startsWith(NAME));
    const tooMany = open.length < MAX_AT_ONCE ? [] : open;
    const sealed = this.#sealer.seal(JSON.stringify({ ...login, until: this.#clock.now() + LIFE_MS }));
    return {
      login,
      cookies: [
        ...tooMany.flatMap((name) => this.#cookies.remove(name)),
        ...this.#cookies.set(nameOf(login.state), sealed, LIFE_MS),
      ],
    };
  }

  /** The login of this browser that has this state; undefined where there is none, or it has taken too long. */
  under(state: string, headers: readonly string[]): Login | undefined {
    const sealed = this.#cookies.in(headers).get(nameOf(state));
    const text = sealed === undefined ? undefined : this.#sealer.open(sealed);
    if (text === undefined) return undefined;
    // Nobody else can have sealed it.
    const { until, ...login } = JSON.parse(text) as Login & { readonly until: number };
    return login.state === state && this.#clock.now() < until ? login : undefined;
  }

  /** The header that takes its cookie away. */
  ended({ state }: Login): RawHeaders {
    return this.#cookies.remove(nameOf(state));
  }
}

function nameOf(state: string): string {
  return NAME + state.slice(0, 12);
}

/** Never another server, which `//` and, to browsers, a backslash would name. */
function ownPlace({ path, query }: RequestMessage): string {
  const own = `/${path.replace(/^[/\\]+/, "")}`.replaceAll("\\", "%5C");
  const whole = query === undefined ? own : `${own}?${query}`;
  return [whole, own].find((place) => place.length <= MAX_RETURN_CHARS) ?? "/";
}
