import type { Span, SpanAttributes } from "../core/tracer.ts";

/** What daprd says of spans, under its names (pkg/diagnostics): dashboards and rules of samplers are written for them. */

/** Headers that their sender wants to see in the trace: those that begin with `dapr-`, but no token. */
export function attributesFromHeaders(headers: readonly string[]): SpanAttributes {
  const attributes: Record<string, string> = {};
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] ?? "").toLowerCase();
    if (name.startsWith("dapr-") && !name.endsWith("-bin") && name !== "dapr-api-token") {
      attributes[name] = headers[i + 1] ?? "";
    }
  }
  return attributes;
}

/** Of a call that the sidecar's own app makes. @param target as the caller wrote it. */
export function describeInvocation(
  span: Span,
  { target, rawPath, grpc }: { readonly target: string; readonly rawPath: string; readonly grpc?: true },
): void {
  if (!span.isSampled) return;
  // What is proxied keeps the name of its method.
  if (grpc === undefined) span.rename(`CallLocal/${target}${rawPath}`);
  span.describe({ "rpc.service": SERVICE_INVOCATION, "net.peer.name": target });
}

/** Of a call that has reached the callee's sidecar, on whatever wire. @param path of the message. */
export function receivedName(appId: string, path: string, grpc: true | undefined): string {
  return grpc === true ? path : `CallLocal/${appId}${path}`;
}

/** As {@link receivedName}. daprd's sidecars speak gRPC among themselves, whatever their apps speak. */
export function receivedAttributes(path: string, grpc: true | undefined): SpanAttributes {
  return {
    "rpc.service": SERVICE_INVOCATION,
    "dapr.protocol": "grpc",
    "dapr.api": grpc === true ? path : "/dapr.proto.internals.v1.ServiceInvocation/CallLocal",
    "dapr.invoke_method": path.slice(1),
  };
}

const SERVICE_INVOCATION = "ServiceInvocation";
