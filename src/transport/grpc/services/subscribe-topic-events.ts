import { messageOf, OutriggerError } from "../../../core/errors.ts";
import type { Logger } from "../../../core/logger.ts";
import { Dapr } from "../../../gen/dapr/proto/runtime/v1/dapr_pb.ts";
import type {
  SubscribeTopicEventsRequestAlpha1,
  SubscribeTopicEventsRequestInitialAlpha1,
} from "../../../gen/dapr/proto/runtime/v1/pubsub_pb.ts";
import { descriptionOfStream } from "../../../pubsub/event-log.ts";
import type { StreamingSubscription, Subscriptions } from "../../../pubsub/subscriptions.ts";
import type { TopicSubscription } from "../../../resources/subscription-spec.ts";
import type { HealthSource } from "../../http/routes/health.ts";
import { statusOfFailed } from "../error-status.ts";
import { EventStream } from "../event-stream.ts";
import type { GrpcCall } from "../grpc-call.ts";
import type { GrpcRequest } from "../service.ts";
import { type GrpcStatus, grpcError, OK } from "../status.ts";
import { decode, encode, type Method, traceMetadata } from "./methods.ts";

export interface StreamingParts {
  readonly subscriptions: Pick<Subscriptions, "stream">;
  /** Streams end with the sidecar. */
  readonly ending: Pick<HealthSource, "isEnding" | "onChange">;
  readonly log: Logger;
}

const { name, input, output } = Dapr.method.subscribeTopicEventsAlpha1;

/**
 * A subscription of the client that calls, for as long as its stream is open (A8; observed-grpc,
 * "SubscribeTopicEventsAlpha1", for what is said in errors).
 */
export function subscribeTopicEvents(parts: StreamingParts): Method {
  return [
    name,
    async (request) => {
      const requests = requestsOf(request.call);
      const wanted = subscriptionOf(await initialRequest(requests));
      const { pubsub: component, topic } = wanted;
      const place = { component, topic, subscription: descriptionOfStream(wanted) };
      const events = new EventStream(place, parts.log);
      await serve(request, requests, events, await begun(parts, wanted, events), parts);
    },
  ];
}

/** Answers the call. What goes wrong from here on is its status. */
async function serve(
  { call, trace }: GrpcRequest,
  requests: AsyncIterable<SubscribeTopicEventsRequestAlpha1>,
  events: EventStream,
  subscription: StreamingSubscription,
  { ending, log }: StreamingParts,
): Promise<void> {
  const stream = call.stream(traceMetadata(trace));
  let status: GrpcStatus = OK;
  try {
    const greeting = { case: "initialResponse", value: {} } as const;
    await stream.send(encode(output, { subscribeTopicEventsResponseType: greeting }));
    events.open((message) => stream.send(encode(output, message)));
    await untilOver(readAnswers(requests, events), subscription, ending);
  } catch (error) {
    // Nobody is left to be told of a caller that has left.
    if (!stream.destroyed) status = statusOfFailed(call, error, log);
  }
  // First of all it is handed nothing more: what came now would be for nobody.
  const closed = subscription.close();
  events.close();
  stream.finish(status);
  await closed;
}

/** Resolves when the client has no more to say. @throws {GrpcError} UNAVAILABLE once the sidecar ends, when the client has answered what it has. */
function untilOver(
  reading: Promise<void>,
  subscription: StreamingSubscription,
  ending: StreamingParts["ending"],
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const endWithSidecar = (): void => {
      if (!ending.isEnding) return;
      const over = (): void => {
        reject(grpcError("UNAVAILABLE", "the sidecar is ending"));
      };
      subscription.close().then(over, over);
    };
    const forget = ending.onChange(endWithSidecar);
    reading.finally(forget).then(resolve, reject);
    endWithSidecar();
  });
}

async function* requestsOf(call: GrpcCall): AsyncGenerator<SubscribeTopicEventsRequestAlpha1> {
  for await (const message of call.messages()) yield decode(input, message);
}

async function initialRequest(
  requests: AsyncIterator<SubscribeTopicEventsRequestAlpha1>,
): Promise<SubscribeTopicEventsRequestInitialAlpha1> {
  const first = await requests.next();
  // UNKNOWN is what daprd says where the first message is not what it should be.
  const asked = first.done === true ? undefined : first.value.subscribeTopicEventsRequestType;
  if (asked?.case !== "initialRequest") throw grpcError("UNKNOWN", "initial request is required");
  if (asked.value.pubsubName === "") throw grpcError("UNKNOWN", "pubsubName is required");
  if (asked.value.topic === "") throw grpcError("UNKNOWN", "topic is required");
  return asked.value;
}

function subscriptionOf(initial: SubscribeTopicEventsRequestInitialAlpha1): TopicSubscription {
  const { pubsubName: pubsub, topic, metadata, deadLetterTopic = "" } = initial;
  return {
    pubsub,
    topic,
    metadata: new Map(Object.entries(metadata)),
    rules: [],
    // As daprd says to its clients.
    defaultPath: "/",
    deadLetterTopic: deadLetterTopic === "" ? undefined : deadLetterTopic,
    bulk: undefined,
  };
}

/** @throws {OutriggerError} pubsubNotFound. @throws {GrpcError} UNKNOWN, in daprd's way, for whatever else keeps it from being. */
async function begun(
  { subscriptions }: StreamingParts,
  wanted: TopicSubscription,
  events: EventStream,
): Promise<StreamingSubscription> {
  try {
    return await subscriptions.stream(wanted, events);
  } catch (error) {
    if (error instanceof OutriggerError) throw error;
    throw grpcError("UNKNOWN", messageOf(error), { cause: error });
  }
}

async function readAnswers(
  requests: AsyncIterable<SubscribeTopicEventsRequestAlpha1>,
  events: EventStream,
): Promise<void> {
  for await (const { subscribeTopicEventsRequestType: said } of requests) {
    if (said.case !== "eventProcessed") throw grpcError("UNKNOWN", "duplicate initial request received");
    events.answered(said.value);
  }
}
