import * as z from "zod";
import { parseGoDuration } from "../core/go-duration.ts";
import { type NamedValue, namedValueSchema } from "./value-source.ts";
import { checkDocument, type YamlDocument } from "./yaml-file.ts";

/** A `kind: Component` resource, checked; what its metadata means is for the component to say. */
export interface ComponentSpec {
  readonly name: string;
  readonly namespace: string | undefined;
  /** `pubsub.redis`, `middleware.http.ratelimit`, … */
  readonly type: string;
  /** `v1` where none is given. */
  readonly version: string;
  readonly metadata: readonly NamedValue[];
  /** App ids; empty for all. */
  readonly scopes: readonly string[];
  /** `auth.secretStore`; undefined: the one that there is. */
  readonly secretStore: string | undefined;
  /** The sidecar starts without the component where that cannot start. */
  readonly ignoreErrors: boolean;
  /** How long it may take to get ready, in milliseconds. */
  readonly initTimeoutMs: number;
  readonly file: string;
  /** The line of a field of `spec.metadata` by its name, counted from 1. */
  lineOf(field: string): number;
}

// daprd's.
const DEFAULT_INIT_TIMEOUT_MS = 5000;

const initTimeout = z.string().transform((text, context) => {
  const ms = parseGoDuration(text);
  if (ms !== undefined && ms >= 0) return ms === 0 ? DEFAULT_INIT_TIMEOUT_MS : ms;
  context.addIssue(`"${text}" is no duration; write one as 500ms, 5s or 1m30s`);
  return z.NEVER;
});

const schema = z.strictObject({
  apiVersion: z.literal("dapr.io/v1alpha1"),
  kind: z.literal("Component"),
  metadata: z.looseObject({ name: z.string().min(1), namespace: z.string().optional() }),
  spec: z.strictObject({
    type: z.string().min(1),
    version: z.string().default("v1"),
    metadata: z.array(namedValueSchema).default([]),
    ignoreErrors: z.boolean().default(false),
    initTimeout: initTimeout.default(DEFAULT_INIT_TIMEOUT_MS),
  }),
  scopes: z.array(z.string()).default([]),
  auth: z.strictObject({ secretStore: z.string().min(1).optional() }).optional(),
});

/** @throws {ResourceError} naming file, line and field. */
export function readComponent(document: YamlDocument): ComponentSpec {
  const { metadata, spec, scopes, auth } = checkDocument(document, schema);
  const placeOf = (field: string): number => spec.metadata.findIndex(({ name }) => name === field);
  return Object.freeze({
    name: metadata.name,
    namespace: metadata.namespace,
    type: spec.type,
    version: spec.version === "" ? "v1" : spec.version,
    metadata: spec.metadata,
    scopes,
    secretStore: auth?.secretStore,
    ignoreErrors: spec.ignoreErrors,
    initTimeoutMs: spec.initTimeout,
    file: document.file,
    lineOf: (field: string) => {
      const place = placeOf(field);
      return document.lineOf(place === -1 ? ["spec", "metadata"] : ["spec", "metadata", place, "value"]);
    },
  });
}
