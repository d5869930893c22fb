import type { TraceContext } from "../../core/trace-context.ts";
import type { Span } from "../../core/tracer.ts";
import type { GrpcCall } from "./grpc-call.ts";

/** A service that Outrigger answers itself. */
export interface GrpcService {
  /** `package.Service`. */
  readonly name: string;
  /** Whether it may be called without the API token. */
  readonly isOpen?: true;
  /** Whether apps serve one of that name too: a call whose metadata names an app is then meant for the app. */
  readonly appsHaveIt?: true;
  /** By the name of the method alone. Each answers the call, or throws what the caller is to be told. */
  readonly methods: ReadonlyMap<string, GrpcHandler>;
  /** What to say to who calls a method that is not there, behind gRPC's own words. */
  readonly explain?: (method: string) => string;
}

export type GrpcHandler = (request: GrpcRequest) => Promise<void>;

export interface GrpcRequest {
  readonly call: GrpcCall;
  /** The call's, without the API token where one was asked for. */
  readonly metadata: readonly string[];
  readonly trace: TraceContext;
  /** Around the call, where there is a tracer. Ended by whoever has started it. */
  readonly span?: Span;
}
