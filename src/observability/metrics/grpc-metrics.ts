import type { GrpcApiCall } from "../../core/api-observer.ts";
import { GRPC_CODE, statusOfNumber } from "../../core/grpc-code.ts";
import { CallSlots } from "./call-slots.ts";
import { SIZE_BOUNDS } from "./http-metrics.ts";
import type { MetricRegistry } from "./registry.ts";
import type { Counter, Histogram } from "./slots.ts";

interface Slots {
  readonly completed: Counter;
  readonly latency: Histogram;
  /** Undefined where the call streams. */
  readonly bytes: { readonly received: Histogram; readonly sent: Histogram } | undefined;
}

// Beside path and code, what tells calls apart whose slots differ.
const UNARY = "unary";
const STREAMING = "streaming";

/** `dapr_grpc_io_server_*` and `dapr_grpc_io_client_*`: calls of the gRPC API, and those to an app that speaks gRPC. */
export class GrpcMetrics {
  readonly #server: CallSlots<Slots>;
  readonly #client: CallSlots<Slots>;

  constructor(registry: MetricRegistry, latencyBounds: readonly number[]) {
    this.#server = slotsOf(registry, "server", "server_latency", latencyBounds);
    this.#client = slotsOf(registry, "client", "roundtrip_latency", latencyBounds);
  }

  served(call: Omit<GrpcApiCall, "rawHeaders">): void {
    record(this.#server, call);
  }

  called(call: Omit<GrpcApiCall, "rawHeaders">): void {
    record(this.#client, call);
  }
}

function record(slots: CallSlots<Slots>, { path, code, bytes, durationMs }: Omit<GrpcApiCall, "rawHeaders">): void {
  const found = slots.of(bytes === undefined ? STREAMING : UNARY, path, code);
  found.completed.add();
  found.latency.record(durationMs);
  if (bytes === undefined || found.bytes === undefined) return;
  found.bytes.received.record(bytes.received);
  found.bytes.sent.record(bytes.sent);
}

function slotsOf(
  registry: MetricRegistry,
  side: "server" | "client",
  latencyName: string,
  latencyBounds: readonly number[],
): CallSlots<Slots> {
  const name = (part: string): string => `grpc_io_${side}_${part}`;
  const [method, status] = [`grpc_${side}_method`, `grpc_${side}_status`];
  const completed = registry.counter(name("completed_rpcs"), "Calls of gRPC that are over.", method, status);
  const latency = registry.histogram(
    name(latencyName),
    "Milliseconds from a call of gRPC to its end.",
    latencyBounds,
    method,
    status,
  );
  const bytes = (part: string, help: string) => registry.histogram(name(part), help, SIZE_BOUNDS, method);
  const received = bytes("received_bytes_per_rpc", "Bytes of the messages that came, of calls with one each way.");
  const sent = bytes("sent_bytes_per_rpc", "Bytes of the messages that went, of calls with one each way.");
  return new CallSlots((kind, path, code) => {
    const values = [path, code === GRPC_CODE.OK ? "OK" : statusOfNumber(code)];
    return {
      completed: completed.slot(...values),
      latency: latency.slot(...values),
      bytes: kind === UNARY ? { received: received.slot(path), sent: sent.slot(path) } : undefined,
    };
  });
}
