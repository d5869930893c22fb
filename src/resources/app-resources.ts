import type { AppIdentity } from "../core/app-id.ts";
import { messageOf } from "../core/errors.ts";
import { type ComponentSpec, readComponent } from "./component-spec.ts";
import { type HttpEndpointSpec, readHttpEndpoint } from "./http-endpoint-spec.ts";
import { type ResiliencySpec, readResiliency } from "./resiliency-spec.ts";
import { type FoundResource, readResourceFolders } from "./resource-folder.ts";
import { ResourceError } from "./yaml-file.ts";

/** What the resources of one app say, checked: those that its scopes and namespace leave to it. */
export interface AppResources {
  readonly endpoints: readonly HttpEndpointSpec[];
  readonly secretStores: readonly ComponentSpec[];
  readonly middleware: readonly ComponentSpec[];
  readonly resiliency: readonly ResiliencySpec[];
}

/** @returns with `warnings` about what is not used. @throws {ResourceError} naming file, line and field. */
export function readAppResources(
  folders: readonly string[],
  app: AppIdentity,
): AppResources & { readonly warnings: readonly string[] } {
  const found = readResourceFolders(folders);
  const warnings: string[] = [];
  const isForApp = (spec: Scoped): boolean => isFor(spec, app);
  const endpoints = ofKind(found, "HTTPEndpoint")
    .map(({ document }) => readHttpEndpoint(document))
    .filter(isForApp);
  const components = ofKind(found, "Component")
    .filter(isSupported)
    .map(({ document }) => readComponent(document))
    .filter(isForApp);
  const ofType = (prefix: string): ComponentSpec[] => components.filter(({ type }) => type.startsWith(prefix));
  const resiliency = ofKind(found, "Resiliency")
    .flatMap((resource) => resiliencyIn(resource, warnings))
    .filter((spec) => isFor({ ...spec, namespace: undefined }, app));
  refuseTwins("HTTPEndpoint", endpoints);
  refuseTwins("Component", components);
  warnings.push(
    ...endpoints.flatMap(({ slips }) => slips),
    ...found.filter((resource) => !isSupported(resource)).map(notSupported),
  );
  return {
    endpoints,
    secretStores: ofType("secretstores."),
    middleware: ofType("middleware.http."),
    resiliency,
    warnings,
  };
}

interface Scoped {
  readonly namespace: string | undefined;
  readonly scopes: readonly string[];
}

function isFor({ namespace, scopes }: Scoped, app: AppIdentity): boolean {
  return (namespace ?? app.namespace) === app.namespace && (scopes.length === 0 || scopes.includes(app.id));
}

function ofKind(found: readonly FoundResource[], kind: string): readonly FoundResource[] {
  return found.filter((resource) => resource.kind === kind);
}

/** A bad one is told and left out, as by daprd: calls go on without it. */
function resiliencyIn({ document, name, file }: FoundResource, warnings: string[]): ResiliencySpec[] {
  try {
    return [readResiliency(document)];
  } catch (error) {
    if (!(error instanceof ResourceError)) throw error;
    warnings.push(`Could not read resiliency policy ${name} in ${file}, which was skipped: ${messageOf(error)}`);
    return [];
  }
}

function refuseTwins(kind: string, specs: readonly { readonly name: string; readonly file: string }[]): void {
  for (const [at, { name, file }] of specs.entries()) {
    const twin = specs.slice(0, at).find((other) => other.name === name);
    if (twin === undefined) continue;
    throw new ResourceError(`${kind} ${name} is defined in ${twin.file} and once more in ${file}; remove one`);
  }
}

const COMPONENTS = ["secretstores.", "middleware.http."];

function isSupported({ kind, type }: FoundResource): boolean {
  if (kind === "Component") return COMPONENTS.some((prefix) => type.startsWith(prefix));
  return kind === "HTTPEndpoint" || kind === "Resiliency";
}

function notSupported({ kind, name, type, file }: FoundResource): string {
  const what = [kind, name, type].filter((part) => part !== "").join(" ");
  return `${what} in ${file} is not supported by this version of Outrigger and was skipped`;
}
