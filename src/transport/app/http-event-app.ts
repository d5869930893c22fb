import { abortReason, type CallSignal } from "../../core/call-signal.ts";
import { messageOf, nothingWasSent } from "../../core/errors.ts";
import { goJson } from "../../core/go-json.ts";
import type { Logger } from "../../core/logger.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { traceContextOf } from "../../core/trace-context.ts";
import type { AppChannel } from "../../invocation/ports.ts";
import { CloudEvent } from "../../pubsub/cloud-event.ts";
import type { BulkDelivery, BulkEntry, Delivery, EventApp, Reception } from "../../pubsub/ports.ts";
import type { TopicSubscription } from "../../resources/subscription-spec.ts";
import { wholeBody } from "../whole-body.ts";
import { eventHeaders } from "./event-headers.ts";
import { again, bulkReceptionsOf, type EventAnswer, receptionOf, unreached } from "./http-receptions.ts";
import { subscriptionsSaidOverHttp } from "./http-subscriptions.ts";

export interface HttpEventAppParts {
  /** To the app, under the rules of calls: its health, its slots, its pipeline. */
  readonly channel: AppChannel;
  readonly appId: string;
  /** Of an answer; what is longer is not read. */
  readonly maxAnswerBytes: number;
  readonly log: Logger;
}

/** The sidecar's own app, handed its events over HTTP (A8). */
export class HttpEventApp implements EventApp {
  readonly #parts: HttpEventAppParts;

  constructor(parts: HttpEventAppParts) {
    this.#parts = parts;
  }

  async subscriptions(signal: CallSignal): Promise<readonly TopicSubscription[]> {
    const { appId, log } = this.#parts;
    // As daprd asks (observed/, "start").
    const headers = ["Content-Type", "application/json", "Dapr-App-Id", appId];
    const [path, method] = ["/dapr/subscribe", "GET"];
    const request = { method, path, query: undefined, headers, body: undefined, contentLength: undefined, signal };
    return subscriptionsSaidOverHttp(await this.#answerTo(request), log);
  }

  async deliver(delivery: Delivery, signal: CallSignal): Promise<Reception> {
    const { path, event, metadata } = delivery;
    const headers = eventHeaders("application/cloudevents+json", metadata, delivery);
    const answer = await this.#answerOrFailure(postOf(path, headers, event.toJson(), signal));
    if ("kind" in answer) return answer;
    if (answer.body === undefined && answer.status < 300) this.#logUnread(delivery, event.text("id"));
    return receptionOf(answer);
  }

  async deliverBulk(delivery: BulkDelivery, signal: CallSignal): Promise<readonly Reception[]> {
    const { path, entries, metadata, pubsub, topic, subscription } = delivery;
    const headers = eventHeaders("application/json", metadata, NO_TRACE);
    const answer = await this.#answerOrFailure(postOf(path, headers, bulkJson(delivery), signal));
    if ("kind" in answer) return entries.map(() => answer);
    return bulkReceptionsOf(answer, entries, (entryId) => {
      const said = { component: pubsub, topic, subscription, path, entry: entryId.slice(0, MAX_LOGGED_ID) };
      this.#parts.log.warn("the app has answered for an event that it was not handed", said);
    });
  }

  /** @returns what having no answer means. @throws the signal's reason alone. */
  async #answerOrFailure(request: RequestMessage): Promise<EventAnswer | Reception> {
    try {
      return await this.#answerTo(request);
    } catch (error) {
      if (nothingWasSent(error)) return unreached(messageOf(error));
      if (request.signal.aborted) throw abortReason(request.signal);
      return again(messageOf(error));
    }
  }

  async #answerTo(request: RequestMessage): Promise<EventAnswer> {
    const response = await this.#parts.channel.call(request);
    return { status: response.status, body: await this.#bodyOf(response, request.signal) };
  }

  /**
   * Undefined where it is too large.
   *
   * @throws what it breaks with, where it has to be known: what a broken off answer would have said is anybody's guess.
   */
  async #bodyOf({ body, status }: ResponseMessage, signal: CallSignal): Promise<Uint8Array | undefined> {
    // Most are empty or bytes already.
    if (body === undefined || body instanceof Uint8Array) return body ?? NO_BYTES;
    try {
      return await wholeBody(body, this.#parts.maxAnswerBytes, signal, () => new AnswerTooLarge());
    } catch (error) {
      if (signal.aborted) throw abortReason(signal);
      if (error instanceof AnswerTooLarge || status > 299) return undefined;
      throw error;
    }
  }

  #logUnread({ pubsub, topic, subscription, path }: Delivery, id: string | undefined): void {
    const bytes = this.#parts.maxAnswerBytes;
    const what = "the app's answer to an event is larger than --max-body-size and was not read; it counts as success";
    this.#parts.log.warn(what, { component: pubsub, topic, subscription, path, event: id, bytes });
  }
}

class AnswerTooLarge extends Error {}

const MAX_LOGGED_ID = 100;

const NO_BYTES = new Uint8Array();

/** Of a batch, whose events each have their own. */
const NO_TRACE = traceContextOf([]);

function postOf(route: string, headers: string[], json: string, signal: CallSignal): RequestMessage {
  const [path, query] = targetOf(route);
  const body = Buffer.from(json);
  return { method: "POST", path, query, headers, body, contentLength: body.length, signal };
}

const UNSPEAKABLE = /[^!-~]|#/g;

/** As it was written, but for what cannot stand in a request, which is escaped. */
function targetOf(route: string): readonly [path: string, query: string | undefined] {
  const isPlain = route.search(UNSPEAKABLE) === -1;
  const target = isPlain ? route : escaped(route);
  const rooted = target.startsWith("/") ? target : `/${target}`;
  const at = rooted.indexOf("?");
  return at === -1 ? [rooted, undefined] : [rooted.slice(0, at), rooted.slice(at + 1)];
}

function escaped(route: string): string {
  const bytes = Buffer.from(route).toString("latin1");
  return bytes.replaceAll(UNSPEAKABLE, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}

/** observed/, "to a bulk subscriber". */
function bulkJson({ id, entries, metadata, pubsub, topic }: BulkDelivery): string {
  const about = { id, metadata: Object.fromEntries(metadata), pubsubname: pubsub, topic, type: BULK_TYPE };
  return `{"entries":[${entries.map(entryJson).join(",")}],${goJson(about).slice(1)}`;
}

const BULK_TYPE = "com.dapr.event.sent.bulk";

function entryJson({ entryId, event, metadata, contentType = "application/octet-stream" }: BulkEntry): string {
  const [said, type] =
    event instanceof CloudEvent
      ? [event.toJson(), "application/cloudevents+json"]
      : [goJson(Buffer.from(event).toString("base64")), contentType];
  const beside = goJson(Object.fromEntries(metadata));
  return `{"entryId":${goJson(entryId)},"event":${said},"metadata":${beside},"contentType":${goJson(type)}}`;
}
