import type { HttpApiCall } from "../../core/api-observer.ts";
import { CallSlots } from "./call-slots.ts";
import type { PathLabels } from "./path-labels.ts";
import type { MetricRegistry } from "./registry.ts";
import type { Counter, Histogram } from "./slots.ts";

/** Bytes; daprd's. */
export const SIZE_BOUNDS = [
  ...[1024, 2048, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864],
  ...[268_435_456, 1_073_741_824, 4_294_967_296],
] as const;

/** A call that this sidecar has made over HTTP. */
export interface HttpClientCall {
  readonly method: string;
  /** Percent-encoded. */
  readonly path: string;
  readonly status: number;
  /** Of the bodies, as far as their lengths are known before they are read; else 0. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Until the answer's head was there. */
  readonly durationMs: number;
}

interface ServerSlots {
  readonly requests: Counter;
  readonly responses: Counter;
  readonly latency: Histogram;
}

interface ClientSlots {
  readonly completed: Counter;
  readonly latency: Histogram;
  readonly sentBytes: Histogram;
}

const LABELS = ["method", "path", "status"] as const;

/** `dapr_http_server_*` and `dapr_http_client_*`: calls of the HTTP API, and those to an app or endpoint over HTTP. */
export class HttpMetrics {
  readonly #server: CallSlots<ServerSlots>;
  readonly #client: CallSlots<ClientSlots>;
  readonly #requestBytes: Histogram;
  readonly #responseBytes: Histogram;
  readonly #receivedBytes: Histogram;

  constructor(registry: MetricRegistry, labels: PathLabels, latencyBounds: readonly number[]) {
    this.#server = serverSlots(registry, labels, latencyBounds);
    this.#client = clientSlots(registry, labels, latencyBounds);
    const bytes = (name: string, help: string): Histogram => registry.histogram(name, help, SIZE_BOUNDS).slot();
    this.#requestBytes = bytes("http_server_request_bytes", "Bytes of the bodies of requests to the HTTP API.");
    this.#responseBytes = bytes("http_server_response_bytes", "Bytes of the bodies of its answers.");
    this.#receivedBytes = bytes("http_client_received_bytes", "Bytes of the bodies of the answers to calls over HTTP.");
  }

  served({ method, countedPath, status, requestBytes, responseBytes, durationMs }: HttpApiCall): void {
    const { requests, responses, latency } = this.#server.of(method, countedPath, status);
    requests.add();
    responses.add();
    latency.record(durationMs);
    this.#requestBytes.record(requestBytes);
    this.#responseBytes.record(responseBytes);
  }

  called({ method, path, status, sentBytes, receivedBytes, durationMs }: HttpClientCall): void {
    const slots = this.#client.of(method, path, status);
    slots.completed.add();
    slots.latency.record(durationMs);
    slots.sentBytes.record(sentBytes);
    this.#receivedBytes.record(receivedBytes);
  }
}

function serverSlots(
  registry: MetricRegistry,
  labels: PathLabels,
  latencyBounds: readonly number[],
): CallSlots<ServerSlots> {
  const requests = registry.counter("http_server_request_count", "Requests to the HTTP API.", ...LABELS);
  const responses = registry.counter("http_server_response_count", "Answers of the HTTP API.", ...LABELS);
  const latency = registry.histogram(
    "http_server_latency",
    "Milliseconds from a request to the last byte of its answer.",
    latencyBounds,
    ...LABELS,
  );
  return new CallSlots((method, path, status) => {
    const values = [labels.methodOf(method), labels.pathOf(path), String(status)];
    return {
      requests: requests.slot(...values),
      responses: responses.slot(...values),
      latency: latency.slot(...values),
    };
  });
}

function clientSlots(
  registry: MetricRegistry,
  labels: PathLabels,
  latencyBounds: readonly number[],
): CallSlots<ClientSlots> {
  const completed = registry.counter("http_client_completed_count", "Calls over HTTP that are over.", ...LABELS);
  const latency = registry.histogram(
    "http_client_roundtrip_latency",
    "Milliseconds from a call over HTTP to the head of its answer.",
    latencyBounds,
    ...LABELS,
  );
  const sentBytes = registry.histogram(
    "http_client_sent_bytes",
    "Bytes of the bodies of calls over HTTP.",
    SIZE_BOUNDS,
    ...LABELS,
  );
  return new CallSlots((method, path, status) => {
    const [verb, place] = [labels.methodOf(method), labels.pathOf(path)];
    const values = [verb, place, String(status)];
    return {
      completed: completed.slot(...values),
      latency: latency.slot(...values),
      // Counted in daprd when the call begins.
      sentBytes: sentBytes.slot(verb, place, ""),
    };
  });
}
