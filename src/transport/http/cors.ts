import { headerValue, headerValues, type RawHeaders, withoutHeaders } from "../../core/raw-headers.ts";
import type { HttpAnswer, HttpExchange } from "./http-exchange.ts";
import { WrappedExchange } from "./wrapped-exchange.ts";

/**
 * Which pages of other origins a browser may let call the API (`--allowed-origins`; https://fetch.spec.whatwg.org/#http-cors-protocol).
 * What is answered is what daprd's middleware answers, go-chi/cors with any header and no credentials allowed.
 */
export class CorsPolicy {
  readonly #all: boolean;
  /** In lower case. */
  readonly #origins: ReadonlySet<string>;
  /** What stands before and behind the `*` of an origin. */
  readonly #wildcards: readonly (readonly [prefix: string, suffix: string])[];

  /** @param origins `*` for all; in another one, the first `*` stands for any characters. Case does not matter. */
  constructor(origins: readonly string[]) {
    const lower = origins.map((origin) => origin.toLowerCase());
    this.#all = lower.includes("*");
    this.#origins = new Set(lower.filter((origin) => !origin.includes("*")));
    this.#wildcards = lower.filter((origin) => origin.includes("*")).map(splitAtWildcard);
  }

  /**
   * What to answer a preflight with: a browser that asks before it sends, without any token (fetch, "CORS-preflight
   * request"). Undefined for any other request, an OPTIONS that is meant for the app among them.
   */
  preflightHeaders(method: string, headers: readonly string[]): RawHeaders | undefined {
    if (method !== "OPTIONS") return undefined;
    const origin = headerValue(headers, "origin");
    const asked = headerValue(headers, "access-control-request-method") ?? "";
    if (origin === undefined || asked === "") return undefined;
    const answer = [
      "Vary",
      "Origin",
      "Vary",
      "Access-Control-Request-Method",
      "Vary",
      "Access-Control-Request-Headers",
    ];
    // Without further headers the browser takes it for a no.
    if (!this.#allows(origin) || !isAllowedMethod(asked)) return answer;
    answer.push("Access-Control-Allow-Origin", this.#grantTo(origin));
    answer.push("Access-Control-Allow-Methods", asked.toUpperCase());
    const names = namesIn(headerValue(headers, "access-control-request-headers") ?? "");
    if (names.length > 0) answer.push("Access-Control-Allow-Headers", names.join(", "));
    return answer;
  }

  /** The headers of an answer to any other request, and what browsers are to be told beside them. */
  addTo(answered: readonly string[], method: string, origin: string | undefined): RawHeaders {
    // An app that has decided for itself is believed: two answers to one question are none to a browser.
    const isDecided = headerValue(answered, "access-control-allow-origin") !== undefined;
    const isGranted = !isDecided && origin !== undefined && this.#allows(origin) && isAllowedMethod(method);
    // What the app says of credentials was not said of this origin, nor do we allow any.
    const headers = isGranted
      ? withoutHeaders(answered, (name) => name === "access-control-allow-credentials")
      : [...answered];
    if (!varies(answered)) headers.push("Vary", "Origin");
    if (isGranted) headers.push("Access-Control-Allow-Origin", this.#grantTo(origin));
    return headers;
  }

  #grantTo(origin: string): string {
    return this.#all ? "*" : origin;
  }

  #allows(origin: string): boolean {
    if (this.#all) return true;
    const lower = origin.toLowerCase();
    if (this.#origins.has(lower)) return true;
    return this.#wildcards.some(
      ([prefix, suffix]) =>
        lower.length >= prefix.length + suffix.length && lower.startsWith(prefix) && lower.endsWith(suffix),
    );
  }
}

/** An exchange whose answers, whoever gives them, say what `policy` allows. */
export class CorsExchange extends WrappedExchange {
  readonly #policy: CorsPolicy;

  constructor(inner: HttpExchange, policy: CorsPolicy) {
    super(inner);
    this.#policy = policy;
  }

  override answer(answer: HttpAnswer): void {
    const { method, rawHeaders } = this.inner;
    const headers = this.#policy.addTo(answer.headers, method, headerValue(rawHeaders, "origin"));
    this.inner.answer({ ...answer, headers });
  }
}

// OPTIONS because a browser may be asked to send it by a page; what asks beforehand never comes here.
const ALLOWED_METHODS: ReadonlySet<string> = new Set(["HEAD", "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

function isAllowedMethod(method: string): boolean {
  return ALLOWED_METHODS.has(method.toUpperCase());
}

function splitAtWildcard(origin: string): [prefix: string, suffix: string] {
  const at = origin.indexOf("*");
  return [origin.slice(0, at), origin.slice(at + 1)];
}

/** Whether caches are told already that the answer depends on the origin. */
function varies(headers: readonly string[]): boolean {
  const values = headerValues(headers, "vary").flatMap((value) => value.toLowerCase().split(","));
  return values.some((value) => ["origin", "*"].includes(value.trim()));
}

/** The names of a list of headers as Go writes them, without characters that no name should have. */
function namesIn(list: string): string[] {
  const names = list.split(/[ ,]/).map((name) => name.replace(/[^\w-]/g, ""));
  return names.filter((name) => name !== "").map(canonical);
}

function canonical(name: string): string {
  return name.toLowerCase().replace(/(?:^|-)[a-z]/g, (start) => start.toUpperCase());
}
