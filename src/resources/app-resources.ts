import type { AppIdentity } from "../core/app-id.ts";
import { messageOf } from "../core/errors.ts";
import { nearestName } from "../core/nearest-name.ts";
import { type ComponentSpec, readComponent } from "./component-spec.ts";
import { type HttpEndpointSpec, readHttpEndpoint } from "./http-endpoint-spec.ts";
import { type ResiliencySpec, readResiliency, refuseUnknownPolicies } from "./resiliency-spec.ts";
import { type FoundResource, RESOURCE_KINDS, readResourceFolders } from "./resource-folder.ts";
import { readSubscription } from "./subscription-document.ts";
import type { SubscriptionSpec } from "./subscription-spec.ts";
import { ResourceError, type YamlDocument } from "./yaml-file.ts";

/** What the resources of one app say, checked: those that its scopes and namespace leave to it. */
export interface AppResources {
  readonly endpoints: readonly HttpEndpointSpec[];
  readonly secretStores: readonly ComponentSpec[];
  readonly middleware: readonly ComponentSpec[];
  /** Of this namespace, and left to other apps by its scopes. */
  readonly middlewareOfOthers: readonly ComponentSpec[];
  readonly pubsubs: readonly ComponentSpec[];
  readonly subscriptions: readonly SubscriptionSpec[];
  readonly resiliency: readonly ResiliencySpec[];
}

/**
 * @param inUse what was read before, of which a Resiliency document is kept that has a mistake in it now.
 * @returns with `warnings` about what is not used.
 * @throws {ResourceError} naming file, line and field.
 */
export function readAppResources(
  folders: readonly string[],
  app: AppIdentity,
  inUse: Pick<AppResources, "resiliency"> = { resiliency: [] },
): AppResources & { readonly warnings: readonly string[] } {
  const found = readResourceFolders(folders);
  const warnings: string[] = [];
  const isForApp = (spec: Scoped): boolean => isFor(spec, app);
  const endpoints = ofKind(found, "HTTPEndpoint")
    .map(({ document }) => readHttpEndpoint(document))
    .filter(isForApp);
  const subscriptions = ofKind(found, "Subscription")
    .map(({ document }) => readSubscription(document))
    .filter(isForApp);
  const allComponents = ofKind(found, "Component")
    .filter(isSupported)
    .flatMap((resource) => componentIn(resource, warnings));
  const components = allComponents.filter(isForApp);
  const ofOthers = allComponents.filter((spec) => isInNamespace(spec, app) && !isForApp(spec));
  const ofType = (prefix: string, list = components): ComponentSpec[] =>
    list.filter(({ type }) => type.startsWith(prefix));
  const resiliency = resiliencyFor(ofKind(found, "Resiliency"), isForApp, warnings, inUse.resiliency);
  refuseTwins("HTTPEndpoint", endpoints);
  refuseTwins("Component", components);
  refuseTwins("Subscription", subscriptions);
  warnings.push(
    ...endpoints.flatMap(({ slips }) => slips),
    ...resiliency.flatMap(({ notes }) => notes),
    ...found.filter((resource) => !isSupported(resource)).map(notSupported),
  );
  return {
    endpoints,
    secretStores: ofType("secretstores."),
    middleware: ofType("middleware."),
    middlewareOfOthers: ofType("middleware.", ofOthers),
    pubsubs: ofType("pubsub."),
    subscriptions,
    resiliency,
    warnings,
  };
}

interface Scoped {
  readonly namespace: string | undefined;
  readonly scopes: readonly string[];
}

function isFor(spec: Scoped, app: AppIdentity): boolean {
  return isInNamespace(spec, app) && (spec.scopes.length === 0 || spec.scopes.includes(app.id));
}

function isInNamespace({ namespace }: Scoped, app: AppIdentity): boolean {
  return (namespace ?? app.namespace) === app.namespace;
}

function ofKind(found: readonly FoundResource[], kind: string): readonly FoundResource[] {
  return found.filter((resource) => resource.kind === kind);
}

