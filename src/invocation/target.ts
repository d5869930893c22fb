import { type AppId, type AppIdentity, isPossibleName, type Namespace, sameApp } from "../core/app-id.ts";
import { CallError } from "../core/errors.ts";
import { visible } from "../core/go-json.ts";

/** Where a call goes. The switch over `kind` has no default, so that a further kind shows every place to think. */
export type Target =
  /** The sidecar's own app: no network hop and no caller headers (A2). */
  | { readonly kind: "self" }
  | { readonly kind: "app"; readonly app: AppIdentity }
  /** A fully qualified URL, seeds 001 and 003. */
  | { readonly kind: "url"; readonly url: string };

/**
 * Reads the id of a target as daprd does (A2): a URL, `id`, or `id.namespace`. It does not ask whether the app exists.
 *
 * @throws {CallError} without a code where there is no id, or it has more than two parts, or one that no app can have.
 */
export function parseTarget(text: string, self: AppIdentity): Target {
  if (text === "") throw new CallError(undefined, "app id is empty");
  if (/^https?:\/\//i.test(text)) return { kind: "url", url: text };
  const [id = "", namespace = self.namespace, ...more] = text.split(".");
  const isPossible = isPossibleName(id) && isPossibleName(namespace) && more.length === 0;
  if (!isPossible) throw new CallError(undefined, `invalid app id ${visible(text)}`);
  const app = { id: id as AppId, namespace: namespace as Namespace };
  return sameApp(app, self) ? { kind: "self" } : { kind: "app", app };
}
