import { createLocalJWKSet, errors, type JSONWebKeySet, type JWK, type JWTVerifyGetKey } from "jose";
import type { Clock } from "../../../core/clock.ts";
import type { Logger } from "../../../core/logger.ts";
import { boundedText, placeOf, SERVER_TIMEOUT_MS, ServerFailure, unreachable } from "../../auth/server-answer.ts";

// As contrib, which does not ask more often for keys that it has.
const FRESH_MS = 10 * 60_000;
// How long keys serve that cannot be read again: one that the issuer has withdrawn may be among them.
const USABLE_MS = 24 * 60 * 60_000;
// Anybody can name a key that does not exist; the issuer is not to hear of each.
const UNKNOWN_KEY_PAUSE_MS = 30_000;
const NO_KEYS_PAUSE_MS = 1_000;

export interface IssuerKeysOptions {
  readonly issuer: string;
  /** Undefined: where the issuer's discovery document says. */
  readonly jwksUrl: URL | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** What is logged begins with it. */
  readonly name: string;
  readonly timeoutMs?: number;
}

interface Keys {
  readonly text: string;
  readonly find: JWTVerifyGetKey;
  readonly readAt: number;
}

/** The public keys of one issuer, read when they are needed, and again when they are old or one is missing. */
export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  readonly #timeoutMs: number;
  readonly #closing = new AbortController();
  #keys: Keys | undefined;
  #reading: Promise<void> | undefined;
  #askedAt = -Infinity;
  #failure: ServerFailure | undefined;
  #version = 0;

  constructor(options: IssuerKeysOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? SERVER_TIMEOUT_MS;
  }

  /** Another number once the keys are others. */
  get version(): number {
    return this.#version;
  }

  /**
   * Returns at once while there are keys that may be used; old ones are read again meanwhile.
   *
   * @throws {ServerFailure} where there are none: nothing can be said of any token then.
   */
  async ready(): Promise<void> {
    const age = this.#age();
    if (age <= USABLE_MS) {
      if (age > FRESH_MS && this.#sinceAsked() >= UNKNOWN_KEY_PAUSE_MS) this.#readInBackground();
      return;
    }
    if (this.#failure !== undefined && this.#sinceAsked() < NO_KEYS_PAUSE_MS) throw this.#failure;
    await this.#read();
  }

  /** For `jwtVerify`. @throws {errors.JWKSNoMatchingKey} and its like. */
  readonly keyFor: JWTVerifyGetKey = async (header, token) => {
    await this.ready();
    try {
      return await this.#find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || this.#sinceAsked() < UNKNOWN_KEY_PAUSE_MS) throw error;
    }
    // A failure is logged; the key stays unknown then.
    await this.#read().catch(() => undefined);
    return await this.#find(header, token);
  };

  close(): void {
    this.#closing.abort(new ServerFailure("the sidecar is ending", true));
  }

  #find: JWTVerifyGetKey = (header, token) => {
    if (this.#keys === undefined) throw new errors.JWKSNoMatchingKey();
    return this.#keys.find(header, token);
  };

  #age(): number {
    return this.#keys === undefined ? Infinity : this.#options.clock.monotonic() - this.#keys.readAt;
  }

  #sinceAsked(): number {
    return this.#options.clock.monotonic() - this.#askedAt;
  }

  #readInBackground(): void {
    // It is logged.
    this.#read().catch(() => undefined);
  }

  /** One at a time: whoever comes meanwhile waits for the same answer. */
  #read(): Promise<void> {
    this.#reading ??= this.#readNow().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readNow(): Promise<void> {
    const { clock, log, name } = this.#options;
    this.#askedAt = clock.monotonic();
    try {
      const url = this.#options.jwksUrl ?? (await this.#discovered());
      const text = await this.#get(url);
      if (text !== this.#keys?.text) {
        this.#keys = { text, find: createLocalJWKSet(keySetIn(text, url)), readAt: this.#askedAt };
        this.#version++;
      } else {
        this.#keys = { ...this.#keys, readAt: this.#askedAt };
      }
      this.#failure = undefined;
    } catch (error) {
      this.#failure = unreachable(error, this.#timeoutMs);
      const until = this.#age() <= USABLE_MS ? "the keys read before go on to serve" : "every request is answered 500";
      if (!this.#closing.signal.aborted) {
        log.warn(`${name}: the issuer's keys could not be read; ${until}: ${this.#failure.message}`);
      }
      throw this.#failure;
    }
  }

  /** OpenID Connect Discovery 1.0, 4. */
  async #discovered(): Promise<URL> {
    const { issuer } = this.#options;
    const url = new URL(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
    const document = parsed(await this.#get(url), url);
    if (document["issuer"] !== issuer) {
      throw new ServerFailure(
        `${placeOf(url)}: it is about the issuer ${JSON.stringify(document["issuer"])}; write issuer so, to the letter, or correct the server`,
        false,
      );
    }
    const keys = document["jwks_uri"];
    const found = typeof keys === "string" && URL.canParse(keys) ? new URL(keys) : undefined;
    if (found?.protocol !== "https:" && !(found?.protocol === "http:" && url.protocol === "http:")) {
      throw new ServerFailure(`${placeOf(url)}: its jwks_uri is no URL that can be trusted; set jwksURL`, false);
    }
    return found;
  }

  async #get(url: URL): Promise<string> {
    const place = placeOf(url);
    try {
      const signal = AbortSignal.any([AbortSignal.timeout(this.#timeoutMs), this.#closing.signal]);
      // Where keys come from is not for anybody else to say.
      const response = await fetch(url, { redirect: "manual", signal, headers: { accept: "application/json" } });
      const text = await boundedText(response);
      const { status } = response;
      if (status === 200) return text;
      throw new ServerFailure(`it answered ${status}`, status >= 500 || status === 429);
    } catch (error) {
      const { message, isPassing, cause } = unreachable(error, this.#timeoutMs);
      throw new ServerFailure(`${place}: ${message}`, isPassing, { cause });
    }
  }
}

type Json = Readonly<Record<string, unknown>>;

function parsed(text: string, url: URL): Json {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Json;
  } catch {
    // Said below.
  }
  throw new ServerFailure(`${placeOf(url)}: it answered something that is no JSON object`, false);
}

/** Keys that serve both sides alike are not let in: whoever can check a token with one can make it. */
function keySetIn(text: string, url: URL): JSONWebKeySet {
  const { keys, jwks_uri: elsewhere } = parsed(text, url);
  if (Array.isArray(keys)) return { keys: keys.filter(isPublicKey) };
  const advice =
    typeof elsewhere === "string" ? "it is a discovery document: leave jwksURL out" : "write the address of a key set";
  throw new ServerFailure(`${placeOf(url)}: there are no keys in it; ${advice}`, false);
}

function isPublicKey(key: unknown): key is JWK {
  return typeof key === "object" && key !== null && "kty" in key && key.kty !== "oct";
}
