import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import * as z from "zod";
import {
  type AccessControlSpec,
  accessControlSchema,
  operationsForGrpcAlone,
  readAccessControl,
} from "./access-control-spec.ts";
import { DEFAULT_CONFIGURATION } from "./default-configuration.ts";
import { featuresSchema, hotReloadIn, otherFeatures } from "./features-spec.ts";
import { type ApiLoggingSpec, loggingSchema, readApiLogging } from "./logging-spec.ts";
import { type MetricsSpec, metricsSchema, readMetrics } from "./metrics-spec.ts";
import type { TracingSpec } from "./otlp-settings.ts";
import { type HandlerSpec, pipelineSchema, readPipeline } from "./pipeline-spec.ts";
import { readTracing, tracingSchema } from "./tracing-spec.ts";
import { checkDocument, ResourceError, readYamlFile, sectionAt, type YamlDocument } from "./yaml-file.ts";

/** What a `kind: Configuration` resource sets, merged over all that were given. */
export interface Configuration {
  /** `spec.invocation.preservePath`: send paths to apps as the caller wrote them. */
  readonly preservePath: boolean;
  /** `spec.invocation.grpcErrorStatus`: over HTTP, every error of a gRPC app is 500 (`fixed`), or what its code says. */
  readonly grpcErrorStatus: GrpcErrorStatus;
  /** `spec.invocation.safeRetries`: what may not be done twice is not sent a second time once somebody has got it. */
  readonly safeRetries: boolean;
  /** `spec.accessControl` of the last Configuration that has one; undefined lets everybody call everything. */
  readonly accessControl: AccessControlSpec | undefined;
  /** `spec.invocation.appTLS`: whose certificate an app that is spoken to over TLS must show; undefined: anybody's. */
  readonly appTls: AppTls | undefined;
  /** `spec.nameResolution`; undefined where none of them has it. Of several, the last holds, as a whole. */
  readonly nameResolution: NameResolution | undefined;
  readonly pipelines: Pipelines;
  /** `spec.metric` and `spec.metrics`. */
  readonly metrics: MetricsSpec;
  /** `spec.logging.apiLogging`. */
  readonly apiLogging: ApiLoggingSpec;
  /** `spec.tracing`; undefined where none of them has it. Of several, the last holds, field by field. */
  readonly tracing: TracingSpec | undefined;
  /** `HotReload` of `spec.features`: resources are read again as their files change. */
  readonly hotReload: boolean;
  /** Sections that are valid and that this version does nothing with. */
  readonly withoutEffect: readonly string[];
  /** Operations of access rules that no call to an app over HTTP meets: they are for gRPC. */
  readonly forGrpcAlone: readonly string[];
}

const GRPC_ERROR_STATUSES = ["fixed", "mapped"] as const;

export type GrpcErrorStatus = (typeof GRPC_ERROR_STATUSES)[number];

export interface AppTls {
  /** What stands in `caFile`: certificates, PEM. */
  readonly ca: string;
  /** The name or address that the app's certificate is for; undefined means the address it is reached at. */
  readonly serverName: string | undefined;
}

/** How calls find their apps, as a Configuration says it. Which components there are is not known here. */
export interface NameResolution {
  /** As written; undefined where only its configuration is given. */
  readonly component: string | undefined;
  readonly version: string | undefined;
  /** What the component is told, for it to check; its value is undefined where that is nothing. */
  readonly configuration: Required<YamlDocument>;
  /** `file:line` of a field of the section, for error texts. */
  placeOf(field: "component" | "version" | "configuration"): string;
}

/** Of several Configurations, the last that has one holds, as a whole. */
export interface Pipelines {
  /** `spec.httpPipeline`: in front of the HTTP API. */
  readonly http: readonly HandlerSpec[];
  /** `spec.appHttpPipeline`: in front of the app and of HTTP endpoints. */
  readonly app: readonly HandlerSpec[];
}

const section = z.unknown().optional();

// Every section of Dapr's Configuration, and ours (docs/extensions.md).
const schema = z.strictObject({
  apiVersion: z.literal("dapr.io/v1alpha1"),
  kind: z.literal("Configuration"),
  metadata: z.looseObject({ name: z.string() }),
  spec: z
    .strictObject({
      invocation: z
        .strictObject({
          preservePath: z.boolean().optional(),
          safeRetries: z.boolean().optional(),
          grpcErrorStatus: z.enum(GRPC_ERROR_STATUSES).optional(),
          appTLS: z.strictObject({ caFile: z.string().min(1), serverName: z.string().min(1).optional() }).optional(),
        })
        .optional(),
      accessControl: accessControlSchema.optional(),
      api: section,
      appHttpPipeline: pipelineSchema.optional(),
      components: section,
      features: featuresSchema.optional(),
      httpPipeline: pipelineSchema.optional(),
      logging: loggingSchema.optional(),
      metric: metricsSchema.optional(),
      metrics: metricsSchema.optional(),
      mtls: section,
      nameResolution: z
        .strictObject({ component: z.string().optional(), version: z.string().optional(), configuration: section })
        .optional(),
      secrets: section,
      tracing: tracingSchema.optional(),
      wasm: section,
      workflow: section,
    })
    .default({}),
});

