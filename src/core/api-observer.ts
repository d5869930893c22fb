/** Told of every call of a sidecar's APIs once it is answered to its last byte. Implemented by observability/; must not throw. */
export interface ApiObserver {
  httpAnswered(call: HttpApiCall): void;
  grpcAnswered(call: GrpcApiCall): void;
  /** Outrigger itself has answered with an error, of this code (`ERR_DIRECT_INVOKE`). */
  errorAnswered(errorCode: string): void;
}

export interface HttpApiCall {
  readonly method: string;
  /** Percent-encoded, as sent, without the query. */
  readonly path: string;
  /** The path for what is counted: of a route of Outrigger's own its template, where events have their ids. */
  readonly countedPath: string;
  /** As sent, in a flat list. */
  readonly rawHeaders: readonly string[];
  /** 500 where the caller left before there was an answer, as in daprd. */
  readonly status: number;
  /** Of the body; 0 where it did not say. */
  readonly requestBytes: number;
  /** Of the body, as far as it went out. */
  readonly responseBytes: number;
  readonly durationMs: number;
  /** By Dapr's name: `InvokeService/<target>`, `GetMetadata`. Found out when it is asked for. */
  readonly operation: string;
  readonly isHealthCheck: boolean;
}

export interface GrpcApiCall {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Metadata as sent, in a flat list. */
  readonly rawHeaders: readonly string[];
  /** google.rpc.Code. */
  readonly code: number;
  /** Of the messages; undefined where they stream. */
  readonly bytes: { readonly received: number; readonly sent: number } | undefined;
  readonly durationMs: number;
}
