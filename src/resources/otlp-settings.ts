import { isHeaderName } from "../core/raw-headers.ts";
import type { NamedValue } from "./value-source.ts";

/** Which spans one app's sidecar records, and where it sends them: `spec.tracing`, or the environment in its place. */
export interface TracingSpec {
  /** 0 to 1; undefined where it is not said, which is daprd's default. */
  readonly samplingRate: number | undefined;
  /** Write spans to the log. */
  readonly stdout: boolean;
  /** `zipkin.endpointAddress`: where spans are posted to. */
  readonly zipkinUrl: string | undefined;
  readonly otel: OtelSpec | undefined;
}

/** `otel`: a collector that speaks OTLP. */
export interface OtelSpec {
  readonly protocol: OtlpProtocol;
  /** Of `endpointAddress`, `isSecure` and `protocol`: whole, with the path where spans go. */
  readonly url: string;
  readonly headers: readonly NamedValue[];
  /** Undefined: the exporter's own, 10 s. */
  readonly timeoutMs: number | undefined;
}

export type OtlpProtocol = "grpc" | "http";

const ADDRESS = /^(?:(https?):\/\/)?([^/?#\s@]+)(\/[^?#\s]*)?$/i;
const TRACES_PATH = "/v1/traces";

/**
 * The URL that spans are sent to. Undefined where `address` is none.
 *
 * @param address `host:port`, also with a scheme and a path.
 * @param isSecure whether to speak TLS; where that is not said the scheme tells, and without one it is so, as in daprd.
 */
export function otlpUrl(address: string, isSecure: boolean | undefined, protocol: OtlpProtocol): string | undefined {
  const [, scheme, authority, path = ""] = ADDRESS.exec(address.trim()) ?? [];
  if (authority === undefined) return undefined;
  const secure = isSecure ?? scheme?.toLowerCase() !== "http";
  const origin = `${secure ? "https" : "http"}://${authority}`;
  if (!URL.canParse(origin)) return undefined;
  if (protocol === "grpc") return origin;
  const base = path.replace(/\/+$/, "");
  return origin + (base.endsWith(TRACES_PATH) ? base : base + TRACES_PATH);
}

/**
 * `name=value,name=value`, values percent-encoded, as OTEL_EXPORTER_OTLP_HEADERS has them.
 *
 * @throws {Error} saying what is wrong, without a value: it may be a secret.
 */
export function otlpHeadersIn(text: string): readonly NamedValue[] {
  const parts = text.split(",").filter((part) => part.trim() !== "");
  return parts.map((part) => {
    const equals = part.indexOf("=");
    const name = part.slice(0, Math.max(equals, 0)).trim();
    if (!isHeaderName(name)) throw new Error("headers are written name=value, with commas between them");
    try {
      return { name, source: { kind: "value", value: decodeURIComponent(part.slice(equals + 1)).trim() } };
    } catch (cause) {
      throw new Error(`the value of the header ${name} has a broken escape; write % as %25`, { cause });
    }
  });
}