/** A bad one that says `ignoreErrors` is told and left out. @throws {ResourceError} where it does not. */
function componentIn({ document, name, file }: FoundResource, warnings: string[]): ComponentSpec[] {
  try {
    return [readComponent(document)];
  } catch (error) {
    const { spec } = document.value as { readonly spec?: { readonly ignoreErrors?: unknown } };
    if (!(error instanceof ResourceError) || spec?.ignoreErrors !== true) throw error;
    warnings.push(`Component ${name} in ${file} was left out, as its ignoreErrors says: ${messageOf(error)}`);
    return [];
  }
}

/** A bad one is told and left out, as by daprd: calls go on without it, or with what it said before. */
function resiliencyFor(
  found: readonly FoundResource[],
  isForApp: (spec: Scoped) => boolean,
  warnings: string[],
  inUse: readonly ResiliencySpec[],
): ResiliencySpec[] {
  const orSkipped = <T>({ name, file }: FoundResource, read: () => T[], from: (before: ResiliencySpec) => T): T[] => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ResourceError)) throw error;
      const before = inUse.find((spec) => spec.name === name);
      const instead = before === undefined ? "which was skipped" : "and what it said before stays in use";
      warnings.push(`Could not read resiliency policy ${name} in ${file}, ${instead}: ${messageOf(error)}`);
      return before === undefined ? [] : [from(before)];
    }
  };
  const read = found.flatMap((resource) =>
    orSkipped(
      resource,
      () => [{ resource, spec: readResiliency(resource.document) }],
      (spec) => ({ resource, spec }),
    ),
  );
  const forApp = read.filter(({ spec }) => isForApp(spec));
  const all = forApp.map(({ spec }) => spec);
  return forApp.flatMap(({ resource, spec }) =>
    orSkipped(
      resource,
      () => {
        if (!inUse.includes(spec)) refuseUnknownPolicies(resource.document, spec, all);
        return [spec];
      },
      (before) => before,
    ),
  );
}

function refuseTwins(kind: string, specs: readonly { readonly name: string; readonly file: string }[]): void {
  for (const [at, { name, file }] of specs.entries()) {
    const twin = specs.slice(0, at).find((other) => other.name === name);
    if (twin === undefined) continue;
    throw new ResourceError(`${kind} ${name} is defined in ${twin.file} and once more in ${file}; remove one`);
  }
}

const KINDS = ["HTTPEndpoint", "Resiliency", "Subscription"];
const COMPONENTS = ["secretstores.", "middleware.", "pubsub."];
// What Dapr's types of components begin with; what else begins so is not ours to say.
const BUILDING_BLOCKS = [
  ...["bindings", "configuration", "conversation", "crypto", "lock", "middleware", "nameresolution", "pubsub"],
  ...["secretstores", "state", "workflow"],
];

function isSupported({ kind, type }: FoundResource): boolean {
  if (kind === "Component") return type === "" || COMPONENTS.some((prefix) => type.startsWith(prefix));
  return KINDS.includes(kind);
}

/** Why it is passed over. @throws {ResourceError} where that must be a slip. */
function notSupported({ kind, name, type, file, document }: FoundResource): string {
  const what = [kind, name, type].filter((part) => part !== "").join(" ");
  if (kind === "Configuration") return `${what} in ${file} was skipped: give it with --config`;
  if (RESOURCE_KINDS.some((known) => known === kind)) {
    if (kind === "Component") refuseSlip(document, ["spec", "type"], type, type.split(".")[0] ?? "", BUILDING_BLOCKS);
    return `${what} in ${file} is not supported by this version of Outrigger and was skipped`;
  }
  refuseSlip(document, ["kind"], kind, kind, RESOURCE_KINDS);
  return `${what} in ${file} was skipped: there is no kind "${kind}"`;
}

/** @throws {ResourceError} where `part` of what is written is nearly one of those that there are: then one of them is meant. */
function refuseSlip(
  document: YamlDocument,
  path: readonly string[],
  written: string,
  part: string,
  known: readonly string[],
): void {
  const near = known.includes(part) ? undefined : nearestName(part, known);
  if (near === undefined) return;
  const place = `${document.file}:${document.lineOf(path)}: ${path.join(".")}`;
  const meant = written.replace(part, near);
  throw new ResourceError(`${place}: there is no ${path.at(-1) ?? ""} "${written}"; did you mean "${meant}"?`);
}
