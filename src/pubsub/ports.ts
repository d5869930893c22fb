import type { PubSub } from "../components/contract/pubsub.ts";
import type { CallSignal } from "../core/call-signal.ts";
import type { FailureCode } from "../resiliency/matching.ts";
import type { ResiliencyPolicies } from "../resiliency/resiliency-policies.ts";
import type { SubscriptionSpec, TopicSubscription } from "../resources/subscription-spec.ts";
import type { CloudEvent } from "./cloud-event.ts";
import type { TopicScopes } from "./scopes.ts";

/** What pub/sub needs from the outside. Implemented by transport/ and runtime/. */

/** A `pubsub.*` component that is ready, with what its Component says about who may do what. */
export interface PubSubComponent {
  readonly name: string;
  /** As `spec.type` says: `pubsub.redis`. */
  readonly type: string;
  readonly broker: PubSub;
  /** `consumerID`; the app's id where there is none. */
  readonly group: string;
  readonly scopes: TopicScopes;
}

/** What resources say of events. They may be others from one event to the next: each asks once and goes on with what it got. */
export interface EventRules {
  /** By their names. A component that is in two states of the resources is the same object. */
  readonly pubsubs: ReadonlyMap<string, PubSubComponent>;
  readonly subscriptions: readonly SubscriptionSpec[];
  readonly policies: ResiliencyPolicies | undefined;
}

/** A way to hand events to an app, or to a client that has subscribed over a stream. */
export interface EventReceiver {
  /** Never rejects but with the signal's reason. */
  deliver(delivery: Delivery, signal: CallSignal): Promise<Reception>;
  /** @returns for each entry, by its place. The same holds. */
  deliverBulk(delivery: BulkDelivery, signal: CallSignal): Promise<readonly Reception[]>;
}

/** The sidecar's own app. The code above never learns whether it is HTTP or gRPC. */
export interface EventApp extends EventReceiver {
  /**
   * What the app says that it subscribes to (`GET /dapr/subscribe`, `ListTopicSubscriptions`); empty where it has no such door.
   *
   * @throws {Error} where it could not be asked: ask again later.
   */
  subscriptions(signal: CallSignal): Promise<readonly TopicSubscription[]>;
}

/** One event on its way to one route. */
export interface Delivery {
  readonly pubsub: string;
  /** The one that the event was published to. */
  readonly topic: string;
  /** What the log calls the subscription. */
  readonly subscription: string;
  /** Begins with a slash; empty where a gRPC app's subscription has no default. */
  readonly path: string;
  readonly event: CloudEvent;
  /** What the broker said beside the event, `pubsubName` included: headers, or metadata of gRPC. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Of the span of this delivery, or of the event; empty where that has no place for one. */
  readonly traceparent: string;
  readonly tracestate: string | undefined;
}

export interface BulkDelivery {
  /** A UUID. */
  readonly id: string;
  readonly pubsub: string;
  readonly topic: string;
  readonly subscription: string;
  readonly path: string;
  readonly entries: readonly BulkEntry[];
  readonly metadata: ReadonlyMap<string, string>;
}

export interface BulkEntry {
  /** A UUID: two entries never have the same. */
  readonly entryId: string;
  /** A CloudEvent, or bytes where the subscription is to raw payloads. */
  readonly event: CloudEvent | Uint8Array;
  readonly contentType: string | undefined;
  readonly metadata: ReadonlyMap<string, string>;
}

/** What became of an event at the app (A8). */
export type Reception =
  | { readonly kind: "success" }
  /** To be tried again. */
  | { readonly kind: "retry"; readonly why: string; readonly code: FailureCode | undefined }
  /** Nobody has got it, or who had it has left without a word: it is handed out again, and is no dead letter for that. */
  | {
      readonly kind: "unreached";
      readonly why: string;
      readonly code: FailureCode | undefined;
      /** Whoever should have got it has left for good: trying that way again is in vain. */
      readonly isGone: boolean;
    }
  /** Not to be tried again. */
  | {
      readonly kind: "drop";
      readonly why: string;
      /** False where not even the dead letter topic gets it. */
      readonly isDeadLetter: boolean;
      /** How loud it is to be said: a mistake of somebody's (a route that is not there), or the app's will. */
      readonly level: "warn" | "error";
      readonly code: FailureCode | undefined;
    };

/** Told what became of events, for what is counted (metric names: A9). Must not throw. */
export interface PubSubObserver {
  published(component: string, topic: string, isSuccess: boolean, ms: number): void;
  bulkPublished(component: string, topic: string, isSuccess: boolean, ms: number): void;
  /** @param status as the app said: "success", "retry", "drop"; empty for what it was never asked. */
  delivered(component: string, topic: string, processStatus: ProcessStatus, status: string, ms: number): void;
  bulkDelivered(component: string, topic: string, processStatus: ProcessStatus, events: number, ms: number): void;
}

export type ProcessStatus = "success" | "drop" | "retry";
