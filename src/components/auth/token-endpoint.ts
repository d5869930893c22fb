import {
  type AuthorizationServer,
  allowInsecureRequests,
  authorizationCodeGrantRequest,
  type Client,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  clientCredentialsGrantRequest,
  customFetch,
  type HttpRequestOptions,
  processGenericTokenEndpointResponse,
  ResponseBodyError,
  WWWAuthenticateChallengeError,
} from "oauth4webapi";
import { boundedText, placeOf, quoted, SERVER_TIMEOUT_MS, ServerFailure, unreachable } from "./server-answer.ts";

/** How the client says who it is: in the body, or as HTTP's basic authentication; `auto` finds out. */
export type AuthStyle = "auto" | "body" | "basic";

export interface TokenClient {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly tokenUrl: URL;
  readonly authStyle: AuthStyle;
}

export interface Token {
  /** For a header: `Bearer …`. */
  readonly credentials: string;
  /** Undefined where the server does not say. */
  readonly expiresInMs: number | undefined;
}

type Grant = (auth: ClientAuth, options: HttpRequestOptions<"POST", URLSearchParams>) => Promise<Response>;

/** The token endpoint of an authorization server (RFC 6749 3.2), as one client of it. */
export class TokenEndpoint {
  readonly #client: TokenClient;
  readonly #server: AuthorizationServer;
  readonly #timeoutMs: number;
  /** Once a style has worked, there is nothing to find out any more. */
  #style: Exclude<AuthStyle, "auto"> | undefined;

  constructor(client: TokenClient, timeoutMs = SERVER_TIMEOUT_MS) {
    this.#client = client;
    this.#timeoutMs = timeoutMs;
    // Dapr's fields name no issuer. It stands for the server in what is checked of its answers, of which nothing is read.
    this.#server = { issuer: client.tokenUrl.origin, token_endpoint: client.tokenUrl.href };
    if (client.authStyle !== "auto") this.#style = client.authStyle;
  }

  /** As `oauth4webapi` wants both told. */
  get parties(): { readonly server: AuthorizationServer; readonly client: Client } {
    return { server: this.#server, client: { client_id: this.#client.clientId } };
  }

  /** @throws {ServerFailure} */
  forClient(parameters: URLSearchParams): Promise<Token> {
    const { server, client } = this.parties;
    return this.#ask((auth, options) => clientCredentialsGrantRequest(server, client, auth, parameters, options));
  }

  /** @param answer what `validateAuthResponse` gave. @throws {ServerFailure} */
  forCode(answer: URLSearchParams, redirectUrl: string, verifier: string): Promise<Token> {
    const { server, client } = this.parties;
    return this.#ask((auth, options) =>
      authorizationCodeGrantRequest(server, client, auth, answer, redirectUrl, verifier, options),
    );
  }

  async #ask(grant: Grant): Promise<Token> {
    const style = this.#style ?? "basic";
    try {
      return await this.#askAs(style, grant);
    } catch (error) {
      if (this.#style !== undefined || !(error instanceof Refusal) || !error.mayBeOfTheStyle) throw error;
    }
    return await this.#askAs("body", grant);
  }

  async #askAs(style: Exclude<AuthStyle, "auto">, grant: Grant): Promise<Token> {
    const { clientSecret, tokenUrl } = this.#client;
    const auth = style === "basic" ? ClientSecretBasic(clientSecret) : ClientSecretPost(clientSecret);
    try {
      const response = await grant(auth, {
        [allowInsecureRequests]: true,
        [customFetch]: fetchWhatIsUsed,
        signal: AbortSignal.timeout(this.#timeoutMs),
      });
      const { server, client } = this.parties;
      const token = await processGenericTokenEndpointResponse(server, client, response);
      if (token.token_type !== "bearer") throw new ServerFailure("it gave a token that is no bearer token", false);
      const credentials = `Bearer ${token.access_token}`;
      if (/[^\x20-\x7e]/.test(credentials)) throw new ServerFailure("it gave a token that no header can carry", false);
      this.#style = style;
      return { credentials, expiresInMs: token.expires_in === undefined ? undefined : token.expires_in * 1000 };
    } catch (error) {
      throw this.#told(error, placeOf(tokenUrl));
    }
  }

