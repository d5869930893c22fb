import { hostInUrl } from "../transport/host-in-url.ts";

/** The host part of a URL by which a process on this machine reaches an API that listens on these addresses. */
export function apiHost(listenAddresses: readonly string[]): string {
  const address = listenAddresses[0] ?? "127.0.0.1";
  if (address === "0.0.0.0" || address === "::") return "127.0.0.1";
  return hostInUrl(address);
}
