import type { AppIdentity } from "../core/app-id.ts";
import type { AccessControlSpec } from "../resources/access-control-spec.ts";
import type { AppResources } from "../resources/app-resources.ts";
import type { GrpcErrorStatus, NameResolution, Pipelines } from "../resources/configuration.ts";
import type { ApiLoggingSpec } from "../resources/logging-spec.ts";
import type { MetricsSpec } from "../resources/metrics-spec.ts";
import type { TracingSpec } from "../resources/otlp-settings.ts";
import type { AppProtocol } from "../transport/app/app-protocol.ts";
import type { TlsTrust } from "../transport/upstream/upstream.ts";
import type { RunOrigin } from "./registry/registry-store.ts";

/** Everything that one Sidecar must be told: flags, environment and Configuration, checked and merged by cli/. */
export interface SidecarSettings {
  readonly app: AppIdentity;
  /** Undefined for a sidecar without an app: it can call, and cannot be called. */
  readonly appPort: number | undefined;
  readonly appChannelAddress: string;
  readonly appProtocol: AppProtocol;
  /** `spec.invocation.appTLS`; undefined takes any certificate of the app. */
  readonly appTrust: TlsTrust | undefined;
  /** How long calls wait for an app that has not answered on its port yet; 0 fails them at once, as daprd does. */
  readonly appStartPatienceMs: number;
  /** 0 or less: no limit. */
  readonly appMaxConcurrency: number;
  /** Calls that may wait for others to end, where there is such a limit. */
  readonly appMaxQueue: number;
  /** Undefined: the app is not probed, and counts as healthy. */
  readonly appHealth: AppHealthSettings | undefined;
  /** 0: any free port. The same holds for the other ports. */
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly internalPort: number;
  /** Where the HTTP and gRPC APIs listen; at least one. */
  readonly listenAddresses: readonly string[];
  /** An absolute path: the HTTP and gRPC APIs listen on Unix sockets in it, and on no port. */
  readonly socketFolder: string | undefined;
  /** For health and metadata alone; undefined for none. */
  readonly publicPort: number | undefined;
  readonly publicListenAddress: string;
  /** Undefined where nothing is counted: `--enable-metrics=false`, or `spec.metrics.enabled`. */
  readonly metrics: MetricsSettings | undefined;
  /** Undefined where calls of the API are not logged. */
  readonly apiLogging: ApiLoggingSpec | undefined;
  /** Whose pages browsers may let call the HTTP API, `*` for all; empty: CORS is left to the apps. */
  readonly allowedOrigins: readonly string[];
  readonly internalListenAddress: string;
  /** HTTP/2 without TLS on the API port; false where `DAPR_HTTP_DISABLE_H2C` says so. */
  readonly apiHttp2: boolean;
  readonly maxBodyBytes: number;
  readonly readBufferBytes: number;
  /** How long calls that run may go on once the sidecar is told to stop. */
  readonly gracefulShutdownMs: number;
  /** `DAPR_API_TOKEN`, `DAPR_API_TOKEN_PREVIOUS`. */
  readonly apiTokens: readonly (string | undefined)[];
  /** `APP_API_TOKEN`. */
  readonly appToken: string | undefined;
  /** `spec.invocation.preservePath`. */
  readonly preservePath: boolean;
  /** `spec.invocation.grpcErrorStatus`. */
  readonly grpcErrorStatus: GrpcErrorStatus;
  /** `spec.invocation.safeRetries`. */
  readonly safeRetries: boolean;
  /** `spec.accessControl`. */
  readonly accessControl: AccessControlSpec | undefined;
  /** `spec.httpPipeline` and `spec.appHttpPipeline`. */
  readonly pipelines: Pipelines;
  /** HTTP endpoints, pub/sub, resiliency policies and where their secrets are. */
  readonly resources: AppResources;
  /** Whether there is a `pubsub` of type `pubsub.local` where those have no `pubsub.*`: not with `--no-default-pubsub`. */
  readonly defaultPubSub: boolean;
  /** Where those are from, for them to be read again as they change; undefined where nothing changes. */
  readonly resourceWatch: ResourceWatch | undefined;
  /** `spec.nameResolution`; undefined for the registry. */
  readonly nameResolution: NameResolution | undefined;
  /** `spec.tracing`, and `OTEL_EXPORTER_OTLP_…` where that names no collector. */
  readonly tracing: TracingSpec | undefined;
  /** `OTEL_SERVICE_NAME`; undefined: the app's id. */
  readonly traceServiceName: string | undefined;
  /** `DAPR_HOST_IP`, else found out: the address of this host that callees are told, and that mDNS announces. */
  readonly hostAddress: string;
  /** The app's command line, for people to read. */
  readonly command: string;
  /** Undefined without a run file. */
  readonly origin?: RunOrigin;
}

export interface MetricsSettings {
  /** 0: any free port. */
  readonly port: number;
  readonly listenAddress: string;
  readonly spec: MetricsSpec;
}

/** What the resources of one app were read from. */
export interface ResourceWatch {
  /** As they were named. */
  readonly folders: readonly string[];
  /** Of what stood in them just before it was read. */
  readonly fingerprint: string;
  /** What has been said of them already. */
  readonly warnings: readonly string[];
}

/** `--enable-app-health-check` and its flags. */
export interface AppHealthSettings {
  /** Begins with `/`; may have a query. */
  readonly path: string;
  readonly intervalMs: number;
  /** No longer than the interval. */
  readonly timeoutMs: number;
  readonly threshold: number;
}
