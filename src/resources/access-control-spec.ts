import * as z from "zod";
import { type AppIdentity, parseAppId, parseNamespace } from "../core/app-id.ts";
import { messageOf } from "../core/errors.ts";
import { DEFAULT_TRUST_DOMAIN, isTrustDomain, type SpiffeId, spiffeIdOf } from "../core/spiffe-id.ts";
import { ResourceError, type YamlDocument } from "./yaml-file.ts";

export type AccessAction = "allow" | "deny";

/** `spec.accessControl` of a Configuration, checked: who may call this app, and what of it. */
export interface AccessControlSpec {
  /** The trust domain of the app itself: part of its identity where it calls others. */
  readonly trustDomain: string;
  /** For callers that no policy is for, and for those who cannot prove who they are. */
  readonly defaultAction: AccessAction;
  /** At most one for each caller. */
  readonly policies: readonly AccessPolicySpec[];
}

export interface AccessPolicySpec {
  readonly caller: SpiffeId;
  /** For what no operation names; undefined leaves that to the list's own. */
  readonly defaultAction: AccessAction | undefined;
  readonly operations: readonly AccessOperationSpec[];
}

export interface AccessOperationSpec {
  /** As written: a path, decoded, in which `*` stands for part of a segment and a last segment `**` for any number of them. */
  readonly name: string;
  /** Upper case; `*` is every verb. Empty where the operation names none, which daprd means for gRPC. */
  readonly verbs: readonly string[];
  readonly action: AccessAction;
}

const VERBS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"] as const;

// daprd compares actions without case, takes what it does not know for deny, and verbs as they are written.
const action = z
  .string()
  .toLowerCase()
  .pipe(z.enum(["allow", "deny"], { error: "say allow or deny" }));
const optionalAction = z
  .string()
  .toLowerCase()
  .pipe(z.enum(["allow", "deny", ""], { error: "say allow or deny" }))
  .optional();
const verb = z.enum(VERBS, { error: `is not a verb; use ${VERBS.slice(0, -1).join(", ")}, or "*" for all` });

const text = z.string().optional();

/** Dapr's fields (A12). Those of a policy that must be there are optional here, since daprd has its own words for that. */
export const accessControlSchema = z.strictObject({
  defaultAction: optionalAction,
  trustDomain: text,
  policies: z
    .array(
      z.strictObject({
        appId: text,
        defaultAction: optionalAction,
        trustDomain: text,
        namespace: text,
        operations: z
          .array(z.strictObject({ name: z.string(), httpVerb: z.array(verb).optional(), action }))
          .optional(),
      }),
    )
    .optional(),
});

type Written = z.output<typeof accessControlSchema>;
type WrittenPolicy = NonNullable<Written["policies"]>[number];

const PLACE = ["spec", "accessControl"] as const;

/**
 * What the section of `document` means; undefined where it says nothing, as daprd sees it.
 *
 * @throws {ResourceError} naming file, line and field, for what would never match, or would match in two ways.
 */
export function readAccessControl(document: YamlDocument, written: Written): AccessControlSpec | undefined {
  const { policies, trustDomain = "", defaultAction = "" } = written;
  if (trustDomain === "" && defaultAction === "" && (policies ?? []).length === 0) return undefined;
  refuseTrustDomain(document, [...PLACE, "trustDomain"], trustDomain);
  refuseMissing(document, policies ?? []);
  const read = (policies ?? []).map((policy, index) => readPolicy(document, policy, index));
  refuseTwoOfOneCaller(document, read);
  return {
    trustDomain: trustDomain === "" ? DEFAULT_TRUST_DOMAIN : trustDomain,
    // daprd's default: only a list of policies that is there and empty says that all may call.
    defaultAction: defaultAction === "" ? (policies?.length === 0 ? "allow" : "deny") : defaultAction,
    policies: read,
  };
}

/** The operations that change nothing for an HTTP app, which daprd lets pass in silence; as names of sections. */
export function operationsForGrpcAlone({ policies = [] }: Written): string[] {
  return policies.flatMap(({ operations = [] }, policy) =>
    operations.flatMap(({ action: does, httpVerb = [] }, at) =>
      does === "allow" && httpVerb.length === 0
        ? [`${PLACE.join(".")}.policies.${policy}.operations.${at} (allow without httpVerb)`]
        : [],
    ),
  );
}

