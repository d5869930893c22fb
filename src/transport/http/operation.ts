import { routingPath } from "./api-request.ts";
import { outriggerPathOf } from "./outrigger-path.ts";
import { publishPathOf } from "./publish-path.ts";
import { invokedTarget } from "./routes/invoke.ts";

/** What a request asks of the API, by the name that daprd has for it, or we for what is ours; of what is none, its verb. */
export function operationOf(method: string, path: string, headers: readonly string[]): string {
  const route = routingPath(path);
  if (isHealthCheck(method, path)) return route.endsWith("/outbound") ? "HealthzOutbound" : "Healthz";
  if (method === "GET" && route === "/v1.0/metadata") return "GetMetadata";
  if (method === "PUT" && route.startsWith("/v1.0/metadata/")) return "PutMetadata";
  if (method === "POST" && route === "/v1.0/shutdown") return "Shutdown";
  const publish = publishPathOf(method, route);
  if (publish !== undefined) return publish.isBulk ? "BulkPublishEvent" : "PublishEvent";
  const own = outriggerPathOf(method, route);
  if (own !== undefined) return own.operation;
  const target = invokedTarget(path, headers);
  return target === undefined ? method : `InvokeService/${target}`;
}

export function isHealthCheck(method: string, path: string): boolean {
  if (method !== "GET" || !path.startsWith("/v1.0/healthz")) return false;
  const route = routingPath(path);
  return route === "/v1.0/healthz" || route === "/v1.0/healthz/outbound";
}
