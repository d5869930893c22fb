import type { Configuration } from "./configuration.ts";

/** What holds where no Configuration was given. Apart from those who read one, because they load zod and yaml for it. */
export const DEFAULT_CONFIGURATION: Configuration = {
  preservePath: false,
  safeRetries: false,
  grpcErrorStatus: "fixed",
  accessControl: undefined,
  appTls: undefined,
  nameResolution: undefined,
  pipelines: { http: [], app: [] },
  metrics: {
    enabled: true,
    recordErrorCodes: false,
    latencyBuckets: undefined,
    rules: [],
    http: { increasedCardinality: true, pathMatching: [], excludeVerbs: false },
  },
  apiLogging: { enabled: false, obfuscateUrls: false, omitHealthChecks: false },
  tracing: undefined,
  hotReload: true,
  withoutEffect: [],
  forGrpcAlone: [],
};
