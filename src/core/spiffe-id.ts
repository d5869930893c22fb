import type { AppIdentity } from "./app-id.ts";

declare const spiffeId: unique symbol;

/**
 * Who an app is proved to be, beyond what it or its sidecar says: `spiffe://<trust domain>/ns/<namespace>/<app id>`, the
 * form that daprd's certificates carry (A5). Compared byte for byte.
 */
export type SpiffeId = string & { readonly [spiffeId]: true };

/** The trust domain of an app whose Configuration names none. */
export const DEFAULT_TRUST_DOMAIN = "public";

// A slash would make one id read as another. Dapr's examples have capitals, which SPIFFE itself does not allow.
const TRUST_DOMAIN = /^[A-Za-z0-9._-]{1,255}$/;

export function isTrustDomain(text: string): boolean {
  return TRUST_DOMAIN.test(text);
}

/** @param trustDomain one that {@link isTrustDomain}. */
export function spiffeIdOf(trustDomain: string, app: AppIdentity): SpiffeId {
  return `spiffe://${trustDomain}/ns/${app.namespace}/${app.id}` as SpiffeId;
}
