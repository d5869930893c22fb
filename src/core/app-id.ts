/** Who an app is: its id and the namespace that id lives in. Both are compared byte for byte (seed 000: parameters are case-sensitive). */

declare const appId: unique symbol;
declare const namespace: unique symbol;

export type AppId = string & { readonly [appId]: true };
export type Namespace = string & { readonly [namespace]: true };

export interface AppIdentity {
  readonly id: AppId;
  readonly namespace: Namespace;
}

export const DEFAULT_NAMESPACE = "default" as Namespace;

// A dot separates id and namespace in `id.namespace`; a slash would end the path segment that carries the id. The rest
// keeps ids printable in logs, URLs and host names without quoting rules of our own.
const ALLOWED = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,126}[A-Za-z0-9_])?$/;

/** Whether any app could have this id, or any namespace this name. */
export function isPossibleName(text: string): boolean {
  return ALLOWED.test(text);
}

/** @throws {TypeError} saying what is wrong with `text`. */
export function parseAppId(text: string): AppId {
  if (ALLOWED.test(text)) return text as AppId;
  throw new TypeError(`"${text}" is not a valid app id: ${whyNot(text)}`);
}

/** @throws {TypeError} saying what is wrong with `text`. */
export function parseNamespace(text: string): Namespace {
  if (ALLOWED.test(text)) return text as Namespace;
  throw new TypeError(`"${text}" is not a valid namespace: ${whyNot(text)}`);
}

export function sameApp(a: AppIdentity, b: AppIdentity): boolean {
  return a.id === b.id && a.namespace === b.namespace;
}

/** `id.namespace`, the form that seed 000 uses across namespaces; also the key of an app in maps. */
export function qualifiedName(app: AppIdentity): string {
  return `${app.id}.${app.namespace}`;
}

function whyNot(text: string): string {
  if (text === "") return "it is empty";
  if (text.includes(".")) return "a dot separates id and namespace, so neither may contain one";
  if (text.length > 128) return "it is longer than 128 characters";
  return "use letters, digits, - and _, beginning and ending with a letter, a digit or _";
}
