import { messageOf } from "../../../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../../../core/message.ts";
import { withoutHeaders } from "../../../core/raw-headers.ts";
import { headerNameField, requiredField, requiredUrl, scopesField } from "../../auth/fields.ts";
import { type PathFilter, pathFilterField } from "../../auth/path-filter.ts";
import { type AuthStyle, type Token, TokenEndpoint } from "../../auth/token-endpoint.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";
import type { Middleware, MiddlewareContext, MiddlewareNext } from "../../contract/middleware.ts";
import { textAnswer } from "../../contract/text-answer.ts";
import { ClientToken } from "./client-token.ts";

const FIELDS = [
  "clientId",
  "clientSecret",
  "scopes",
  "tokenURL",
  "headerName",
  "endpointParamsQuery",
  "authStyle",
  "pathFilter",
];
const AUTH_STYLES: Readonly<Record<string, AuthStyle>> = { "": "auto", "0": "auto", "1": "body", "2": "basic" };

interface Settings {
  readonly headerName: string;
  readonly paths: PathFilter;
  readonly token: ClientToken;
}

/** `middleware.http.oauth2clientcredentials`: requests go on with a token that the sidecar has fetched (RFC 6749 4.4). */
export class OAuth2ClientCredentials implements Middleware {
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
    const { headerName, paths, token } = settings;
    if (!paths.matches(request.path)) return next(request);
    let credentials: string;
    try {
      credentials = await token.credentials();
    } catch {
      // Logged where it happened, once for all requests that it concerns.
      return textAnswer(
        500,
        "no token from the token server of middleware.http.oauth2clientcredentials; see the sidecar's log",
      );
    }
    // In place of the caller's own: the app is to believe the sidecar.
    const lowerName = headerName.toLowerCase();
    const headers = withoutHeaders(request.headers, (name) => name === lowerName);
    headers.push(headerName, credentials);
    return next({ ...request, headers });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #read(metadata: ComponentMetadata): Settings {
    metadata.refuseUnknown(FIELDS);
    const parameters = new URLSearchParams(metadata.get("endpointParamsQuery") ?? "");
    const scopes = scopesField(metadata);
    if (scopes !== undefined) parameters.set("scope", scopes);
    const endpoint = new TokenEndpoint({
      clientId: requiredField(metadata, "clientId"),
      clientSecret: requiredField(metadata, "clientSecret"),
      tokenUrl: requiredUrl(metadata, "tokenURL"),
      authStyle: authStyleField(metadata),
    });
    const name = `middleware.http.oauth2clientcredentials in ${metadata.file}`;
    return {
      headerName: headerNameField(metadata, "headerName"),
      paths: pathFilterField(metadata),
      token: new ClientToken(this.#context.clock, () => this.#fetch(endpoint, parameters, name)),
    };
  }

  async #fetch(endpoint: TokenEndpoint, parameters: URLSearchParams, name: string): Promise<Token> {
    try {
      return await endpoint.forClient(parameters);
    } catch (error) {
      this.#context.log.error(
        `${name}: no new token; once there is none that still serves, requests are answered 500: ${messageOf(error)}`,
      );
      throw error;
    }
  }
}

function authStyleField(metadata: ComponentMetadata): AuthStyle {
  const style = AUTH_STYLES[(metadata.get("authStyle") ?? "").trim()];
  if (style !== undefined) return style;
  const place = metadata.placeOf("authStyle");
  throw new Error(`${place}: metadata field authStyle is 0 (find out), 1 (in the body) or 2 (basic authentication)`);
}
