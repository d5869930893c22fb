import type { MiddlewareEntry } from "./contract/middleware.ts";
import type { NameResolverEntry } from "./contract/name-resolver.ts";
import type { PubSubEntry } from "./contract/pubsub.ts";
import type { SecretStoreEntry } from "./contract/secret-store.ts";

/** Every component that comes with Outrigger. To add one: write its folder, add its name and the way to its manifest here. */

export const standardNameResolvers: readonly NameResolverEntry[] = [
  { name: "registry", load: async () => (await import("./nameresolution/registry/manifest.ts")).registryManifest },
  { name: "mdns", load: async () => (await import("./nameresolution/mdns/manifest.ts")).mdnsManifest },
  { name: "static", load: async () => (await import("./nameresolution/static/manifest.ts")).staticManifest },
];

export const standardSecretStores: readonly SecretStoreEntry[] = [
  {
    type: "secretstores.local.file",
    load: async () => (await import("./secretstores/local-file/manifest.ts")).localFileManifest,
  },
  {
    type: "secretstores.local.env",
    load: async () => (await import("./secretstores/local-env/manifest.ts")).localEnvManifest,
  },
];

export const standardMiddleware: readonly MiddlewareEntry[] = [
  {
    type: "middleware.http.bearer",
    load: async () => (await import("./middleware/bearer/manifest.ts")).bearerManifest,
  },
  {
    type: "middleware.http.oauth2",
    load: async () => (await import("./middleware/oauth2/manifest.ts")).oauth2Manifest,
  },
  {
    type: "middleware.http.oauth2clientcredentials",
    load: async () =>
      (await import("./middleware/oauth2clientcredentials/manifest.ts")).oauth2ClientCredentialsManifest,
  },
  {
    type: "middleware.http.uppercase",
    load: async () => (await import("./middleware/uppercase/manifest.ts")).uppercaseManifest,
  },
  {
    type: "middleware.http.routeralias",
    load: async () => (await import("./middleware/routeralias/manifest.ts")).routerAliasManifest,
  },
  {
    type: "middleware.http.routerchecker",
    load: async () => (await import("./middleware/routerchecker/manifest.ts")).routerCheckerManifest,
  },
  {
    type: "middleware.http.ratelimit",
    load: async () => (await import("./middleware/ratelimit/manifest.ts")).rateLimitManifest,
  },
  {
    type: "middleware.http.module",
    load: async () => (await import("./middleware/module/manifest.ts")).moduleManifest,
  },
];

export const standardPubSubs: readonly PubSubEntry[] = [
  { type: "pubsub.in-memory", load: async () => (await import("./pubsub/in-memory/manifest.ts")).inMemoryManifest },
  { type: "pubsub.local", load: async () => (await import("./pubsub/local/manifest.ts")).localManifest },
  { type: "pubsub.redis", load: async () => (await import("./pubsub/redis/manifest.ts")).redisManifest },
];
