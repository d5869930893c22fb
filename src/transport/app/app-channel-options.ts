import { type RawHeaders, withoutHeaders } from "../../core/raw-headers.ts";
import type { TlsTrust, UpstreamOptions } from "../upstream/upstream.ts";

/** What a channel to the sidecar's own app has to know, whatever that speaks. */
export interface AppChannelOptions<Protocol> {
  /** `--app-channel-address`. */
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
  /** `spec.invocation.appTLS`: whose certificate the app must show over TLS. Undefined: any, as in daprd (A4). */
  readonly trust: TlsTrust | undefined;
  /** `APP_API_TOKEN`: sent to the app as `dapr-api-token`, so that the app knows its own sidecar (A4). */
  readonly appToken: string | undefined;
}

/** daprd's limits of the app channel (A4). Header size: an app is trusted with more than a stranger. */
export const APP_LIMITS = {
  maxConnections: 1024,
  maxHeaderBytes: 256 * 1024,
} as const satisfies Partial<UpstreamOptions>;

/** The same headers with the app's token alone. */
export function withAppToken(headers: readonly string[], token: string): RawHeaders {
  const sent = withoutHeaders(headers, (name) => name === "dapr-api-token");
  sent.push("Dapr-Api-Token", token);
  return sent;
}
