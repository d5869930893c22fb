import { type AppId, type AppIdentity, isPossibleName, type Namespace, sameApp } from "../core/app-id.ts";
import { CallError } from "../core/errors.ts";
import { visible } from "../core/go-json.ts";
import { endpointAt, HAS_ENCODED_SCHEME, HAS_HTTP_SCHEME } from "./endpoint-url.ts";
import type { Endpoint } from "./ports.ts";

/** Where a call goes. The switch over `kind` has no default, so that a further kind shows every place to think. */
export type Target =
  /** The sidecar's own app: no network hop and no caller headers (A2). */
  | { readonly kind: "self" }
  | { readonly kind: "app"; readonly app: AppIdentity }
  /** An HTTPEndpoint resource, by its name (seeds 001 and 003). */
  | { readonly kind: "endpoint"; readonly endpoint: Endpoint }
  /** A URL in the place of a name, read as an endpoint. */
  | { readonly kind: "url"; readonly endpoint: Endpoint };

/**
 * Reads the id of a target: the name of an HTTP endpoint, a URL, `id`, or `id.namespace`, in this order (seed 003). It does not
 * ask whether the app exists. Unlike daprd's, names of endpoints may have dots.
 *
 * @throws {CallError} without a code where there is no id, or it has more than two parts, or one that no app can have.
 */
export function parseTarget(text: string, self: AppIdentity, endpoints: ReadonlyMap<string, Endpoint>): Target {
  if (text === "") throw new CallError(undefined, "app id is empty");
  const named = endpoints.get(text);
  if (named !== undefined) return { kind: "endpoint", endpoint: named };
  const url = urlIn(text);
  if (url !== undefined) return { kind: "url", endpoint: endpointAt(url) };
  const [id = "", namespace = self.namespace, ...more] = text.split(".");
  const isPossible = isPossibleName(id) && isPossibleName(namespace) && more.length === 0;
  if (!isPossible) throw new CallError(undefined, `invalid app id ${visible(text)}`);
  const app = { id: id as AppId, namespace: namespace as Namespace };
  return sameApp(app, self) ? { kind: "self" } : { kind: "app", app };
}

/** Percent-encoded where only paths are decoded on the way: in a header, and over gRPC. */
function urlIn(text: string): string | undefined {
  if (HAS_HTTP_SCHEME.test(text)) return text;
  if (!HAS_ENCODED_SCHEME.test(text)) return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
