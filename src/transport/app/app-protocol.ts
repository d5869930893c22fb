/** What `--app-protocol` may say. */
export const APP_PROTOCOLS = ["http", "https", "h2c", "grpc", "grpcs"] as const;

/**
 * How the app is spoken to: HTTP/1.1, the same over TLS, HTTP/2 without TLS, or gRPC without TLS and over it. Whatever it is
 * spoken to in, it may be called over HTTP and over gRPC.
 */
export type AppProtocol = (typeof APP_PROTOCOLS)[number];

export type GrpcAppProtocol = "grpc" | "grpcs";

export function isGrpcApp(protocol: AppProtocol): protocol is GrpcAppProtocol {
  return protocol === "grpc" || protocol === "grpcs";
}
