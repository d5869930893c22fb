import { jwtVerify } from "jose";
import { messageOf } from "../../../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../../../core/message.ts";
import { headerValues } from "../../../core/raw-headers.ts";
import { requiredField, requiredUrl } from "../../auth/fields.ts";
import { ServerFailure } from "../../auth/server-answer.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";
import type { Middleware, MiddlewareContext, MiddlewareNext } from "../../contract/middleware.ts";
import { textAnswer } from "../../contract/text-answer.ts";
import { IssuerKeys } from "./issuer-keys.ts";
import { VerifiedTokens } from "./verified-tokens.ts";

// Signatures of which the issuer alone has the key. A shared one, or none at all, never passes.
const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
];
// How far clocks may be apart, as in contrib.
const CLOCK_SKEW_S = 5 * 60;
const MAX_VERIFIED = 10_000;
// contrib knows the older names too.
const FIELDS = ["issuer", "issuerURL", "audience", "clientID", "jwksURL"];

interface Settings {
  readonly issuer: string;
  readonly audience: string;
  readonly keys: IssuerKeys;
}

/** `middleware.http.bearer`: lets pass what brings a token of one issuer for one audience, signed by it. */
export class Bearer implements Middleware {
  readonly #context: MiddlewareContext;
  readonly #verified = new VerifiedTokens(MAX_VERIFIED);
  #settings: Settings | undefined;
  #keysVersion = 0;

  constructor(context: MiddlewareContext) {
    this.#context = context;
  }

  async init(metadata: ComponentMetadata): Promise<void> {
    metadata.refuseUnknown(FIELDS);
    const issuerField =
      metadata.get("issuer") === undefined && metadata.get("issuerURL") !== undefined ? "issuerURL" : "issuer";
    const audienceField =
      metadata.get("audience") === undefined && metadata.get("clientID") !== undefined ? "clientID" : "audience";
    const issuer = requiredField(metadata, issuerField);
    const audience = requiredField(metadata, audienceField);
    const hasKeysUrl = (metadata.get("jwksURL") ?? "") !== "";
    const jwksUrl = hasKeysUrl ? requiredUrl(metadata, "jwksURL") : undefined;
    // An issuer is a name, and an address only where its keys are looked for.
    if (jwksUrl === undefined) requiredUrl(metadata, issuerField);
    const keys = new IssuerKeys({
      issuer,
      jwksUrl,
      ...this.#context,
      name: `middleware.http.bearer in ${metadata.file}`,
    });
    this.#settings = { issuer, audience, keys };
    try {
      await keys.ready();
    } catch (error) {
      // What may be better in a moment does not keep an app from starting; nothing passes until it is.
      if (!(error instanceof ServerFailure) || !error.isPassing) throw error;
    }
  }

  async handle(request: RequestMessage, next: MiddlewareNext): Promise<ResponseMessage> {
    const refusal = await this.#refusalOf(request);
    return refusal ?? next(request);
  }

  close(): Promise<void> {
    this.#settings?.keys.close();
    return Promise.resolve();
  }

  async #refusalOf({ headers }: RequestMessage): Promise<ResponseMessage | undefined> {
    // Of several, the app could believe another one.
    const [credentials = "", ...others] = headerValues(headers, "authorization");
    const token = /^bearer +(\S+)$/i.exec(credentials)?.[1];
    if (token === undefined || others.length > 0)
      return textAnswer(401, "Unauthorized", ["www-authenticate", "Bearer"]);
    try {
      await this.#verify(token);
      return undefined;
    } catch (error) {
      if (error instanceof ServerFailure) {
        return textAnswer(
          500,
          "the token cannot be verified: the keys of its issuer could not be read; see the sidecar's log",
        );
      }
      this.#context.log.debug(`middleware.http.bearer: a token was refused: ${messageOf(error)}`);
      return textAnswer(401, "Unauthorized", ["www-authenticate", 'Bearer error="invalid_token"']);
    }
  }

  /** @throws where it is not to be believed, and {@link ServerFailure} where nothing can be said. */
  async #verify(token: string): Promise<void> {
    if (this.#settings === undefined) throw new ServerFailure("the middleware has no settings", true);
    const { issuer, audience, keys } = this.#settings;
    const { clock } = this.#context;
    await keys.ready();
    if (keys.version !== this.#keysVersion) {
      // One of them may have been withdrawn.
      this.#verified.clear();
      this.#keysVersion = keys.version;
    }
    if (this.#verified.has(token, clock.now())) return;
    const { version } = keys;
    const { payload } = await jwtVerify(token, keys.keyFor, {
      algorithms: ALGORITHMS,
      issuer,
      audience,
      clockTolerance: CLOCK_SKEW_S,
      requiredClaims: ["exp"],
      currentDate: new Date(clock.now()),
    });
    if (keys.version === version && payload.exp !== undefined) this.#verified.add(token, payload.exp * 1000);
  }
}
