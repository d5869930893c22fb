import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { abortReason, type CallSignal } from "../../core/call-signal.ts";
import { messageOf, nothingWasSent } from "../../core/errors.ts";
import { GRPC_CODE, nameOfCode } from "../../core/grpc-code.ts";
import type { Logger } from "../../core/logger.ts";
import { traceContextOf } from "../../core/trace-context.ts";
import {
  AppCallback,
  AppCallbackAlpha,
  type TopicEventBulkRequestEntrySchema,
  type TopicEventBulkRequestSchema,
  type TopicEventBulkResponse,
  type TopicEventBulkResponseEntry,
  TopicEventCERequestSchema,
} from "../../gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import type { AppChannel } from "../../invocation/ports.ts";
import { CloudEvent } from "../../pubsub/cloud-event.ts";
import type { BulkDelivery, BulkEntry, Delivery, EventApp, Reception } from "../../pubsub/ports.ts";
import type { TopicSubscription } from "../../resources/subscription-spec.ts";
import { GrpcClient, type UnaryOptions } from "../grpc/grpc-client.ts";
import { GrpcError } from "../grpc/status.ts";
import { cloudEventOf, receptionOfTopicStatus, topicEventOf, unsayable } from "../grpc/topic-event.ts";
import { UpstreamError } from "../upstream/upstream.ts";
import { ChannelUpstream } from "./channel-upstream.ts";
import { eventMetadata } from "./event-metadata.ts";
import { subscriptionsSaidOverGrpc } from "./grpc-subscriptions.ts";

export interface GrpcEventAppParts {
  /** To the app, under the rules of calls: its health, its slots. */
  readonly channel: AppChannel;
  /** Of an answer. */
  readonly maxAnswerBytes: number;
  readonly log: Logger;
}

/** The sidecar's own app, handed its events over gRPC: `AppCallback` (A8). */
export class GrpcEventApp implements EventApp {
  readonly #client: GrpcClient;
  readonly #log: Logger;
  /** The app has but the older method for batches. */
  #isAlpha = false;

  constructor({ channel, maxAnswerBytes, log }: GrpcEventAppParts) {
    this.#client = new GrpcClient(new ChannelUpstream(channel), maxAnswerBytes);
    this.#log = log;
  }

  async subscriptions(signal: CallSignal): Promise<readonly TopicSubscription[]> {
    try {
      const { message } = await this.#client.unary(AppCallback.method.listTopicSubscriptions, {}, { signal });
      return subscriptionsSaidOverGrpc(message.subscriptions, this.#log);
    } catch (error) {
      if (isUnimplemented(error)) return [];
      if (signal.aborted) throw abortReason(signal);
      throw new Error(`AppCallback/ListTopicSubscriptions: ${wordsOf(error)}`, { cause: error });
    }
  }

  async deliver(delivery: Delivery, signal: CallSignal): Promise<Reception> {
    const event = attempt(() => topicEventOf(delivery));
    if (event instanceof Error) return unsayable(event);
    try {
      const metadata = eventMetadata(delivery.metadata, delivery);
      const { message } = await this.#client.unary(AppCallback.method.onTopicEvent, event, { metadata, signal });
      return receptionOfTopicStatus(message.status);
    } catch (error) {
      return failureOf(error, "OnTopicEvent", signal);
    }
  }

  async deliverBulk(delivery: BulkDelivery, signal: CallSignal): Promise<readonly Reception[]> {
    const entries = delivery.entries.map((entry) => attempt(() => bulkEntryOf(entry)));
    const sayable = entries.flatMap((entry) => (entry instanceof Error ? [] : [entry]));
    const receptionOf = await this.#answerTo(delivery, sayable, signal);
    return delivery.entries.map(({ entryId }, at) => {
      const entry = entries[at];
      return entry instanceof Error ? unsayable(entry) : receptionOf(entryId);
    });
  }

  /** @returns what became of each, by its entryId. @throws the signal's reason alone. */
  async #answerTo(
    delivery: BulkDelivery,
    entries: SaidEntry[],
    signal: CallSignal,
  ): Promise<(entryId: string) => Reception> {
    if (entries.length === 0) return () => NO_STATUS;
    const { id, pubsub: pubsubName, topic, path, metadata } = delivery;
    const batch = { id, entries, metadata: Object.fromEntries(metadata), topic, pubsubName, type: BULK_TYPE, path };
    try {
      const { statuses } = await this.#callBulk(batch, { metadata: eventMetadata(metadata, NO_TRACE), signal });
      this.#logStrangers(delivery, statuses);
      const said = new Map(statuses.map(({ entryId, status }) => [entryId, receptionOfTopicStatus(status)]));
      return (entryId) => said.get(entryId) ?? NO_STATUS;
    } catch (error) {
      const failed = failureOf(error, "OnBulkTopicEvent", signal);
      return () => failed;
    }
  }

