/** A collector that speaks OTLP. */
export interface OtlpDestination {
  readonly protocol: "grpc" | "http";
  /** With the path, where the protocol has one. https is what makes it secure. */
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Undefined: OpenTelemetry's own, 10 s. */
  readonly timeoutMs: number | undefined;
}