/** The error of daprd's ParseAccessControlSpec, its list in Go's `%v`, and what to do. */
function refuseMissing(document: YamlDocument, policies: readonly WrittenPolicy[]): void {
  const without = (field: "trustDomain" | "namespace"): WrittenPolicy[] =>
    policies.filter((policy) => isEmpty(policy[field]));
  const ids = (list: readonly WrittenPolicy[]): string => `[${list.map(({ appId = "" }) => appId).join(" ")}]`;
  const first = policies.findIndex(
    ({ appId, trustDomain, namespace }) => isEmpty(appId) || isEmpty(trustDomain) || isEmpty(namespace),
  );
  if (first === -1) return;
  const missingName = policies.some(({ appId }) => isEmpty(appId));
  throw new ResourceError(
    `${lineOf(document, [...PLACE, "policies", first])}: invalid access control spec. missing trustdomain for apps: ${ids(without("trustDomain"))}, missing namespace for apps: ${ids(without("namespace"))}, missing app name on at least one of the app policies: ${missingName}; give each policy an appId, a trustDomain ("${DEFAULT_TRUST_DOMAIN}" where the caller's own Configuration names none) and a namespace`,
  );
}

function readPolicy(document: YamlDocument, policy: WrittenPolicy, index: number): AccessPolicySpec {
  const place = [...PLACE, "policies", index];
  const { defaultAction = "", trustDomain = "", operations = [] } = policy;
  refuseTrustDomain(document, [...place, "trustDomain"], trustDomain);
  const caller = spiffeIdOf(trustDomain, callerOf(document, place, policy));
  operations.forEach(({ name }, at) => {
    refuseName(document, [...place, "operations", at, "name"], name);
  });
  return {
    caller,
    defaultAction: defaultAction === "" ? undefined : defaultAction,
    operations: operations.map(({ name, httpVerb = [], action: does }) => ({ name, verbs: httpVerb, action: does })),
  };
}

function callerOf(document: YamlDocument, place: Path, policy: WrittenPolicy): AppIdentity {
  const { appId = "", namespace = "" } = policy;
  const parsed = <T>(field: string, parse: () => T): T => {
    try {
      return parse();
    } catch (cause) {
      throw new ResourceError(`${lineOf(document, [...place, field])}: ${messageOf(cause)}`, { cause });
    }
  };
  return {
    id: parsed("appId", () => parseAppId(appId)),
    namespace: parsed("namespace", () => parseNamespace(namespace)),
  };
}

function refuseTrustDomain(document: YamlDocument, path: Path, trustDomain: string): void {
  if (trustDomain === "" || isTrustDomain(trustDomain)) return;
  throw new ResourceError(
    `${lineOf(document, path)}: "${trustDomain}" is not a valid trust domain: use letters, digits, dots, - and _`,
  );
}

/** Refuses names that no path could ever match: rules are compared with paths that are decoded and cleaned. */
function refuseName(document: YamlDocument, path: Path, name: string): void {
  const why = whyNeverMatches(name);
  if (why === undefined) return;
  throw new ResourceError(`${lineOf(document, path)}: the operation "${name}" would never match: ${why}`);
}

function whyNeverMatches(name: string): string | undefined {
  const segments = name.split("/").filter((segment) => segment !== "");
  if (name === "") return 'it is empty; write "/" for the root, "/**" for every path';
  if (/[?#\p{Cc}]/u.test(name)) return "a path has no query, fragment or control character; name the path alone";
  if (/%[0-9A-Fa-f]{2}/.test(name)) return "paths are compared decoded; write the characters themselves";
  if (segments.some((segment) => segment === "." || segment === "..")) return "paths are cleaned; leave out the dots";
  if (segments.slice(0, -1).includes("**")) return "** stands only at the end; use * for one segment";
  return undefined;
}

function refuseTwoOfOneCaller(document: YamlDocument, policies: readonly AccessPolicySpec[]): void {
  const callers = policies.map(({ caller }) => caller);
  const second = callers.findIndex((caller, index) => callers.indexOf(caller) !== index);
  if (second === -1) return;
  throw new ResourceError(
    `${lineOf(document, [...PLACE, "policies", second])}: two policies are for ${String(callers[second])}; put their operations into one`,
  );
}

type Path = readonly PropertyKey[];

function lineOf(document: YamlDocument, path: Path): string {
  return `${document.file}:${document.lineOf(path)}: ${path.map(String).join(".")}`;
}

function isEmpty(text: string | undefined): boolean {
  return text === undefined || text === "";
}