  #told(error: unknown, place: string): ServerFailure {
    const said = saidBy(error);
    if (said !== undefined) {
      const { status, code, description } = said;
      const secrets = [this.#client.clientSecret, encodeURIComponent(this.#client.clientSecret)];
      const words = [code, description].flatMap((word) => (word === undefined ? [] : quoted(word, secrets)));
      const what = words.length === 0 ? "" : ` (${words.join(": ")})`;
      return new Refusal(`${place}: it answered ${status}${what}${advice(code, status)}`, status, code);
    }
    if (isLibraryError(error)) {
      // Its message is of its own making; the cause holds what the server has sent.
      return new ServerFailure(`${place}: it gave no token: ${error.message}`, false);
    }
    const { message, isPassing, cause } = unreachable(error, this.#timeoutMs);
    return new ServerFailure(`${place}: ${message}`, isPassing, { cause });
  }
}

/** The server has answered that it gives none. */
class Refusal extends ServerFailure {
  readonly #status: number;
  readonly #code: string | undefined;

  constructor(message: string, status: number, code: string | undefined) {
    super(message, status >= 500 || status === 429);
    this.#status = status;
    this.#code = code;
  }

  /** It has not understood who asks, as far as can be told. */
  get mayBeOfTheStyle(): boolean {
    return this.#status >= 400 && this.#status < 500 && !CLIENT_IS_KNOWN.has(this.#code ?? "");
  }
}

const CLIENT_IS_KNOWN = new Set(["invalid_grant", "invalid_scope", "unauthorized_client", "unsupported_grant_type"]);

function advice(code: string | undefined, status: number): string {
  if (code === "invalid_scope") return "; check scopes";
  if (code === "invalid_grant") return "; the code has been used or is too old: log in anew";
  if (code === "unauthorized_client" || code === "unsupported_grant_type") {
    return "; the server does not let this client have tokens in this way: see how it is registered there";
  }
  if (code === "invalid_client" || status === 401 || status === 403) return "; check clientId and clientSecret";
  return status === 404 || (status >= 300 && status < 400) ? "; check tokenURL" : "";
}

interface Said {
  readonly status: number;
  readonly code?: string | undefined;
  readonly description?: string | undefined;
}

function saidBy(error: unknown): Said | undefined {
  if (error instanceof ResponseBodyError) {
    return { status: error.status, code: error.error, description: error.error_description };
  }
  if (error instanceof WWWAuthenticateChallengeError) {
    const { error: code, error_description: description } = error.cause[0]?.parameters ?? {};
    return { status: error.status, code, description };
  }
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Response && cause.status !== 200 ? { status: cause.status } : undefined;
}

function isLibraryError(error: unknown): error is Error {
  return error instanceof Error && "code" in error && String(error.code).startsWith("OAUTH_");
}

/** `fetch`, of whose answer only so much is kept as is used here: an ID token would be checked, and nobody reads it. */
async function fetchWhatIsUsed(url: string, options: RequestInit): Promise<Response> {
  const response = await fetch(url, options);
  const text = await boundedText(response);
  const { status, headers } = response;
  const head = { status, headers: { "content-type": headers.get("content-type") ?? "", ...challenge(headers) } };
  return new Response(status === 200 ? tokenIn(text) : text === "" ? null : text, head);
}

function challenge(headers: Headers): Record<string, string> {
  const value = headers.get("www-authenticate");
  return value === null ? {} : { "www-authenticate": value };
}

function tokenIn(text: string): string {
  try {
    const { access_token, token_type, expires_in } = JSON.parse(text) as Record<string, unknown>;
    // Some leave out what there is one of only; contrib's client takes it for Bearer too.
    const kind = token_type ?? "bearer";
    const life = typeof expires_in === "number" || /^\d+$/.test(String(expires_in)) ? { expires_in } : {};
    return JSON.stringify({ access_token, token_type: kind, ...life });
  } catch {
    return text;
  }
}
