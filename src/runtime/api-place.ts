import { hostInUrl } from "../transport/host-in-url.ts";

/** Where an API is: a port, or the path of a Unix socket. */
export type ApiPlace = number | string;

/** The host part of a URL by which a process on this machine reaches an API that listens on these addresses. */
export function apiHost(listenAddresses: readonly string[]): string {
  const address = listenAddresses[0] ?? "127.0.0.1";
  if (address === "0.0.0.0" || address === "::") return "127.0.0.1";
  return hostInUrl(address);
}

/** `http://host:port`, or, as gRPC names them (its doc/naming.md), `unix:///path/to/socket`. */
export function apiUrl(listenAddresses: readonly string[], place: ApiPlace): string {
  return typeof place === "string" ? `unix://${place}` : `http://${apiHost(listenAddresses)}:${place}`;
}

/** As daprd names its sockets in the directory that it is given (A1). */
export function socketPath(folder: string, appId: string, api: "http" | "grpc"): string {
  return `${folder === "/" ? "" : folder}/dapr-${appId}-${api}.socket`;
}
