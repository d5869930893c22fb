import { createHash } from "node:crypto";
import { AuthorizationResponseError, calculatePKCECodeChallenge, validateAuthResponse } from "oauth4webapi";
import { messageOf } from "../../../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../../../core/message.ts";
import { withoutHeaders } from "../../../core/raw-headers.ts";
import { headerNameField, requiredField, requiredUrl, scopesField } from "../../auth/fields.ts";
import { type PathFilter, pathFilterField } from "../../auth/path-filter.ts";
import { quoted } from "../../auth/server-answer.ts";
import { TokenEndpoint } from "../../auth/token-endpoint.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";
import type { Middleware, MiddlewareContext, MiddlewareNext } from "../../contract/middleware.ts";
import { textAnswer } from "../../contract/text-answer.ts";
import { Cookies } from "./cookies.ts";
import { type Login, Logins } from "./logins.ts";
import { redirectTo } from "./redirect.ts";
import { Sealer } from "./sealed.ts";
import { Sessions } from "./sessions.ts";

const FIELDS = [
  "clientId",
  "clientSecret",
  "scopes",
  "authURL",
  "tokenURL",
  "authHeaderName",
  "redirectURL",
  "forceHTTPS",
  "pathFilter",
];
const MAX_SESSIONS = 10_000;
const SESSION = "session";

interface Settings {
  readonly name: string;
  readonly clientId: string;
  readonly scopes: string | undefined;
  readonly authUrl: URL;
  readonly redirectUrl: string;
  readonly headerName: string;
  /** Of the places users are sent back to; empty where the browser's own will do. */
  readonly returnOrigin: string;
  readonly paths: PathFilter;
  readonly cookies: Cookies;
  readonly logins: Logins;
  readonly sessions: Sessions;
  readonly endpoint: TokenEndpoint;
}

/**
 * `middleware.http.oauth2`: who is not logged in is sent to the authorization server, and comes back with a code for a token
 * (RFC 6749 4.1, with PKCE). Requests of those who are go on with the token.
 */
export class OAuth2 implements Middleware {
  readonly #context: MiddlewareContext;
  #settings: Settings | undefined;

  constructor(context: MiddlewareContext) {
    this.#context = context;
  }

  init(metadata: ComponentMetadata): Promise<void> {
    // What it throws becomes a rejection.
    return Promise.resolve(metadata).then((all) => {
      this.#settings = this.#read(all);
    });
  }

  async handle(request: RequestMessage, next: MiddlewareNext): Promise<ResponseMessage> {
    const settings = this.#settings;
    if (settings === undefined) return textAnswer(500, "the middleware has no settings");
    const { cookies, logins, sessions, paths } = settings;
    const answer = answerIn(request.query);
    const login = answer && logins.under(answer.state, request.headers);
    // The place that users come back to need not be one that the filter is for.
    if (answer !== undefined && login !== undefined) return this.#finish(settings, login, answer.parameters);
    const headers = cookies.removedFrom(request.headers);
    if (!paths.matches(request.path)) return next({ ...request, headers });
    const credentials = sessions.credentials(cookies.in(request.headers).get(SESSION));
    if (credentials !== undefined)
      return next({ ...request, headers: withCredentials(headers, settings, credentials) });
    if (answer !== undefined) return textAnswer(400, "invalid state");
    return begin(settings, request);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The user is back, with a code or without. */
  async #finish(settings: Settings, login: Login, parameters: URLSearchParams): Promise<ResponseMessage> {
    const { endpoint, sessions, cookies, logins, name, redirectUrl, returnOrigin } = settings;
    const over = logins.ended(login);
    try {
      // It would be compared with a name that Dapr's fields do not have. There is one server only that a login can be from.
      parameters.delete("iss");
      const { server, client } = endpoint.parties;
      const answer = validateAuthResponse(server, client, parameters, login.state);
      const token = await endpoint.forCode(answer, redirectUrl, login.verifier);
      const { id, lifeMs } = sessions.begin(token.credentials, token.expiresInMs);
      return redirectTo(returnOrigin + login.returnTo, [...over, ...cookies.set(SESSION, id, lifeMs)]);
    } catch (error) {
      if (error instanceof AuthorizationResponseError) {
        const why = quoted(error.error, []);
        this.#context.log.warn(`${name}: the authorization server let nobody in: it answered ${why}`);
        return textAnswer(400, `the authorization server answered ${why}`, over);
      }
      this.#context.log.error(`${name}: no token for the code that the authorization server gave: ${messageOf(error)}`);
      return textAnswer(500, "Internal Server Error", over);
    }
  }

