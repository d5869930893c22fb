import { goJson } from "../../../core/go-json.ts";
import { headerValue } from "../../../core/raw-headers.ts";
import type { CloudEvent } from "../../../pubsub/cloud-event.ts";
import type { PublishedEvent, PublishTarget } from "../../../pubsub/publisher.ts";
import type { RuleTrial } from "../../../pubsub/routing.ts";
import type { Subscriptions, SubscriptionTrial, SubscriptionType } from "../../../pubsub/subscriptions.ts";
import { wholeBody } from "../../whole-body.ts";
import { answer } from "../answer.ts";
import type { ApiRequest } from "../api-request.ts";
import { publishMetadataOf } from "../publish-path.ts";
import { bodyTooLarge, requestBodyOf } from "../request-body.ts";

/** The part of a publisher that a dry run asks. */
export interface EventMaker {
  /**
   * What publishing would publish: for an event that is wrapped its envelope, for a raw payload what a subscription to raw
   * payloads makes of it. Nothing is published.
   *
   * @throws {OutriggerError} as publishing does: no such component, the scopes forbid the topic, metadata or event are malformed.
   */
  envelopeFor(target: PublishTarget, event: PublishedEvent): CloudEvent;
}

/** As it is answered. `event` is the envelope. */
export interface DryRunJson {
  readonly event: Readonly<Record<string, unknown>>;
  readonly subscriptions: readonly TrialJson[];
}

export interface TrialJson {
  readonly pubsubname: string;
  readonly topic: string;
  readonly type: SubscriptionType;
  readonly description: string;
  /** The path that gets the event; absent where none does: then `why` says why. */
  readonly path?: string | undefined;
  readonly why?: string | undefined;
  readonly deadLetterTopic?: string | undefined;
  readonly rules: readonly RuleTrial[];
}

export interface DryRunRoute {
  readonly subscriptions: Pick<Subscriptions, "try">;
  readonly maker: EventMaker;
  readonly maxBodyBytes: number;
}

/** Takes what publishing takes, and says what would become of it at this app's subscriptions. */
export async function dryRun(route: DryRunRoute, request: ApiRequest, pubsub: string, topic: string): Promise<void> {
  const { exchange, headers, query, trace, traceHeaders } = request;
  const { signal } = exchange;
  const { maxBodyBytes } = route;
  const body = await requestBodyOf(exchange, maxBodyBytes);
  const data = await wholeBody(body, maxBodyBytes, signal, () => bodyTooLarge(maxBodyBytes));
  const contentType = headerValue(headers, "content-type");
  const metadata = publishMetadataOf(query);
  const event = route.maker.envelopeFor({ pubsub, topic, metadata, trace, signal }, { data, contentType });
  const trials = (await route.subscriptions.try(pubsub, topic, event)).map(trialJson);
  // The envelope goes out as the text that it is: its numbers stay as exact as they came.
  const text = `{"event":${event.toJson()},"subscriptions":${goJson(trials)}}`;
  answer(exchange, 200, { type: "application/json", text }, traceHeaders);
}

function trialJson({ type, subscription, description, rules, path, why }: SubscriptionTrial): TrialJson {
  const { pubsub, topic, deadLetterTopic } = subscription;
  return { pubsubname: pubsub, topic, type, description, path, why, deadLetterTopic, rules };
}
