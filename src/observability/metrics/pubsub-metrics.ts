import type { ProcessStatus, PubSubObserver } from "../../pubsub/ports.ts";
import { CallSlots } from "./call-slots.ts";
import type { MetricRegistry } from "./registry.ts";
import type { Counter, Histogram } from "./slots.ts";

interface Slots {
  readonly count: Counter;
  readonly latency: Histogram;
}

interface BulkSlots extends Slots {
  readonly events: Counter;
}

const LABELS = ["component", "namespace", "topic"] as const;

/** `dapr_component_pubsub_*`: events that are published, and those that are delivered. */
export class PubSubMetrics implements PubSubObserver {
  readonly #published: CallSlots<Slots, boolean>;
  readonly #bulkPublished: CallSlots<Slots, boolean>;
  /** By what became of the event, then by what the app said. */
  readonly #delivered: Readonly<Record<ProcessStatus, CallSlots<Slots, string>>>;
  readonly #bulkDelivered: CallSlots<BulkSlots, ProcessStatus>;

  /** @param latencyBounds ascending, in milliseconds. */
  constructor(registry: MetricRegistry, namespace: string, latencyBounds: readonly number[]) {
    const family = (part: string, what: string, ...labels: readonly string[]) => {
      const name = `component_pubsub_${part}`;
      const all = [...LABELS, ...labels];
      const count = registry.counter(`${name}_count`, `${what}.`, ...all);
      const help = `Milliseconds that they took: ${what.toLowerCase()}.`;
      const latency = registry.histogram(`${name}_latencies`, help, latencyBounds, ...all);
      return (component: string, topic: string, ...values: readonly string[]): Slots => ({
        count: count.slot(component, namespace, topic, ...values),
        latency: latency.slot(component, namespace, topic, ...values),
      });
    };
    const published = family("egress", "Events that were published", "success");
    const bulkPublished = family("egress_bulk", "Requests that published events in bulk", "success");
    const delivered = family("ingress", "Events that were delivered", "process_status", "status");
    const bulkDelivered = family("ingress_bulk", "Requests that delivered events in bulk", "process_status");
    const events = registry.counter(
      "component_pubsub_ingress_bulk_event_count",
      "Events that were delivered in bulk.",
      ...LABELS,
      "process_status",
    );
    this.#published = new CallSlots((component, topic, ok) => published(component, topic, String(ok)));
    this.#bulkPublished = new CallSlots((component, topic, ok) => bulkPublished(component, topic, String(ok)));
    const deliveredAs = (outcome: ProcessStatus) =>
      // As in daprd: what nobody was asked has the status of what became of it.
      new CallSlots((component: string, topic: string, said: string) =>
        delivered(component, topic, outcome, said === "" ? outcome : said),
      );
    this.#delivered = {
      success: deliveredAs("success"),
      drop: deliveredAs("drop"),
      retry: deliveredAs("retry"),
    };
    this.#bulkDelivered = new CallSlots((component, topic, outcome) => ({
      ...bulkDelivered(component, topic, outcome),
      events: events.slot(component, namespace, topic, outcome),
    }));
  }

  published(component: string, topic: string, isSuccess: boolean, ms: number): void {
    record(this.#published.of(component, topic, isSuccess), ms);
  }

  bulkPublished(component: string, topic: string, isSuccess: boolean, ms: number): void {
    record(this.#bulkPublished.of(component, topic, isSuccess), ms);
  }

  delivered(component: string, topic: string, processStatus: ProcessStatus, status: string, ms: number): void {
    record(this.#delivered[processStatus].of(component, topic, status), ms);
  }

  bulkDelivered(component: string, topic: string, processStatus: ProcessStatus, events: number, ms: number): void {
    const slots = this.#bulkDelivered.of(component, topic, processStatus);
    record(slots, ms);
    slots.events.add(events);
  }
}

function record({ count, latency }: Slots, ms: number): void {
  count.add();
  latency.record(ms);
}