// Leaving this out would open a door that the user believes shut, so it stops the start instead.
const REFUSED = ["api"] as const;
const SUPPORTED = new Set([
  ...["invocation", "accessControl", "nameResolution", "httpPipeline", "appHttpPipeline"],
  ...["metric", "metrics", "logging", "tracing", "features"],
]);

/** @throws {ResourceError} naming file, line and field. */
export function readConfigurations(files: readonly string[]): Configuration {
  return files.flatMap(readYamlFile).reduce(merge, DEFAULT_CONFIGURATION);
}

function merge(before: Configuration, document: YamlDocument): Configuration {
  const { spec } = checkDocument(document, schema);
  const refused = REFUSED.find((name) => spec[name] !== undefined);
  if (refused !== undefined) {
    const line = document.lineOf(["spec", refused]);
    throw new ResourceError(
      `${document.file}:${line}: spec.${refused} is not supported by this version of Outrigger, and ignoring it would let calls through that it forbids; remove it to start without`,
    );
  }
  if (isTrue(spec.mtls)) {
    throw new ResourceError(
      `${document.file}:${String(document.lineOf(["spec", "mtls"]))}: spec.mtls.enabled is not supported by this version of Outrigger; set it to false to start without`,
    );
  }
  const sections = Object.keys(spec).filter((name) => !SUPPORTED.has(name));
  const here = (name: string): string => `${name} in ${document.file}`;
  const accessControl = spec.accessControl === undefined ? undefined : readAccessControl(document, spec.accessControl);
  return Object.freeze({
    preservePath: spec.invocation?.preservePath ?? before.preservePath,
    safeRetries: spec.invocation?.safeRetries ?? before.safeRetries,
    grpcErrorStatus: spec.invocation?.grpcErrorStatus ?? before.grpcErrorStatus,
    // A whole list, never two of them mixed: what each forbids depends on its own default.
    accessControl: accessControl ?? before.accessControl,
    appTls: appTlsIn(document, spec.invocation?.appTLS) ?? before.appTls,
    nameResolution:
      spec.nameResolution === undefined ? before.nameResolution : nameResolutionOf(document, spec.nameResolution),
    pipelines: {
      http: pipelineOr(before.pipelines.http, document, "httpPipeline", spec.httpPipeline),
      app: pipelineOr(before.pipelines.app, document, "appHttpPipeline", spec.appHttpPipeline),
    },
    metrics: readMetrics(before.metrics, document, spec),
    apiLogging: readApiLogging(before.apiLogging, spec.logging),
    tracing: spec.tracing === undefined ? before.tracing : readTracing(document, spec.tracing, before.tracing),
    hotReload: hotReloadIn(spec.features) ?? before.hotReload,
    withoutEffect: [
      ...before.withoutEffect,
      ...sections.map((name) => here(`spec.${name}`)),
      ...otherFeatures(spec.features).map(here),
    ],
    forGrpcAlone: [...before.forGrpcAlone, ...operationsForGrpcAlone(spec.accessControl ?? {}).map(here)],
  });
}

function pipelineOr(
  before: readonly HandlerSpec[],
  document: YamlDocument,
  name: "httpPipeline" | "appHttpPipeline",
  written: z.output<typeof pipelineSchema> | undefined,
): readonly HandlerSpec[] {
  return written === undefined ? before : readPipeline(document, name, written);
}

function appTlsIn(
  document: YamlDocument,
  said: { readonly caFile: string; readonly serverName?: string | undefined } | undefined,
): AppTls | undefined {
  if (said === undefined) return undefined;
  const line = document.lineOf(["spec", "invocation", "appTLS", "caFile"]);
  const place = `${document.file}:${line}: spec.invocation.appTLS.caFile`;
  // A path counts from the file that it stands in.
  const ca = textOf(resolve(dirname(document.file), said.caFile), place);
  refuseWhatIsNoCertificate(ca, `${place}: ${said.caFile}`);
  return Object.freeze({ ca, serverName: said.serverName });
}

/** @throws {ResourceError} */
function textOf(path: string, place: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    throw new ResourceError(`${place}: ${path} cannot be read (${code}); name a file of PEM certificates`, { cause });
  }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** TLS would pass over in silence what it cannot read, and then trust nobody. @throws {ResourceError} */
function refuseWhatIsNoCertificate(pem: string, place: string): void {
  const certificates = pem.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new ResourceError(`${place} has no PEM certificate in it`);
  for (const [index, certificate] of certificates.entries()) {
    try {
      new X509Certificate(certificate);
    } catch (cause) {
      throw new ResourceError(`${place}: certificate ${index + 1} of it cannot be read`, { cause });
    }
  }
}

function nameResolutionOf(
  document: YamlDocument,
  {
    component,
    version,
    configuration,
  }: {
    component?: string | undefined;
    version?: string | undefined;
    configuration?: unknown;
  },
): NameResolution {
  const path = ["spec", "nameResolution"];
  return {
    component,
    version,
    configuration: sectionAt(document, [...path, "configuration"], configuration),
    placeOf: (field) => `${document.file}:${document.lineOf([...path, field])}`,
  };
}

function isTrue(mtls: unknown): boolean {
  return typeof mtls === "object" && mtls !== null && (mtls as { enabled?: unknown }).enabled === true;
}
