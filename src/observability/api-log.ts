import type { ApiObserver, GrpcApiCall, HttpApiCall } from "../core/api-observer.ts";
import type { Logger } from "../core/logger.ts";
import { headerValue } from "../core/raw-headers.ts";
import type { ApiLoggingSpec } from "../resources/logging-spec.ts";

/** daprd's scopes of these lines, which filters know. */
export const HTTP_API_SCOPE = "dapr.runtime.http-info";
export const GRPC_API_SCOPE = "dapr.runtime.grpc.api-info";

export interface ApiLogOptions {
  readonly spec: ApiLoggingSpec;
  /** With the scopes of above. */
  readonly http: Logger;
  readonly grpc: Logger;
}

/** `--enable-api-logging`: a line for each call of the APIs, in daprd's words. */
export class ApiLog implements ApiObserver {
  readonly #options: ApiLogOptions;

  constructor(options: ApiLogOptions) {
    this.#options = options;
  }

  httpAnswered(call: HttpApiCall): void {
    const { http, spec } = this.#options;
    if (call.isHealthCheck && spec.omitHealthChecks) return;
    const { status: code, responseBytes: size } = call;
    const method = spec.obfuscateUrls ? call.operation : `${call.method} ${call.path}`;
    http.info("HTTP API Called", { method, useragent: userAgentOf(call), code, duration: durationOf(call), size });
  }

  grpcAnswered(call: GrpcApiCall): void {
    const { path: method, code } = call;
    this.#options.grpc.info("gRPC API Called", {
      method,
      useragent: userAgentOf(call),
      code,
      duration: durationOf(call),
    });
  }

  errorAnswered(): void {
    // It stands in the line of its call.
  }
}

function userAgentOf({ rawHeaders }: { readonly rawHeaders: readonly string[] }): string | undefined {
  return headerValue(rawHeaders, "user-agent");
}

/** Whole milliseconds, as in daprd. */
function durationOf({ durationMs }: { readonly durationMs: number }): number {
  return Math.floor(durationMs);
}
