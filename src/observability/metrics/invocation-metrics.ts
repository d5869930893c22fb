import { CallSlots } from "./call-slots.ts";
import type { MetricRegistry } from "./registry.ts";
import type { Counter, Histogram } from "./slots.ts";

const STREAMING = "streaming";
export type InvocationType = "unary" | typeof STREAMING;

interface AnswerSlots {
  readonly count: Counter;
  /** Undefined where the call streams. */
  readonly latency: Histogram | undefined;
}

/** `dapr_runtime_service_invocation_*`: calls from app to app, on the side of the caller and of the callee. */
export class InvocationMetrics {
  readonly #sent: CallSlots<Counter>;
  readonly #answered: CallSlots<AnswerSlots>;
  readonly #received: CallSlots<Counter>;
  readonly #answers: CallSlots<Counter>;

  constructor(registry: MetricRegistry, latencyBounds: readonly number[]) {
    const name = (part: string): string => `runtime_service_invocation_${part}`;
    const sent = registry.counter(name("req_sent_total"), "Calls sent to other apps.", "dst_app_id", "type");
    const answered = registry.counter(
      name("res_recv_total"),
      "Answers of other apps.",
      ...["src_app_id", "status", "type"],
    );
    const latency = registry.histogram(
      name("res_recv_latency_ms"),
      "Milliseconds from a call to another app to the head of its answer.",
      latencyBounds,
      ...["src_app_id", "status"],
    );
    const received = registry.counter(name("req_recv_total"), "Calls that other apps sent.", "src_app_id");
    const answers = registry.counter(name("res_sent_total"), "Answers to other apps.", "dst_app_id", "status");
    this.#sent = new CallSlots((type, app) => sent.slot(app, type));
    this.#answered = new CallSlots((type, app, status) => ({
      count: answered.slot(app, String(status), type),
      latency: type === STREAMING ? undefined : latency.slot(app, String(status)),
    }));
    this.#received = new CallSlots((_type, app) => received.slot(app));
    this.#answers = new CallSlots((_type, app, status) => answers.slot(app, String(status)));
  }

  sent(callee: string, type: InvocationType): void {
    this.#sent.of(type, callee, 0).add();
  }

  /** @param status of HTTP, or of gRPC where the call streams, which then has no latency of its own here. */
  answered(callee: string, type: InvocationType, status: number, durationMs: number): void {
    const { count, latency } = this.#answered.of(type, callee, status);
    count.add();
    latency?.record(durationMs);
  }

  received(caller: string): void {
    this.#received.of("", caller, 0).add();
  }

  served(caller: string, status: number): void {
    this.#answers.of("", caller, status).add();
  }
}
