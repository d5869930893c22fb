import type { AppIdentity } from "./app-id.ts";

/** Told of every invocation once it is over. Implemented by observability/; must not throw. */
export interface CallObserver {
  callEnded(call: CallRecord): void;
}

export interface CallRecord {
  /** `sent`: this sidecar's app called. `received`: a call from another process reached this sidecar's app. */
  readonly direction: "sent" | "received";
  /** As the caller's sidecar names it; not proof of identity. Undefined where the caller did not say. */
  readonly caller: AppIdentity | undefined;
  /** The id as the caller wrote it. */
  readonly target: string;
  readonly method: string;
  readonly path: string;
  /** The status that went back to the caller, an error of Outrigger's own included. */
  readonly status: number;
  /** How a call of gRPC ended (google.rpc.Code), which it says at its end. Absent from what is not gRPC. */
  readonly grpcStatus?: number;
  /** Until the answer's head was there, and for a call of gRPC until its end, in milliseconds. */
  readonly durationMs: number;
  readonly traceId: string | undefined;
  /** Why Outrigger itself answered with an error; undefined where the app answered. */
  readonly error: string | undefined;
}
