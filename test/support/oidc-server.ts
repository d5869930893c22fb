import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";
import Provider, { type ProviderContext } from "oidc-provider";
import type { TestScope } from "./cleanup.ts";

/** An OpenID provider on loopback, in which everybody is alice without being asked. */

export const CLIENT = { id: "shop", secret: "a secret: of +the shop" } as const;
/** Of the access tokens that it gives out, which are JWTs. */
export const AUDIENCE = "orders";

export interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly jwk: JWK;
}

export interface OidcServer {
  readonly issuer: string;
  readonly port: number;
  /** `GET /path` of every request, as they came. */
  readonly asked: string[];
  key: SigningKey;
  /** A token as it would give one out, but for what is said. */
  token(changes?: TokenChanges): Promise<string>;
  /** From now on it has one other key, and none of the earlier ones. */
  rotateKeys(): Promise<void>;
  /** What it answers in place of what it would; undefined: as it would. */
  instead: ((request: http.IncomingMessage, response: http.ServerResponse) => boolean) | undefined;
  /** Nobody listens any more. */
  stop(): Promise<void>;
}

export interface TokenChanges {
  readonly claims?: JWTPayload;
  readonly without?: readonly string[];
  /** Seconds of the epoch. */
  readonly now?: number;
  readonly expiresIn?: number;
  readonly key?: SigningKey;
  readonly kid?: string;
}

export interface OidcServerOptions {
  readonly redirectUris?: readonly string[];
  readonly tokenSeconds?: number;
  /** 0: any free one. */
  readonly port?: number;
}

export async function startOidcServer(t: TestScope, options: OidcServerOptions = {}): Promise<OidcServer> {
  const server = http.createServer();
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const issuer = `http://127.0.0.1:${port}`;
  const key = await signingKey();
  let provider = providerOf(issuer, key, options);
  const oidc: OidcServer = {
    issuer,
    port,
    asked: [],
    key,
    instead: undefined,
    token: (changes = {}) => tokenOf(oidc, changes),
    rotateKeys: async () => {
      oidc.key = await signingKey();
      provider = providerOf(issuer, oidc.key, options);
    },
    stop: async () => {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
  server.on("request", (request: http.IncomingMessage, response: http.ServerResponse) => {
    oidc.asked.push(`${request.method ?? ""} ${(request.url ?? "").split("?", 1).join("")}`);
    if (oidc.instead?.(request, response) === true) return;
    const handled = request.url?.startsWith("/interaction/") === true ? letIn(provider, request, response) : undefined;
    void (handled ?? provider.callback()(request, response)).catch(() => response.destroy());
  });
  t.after(() => oidc.stop());
  return oidc;
}

/** Who is asked to log in is alice. */
async function letIn(provider: Provider, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const { prompt } = await provider.interactionDetails(request, response);
  const result = prompt.name === "login" ? { login: { accountId: "alice" } } : { error: "access_denied" };
  await provider.interactionFinished(request, response, result);
}

export async function signingKey(): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
  const kid = `key-${Math.random().toString(36).slice(2)}`;
  return { kid, privateKey, publicKey, jwk: { ...(await exportJWK(privateKey)), kid, alg: "RS256", use: "sig" } };
}

function tokenOf({ issuer, key: own }: OidcServer, changes: TokenChanges): Promise<string> {
  const { key = own, now = Math.floor(Date.now() / 1000), expiresIn = 3600 } = changes;
  const claims: JWTPayload = {
    iss: issuer,
    aud: AUDIENCE,
    sub: "alice",
    iat: now,
    exp: now + expiresIn,
    ...changes.claims,
  };
  const kept = Object.entries(claims).filter(([name]) => changes.without?.includes(name) !== true);
  return new SignJWT(Object.fromEntries(kept))
    .setProtectedHeader({ alg: "RS256", kid: changes.kid ?? key.kid })
    .sign(key.privateKey);
}

const RESOURCE = "urn:example:orders";

function providerOf(issuer: string, { jwk }: SigningKey, options: OidcServerOptions): Provider {
  const { redirectUris = [], tokenSeconds = 3600 } = options;
  return new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: redirectUris.length === 0 ? ["client_credentials"] : ["authorization_code", "client_credentials"],
        response_types: redirectUris.length === 0 ? [] : ["code"],
        redirect_uris: redirectUris,
      },
    ],
    jwks: { keys: [jwk] },
    cookies: { keys: ["a key for its own cookies"] },
    scopes: ["openid", "api"],
    pkce: { required: () => true },
    findAccount: (_context: unknown, id: string) => ({ accountId: id, claims: () => ({ sub: id }) }),
    interactions: { url: (_context: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    loadExistingGrant: async ({ oidc }: ProviderContext) => {
      const earlier = oidc.session.grantIdFor(oidc.client.clientId);
      if (earlier !== undefined) return oidc.provider.Grant.find(earlier);
      const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope("openid api");
      grant.addResourceScope(RESOURCE, "api");
      await grant.save();
      return grant;
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: "api",
          audience: AUDIENCE,
          accessTokenTTL: tokenSeconds,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
}