  /** Over the older method where the app has no other (A10). */
  async #callBulk(
    batch: MessageInitShape<typeof TopicEventBulkRequestSchema>,
    options: UnaryOptions,
  ): Promise<TopicEventBulkResponse> {
    const [stable, alpha] = [AppCallback.method.onBulkTopicEvent, AppCallbackAlpha.method.onBulkTopicEventAlpha1];
    const [first, second] = this.#isAlpha ? [alpha, stable] : [stable, alpha];
    try {
      return (await this.#client.unary(first, batch, options)).message;
    } catch (error) {
      if (!isUnimplemented(error)) throw error;
      const { message } = await this.#client.unary(second, batch, options);
      this.#isAlpha = !this.#isAlpha;
      return message;
    }
  }

  #logStrangers(
    { entries, pubsub, topic, subscription, path }: BulkDelivery,
    statuses: readonly TopicEventBulkResponseEntry[],
  ): void {
    const known = new Set(entries.map(({ entryId }) => entryId));
    for (const { entryId } of statuses) {
      if (known.has(entryId)) continue;
      const said = { component: pubsub, topic, subscription, path, entry: entryId.slice(0, MAX_LOGGED_ID) };
      this.#log.warn("the app has answered for an event that it was not handed", said);
    }
  }
}

const MAX_LOGGED_ID = 100;
const BULK_TYPE = "com.dapr.event.sent.bulk";

/** Of a batch, whose events each have their own. */
const NO_TRACE = traceContextOf([]);

type SaidEntry = MessageInitShape<typeof TopicEventBulkRequestEntrySchema>;

function bulkEntryOf({ entryId, event, metadata, contentType = "" }: BulkEntry): SaidEntry {
  const beside = { entryId, metadata: Object.fromEntries(metadata) };
  if (!(event instanceof CloudEvent)) return { ...beside, contentType, event: { case: "bytes", value: event } };
  // It says the type of its data itself (observed-grpc, "to a bulk subscriber").
  const value = create(TopicEventCERequestSchema, cloudEventOf(event));
  return { ...beside, event: { case: "cloudEvent", value } };
}

const NO_STATUS: Reception = { kind: "retry", why: "the app's answer has no status for the event", code: undefined };

/**
 * An app without the method has no use for its events, and says nothing about dead letters (A8, A12).
 *
 * @throws the signal's reason where it has fired, but for what never went to the app.
 */
function failureOf(error: unknown, method: string, signal: CallSignal): Reception {
  const isUnreached = nothingWasSent(error);
  if (signal.aborted && !isUnreached) throw abortReason(signal);
  const why = `AppCallback/${method}: ${wordsOf(error)}`;
  if (error instanceof GrpcError) {
    const code = { protocol: "grpc", code: error.grpcCode } as const;
    if (!isUnimplemented(error)) return { kind: "retry", why, code };
    return { kind: "drop", why, isDeadLetter: false, level: "error", code };
  }
  // What gRPC's own libraries call a lost connection. What kept the event from being sent has no code.
  const code =
    error instanceof UpstreamError ? ({ protocol: "grpc", code: GRPC_CODE.UNAVAILABLE } as const) : undefined;
  return isUnreached ? { kind: "unreached", why, code, isGone: false } : { kind: "retry", why, code };
}

function isUnimplemented(error: unknown): boolean {
  return error instanceof GrpcError && error.grpcCode === GRPC_CODE.UNIMPLEMENTED;
}

function wordsOf(error: unknown): string {
  return error instanceof GrpcError ? `${nameOfCode(error.grpcCode)}: ${error.message}` : messageOf(error);
}

function attempt<T>(make: () => T): T | Error {
  try {
    return make();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