  #read(metadata: ComponentMetadata): Settings {
    metadata.refuseUnknown(FIELDS);
    const { clock } = this.#context;
    const clientId = requiredField(metadata, "clientId");
    const clientSecret = requiredField(metadata, "clientSecret");
    const authUrl = requiredUrl(metadata, "authURL");
    const redirectUrl = requiredUrl(metadata, "redirectURL");
    const forcesHttps = /^(?:true|yes|on|1|t|y)$/i.test((metadata.get("forceHTTPS") ?? "").trim());
    // Several such components may stand in one pipeline.
    const own = createHash("sha256").update(`${authUrl.href} ${clientId}`).digest("hex").slice(0, 8);
    const isSecure = forcesHttps || redirectUrl.protocol === "https:";
    // With it, no neighbouring subdomain can set one, and so log a user in as somebody else (RFC 6265bis, 4.1.3.2).
    const bound = isSecure ? "__Host-" : "";
    const cookies = new Cookies(`${bound}outrigger-oauth2-${own}-`, isSecure);
    return {
      name: `middleware.http.oauth2 in ${metadata.file}`,
      clientId,
      scopes: scopesField(metadata),
      authUrl,
      // As it is written: servers compare it to the letter.
      redirectUrl: requiredField(metadata, "redirectURL"),
      headerName: headerNameField(metadata, "authHeaderName", "Authorization"),
      returnOrigin: forcesHttps ? `https://${redirectUrl.host}` : "",
      paths: pathFilterField(metadata),
      cookies,
      logins: new Logins(cookies, new Sealer(clientSecret, clientId), clock),
      sessions: new Sessions(clock, MAX_SESSIONS),
      endpoint: new TokenEndpoint({
        clientId,
        clientSecret,
        tokenUrl: requiredUrl(metadata, "tokenURL"),
        authStyle: "auto",
      }),
    };
  }
}

/** What an authorization server sends a user back with (RFC 6749 4.1.2), if it looks like it. */
function answerIn(query: string | undefined) {
  if (query?.includes("state=") !== true) return undefined;
  const parameters = new URLSearchParams(query);
  const state = parameters.get("state");
  const isAnswer = parameters.has("code") || parameters.has("error");
  return state === null || state === "" || !isAnswer ? undefined : { state, parameters };
}

async function begin(settings: Settings, request: RequestMessage): Promise<ResponseMessage> {
  const { authUrl, clientId, redirectUrl, scopes, logins } = settings;
  const { login, cookies } = logins.begin(request);
  const url = new URL(authUrl);
  const parameters = {
    response_type: "code",
    client_id: clientId,
    redirect_uri: redirectUrl,
    ...(scopes !== undefined && { scope: scopes }),
    state: login.state,
    code_challenge: await calculatePKCECodeChallenge(login.verifier),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return redirectTo(url.href, cookies);
}

/** In place of what the caller has written there: the app is to believe the sidecar. */
function withCredentials(headers: readonly string[], { headerName }: Settings, credentials: string): string[] {
  const lowerName = headerName.toLowerCase();
  const kept = withoutHeaders(headers, (name) => name === lowerName);
  kept.push(headerName, credentials);
  return kept;
}
