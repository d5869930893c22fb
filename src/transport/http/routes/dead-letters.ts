import { isUtf8 } from "node:buffer";
import { OutriggerError } from "../../../core/errors.ts";
import { goJson } from "../../../core/go-json.ts";
import type { DeadLetterDetail } from "../../../pubsub/dead-letter-details.ts";
import type { DeadLetterPlace, DeadLetterQueue, DeadLetterTopic } from "../../../pubsub/dead-letter-queue.ts";
import type { StoredDeadLetter } from "../../../pubsub/stored-dead-letter.ts";
import { answer } from "../answer.ts";
import type { ApiRequest } from "../api-request.ts";

/** A dead letter topic, as it is answered. */
export interface DeadLetterTopicJson {
  readonly pubsub: string;
  readonly topic: string;
  /** The topics whose dead letters it gets. */
  readonly of: readonly string[];
  /** Absent where they cannot be counted: then `error` says why. */
  readonly count?: number | undefined;
  /** There are more than were counted. */
  readonly more: boolean;
  readonly oldest?: string | undefined;
  readonly error?: string | undefined;
}

/** What a list has of an event. */
export interface DeadLetterJson extends DeadLetterWhy {
  /** The broker's. */
  readonly id: string;
  readonly time: string;
  /** Bytes. */
  readonly size: number;
  readonly contentType?: string | undefined;
  /** Of the CloudEvent. Absent where it is none. */
  readonly event?: {
    readonly id?: string | undefined;
    readonly type?: string | undefined;
    readonly source?: string | undefined;
  };
  readonly originalTopic?: string | undefined;
}

type DeadLetterWhy = Readonly<Partial<Record<DeadLetterDetail, string>>>;

export interface WholeDeadLetterJson extends DeadLetterJson {
  readonly metadata: Readonly<Record<string, string>>;
  /** One of the two: text, or bytes that are none. */
  readonly data?: string;
  readonly dataBase64?: string;
}

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;

export async function getDeadLetterTopics(queue: DeadLetterQueue, request: ApiRequest): Promise<void> {
  const topics = await queue.topics();
  answerJson(request, { topics: topics.map(topicJson) });
}

/** A page of what lies in a dead letter topic: without the data. */
export async function listEvents(queue: DeadLetterQueue, request: ApiRequest, place: DeadLetterPlace): Promise<void> {
  const asked = new URLSearchParams(request.query ?? "");
  const limit = limitOf(asked.get("limit"));
  const { events, isMore } = await queue.list(place, limit, valueOf(asked.get("after")), summaryOf);
  answerJson(request, { events, more: isMore });
}

export async function getEvent(queue: DeadLetterQueue, request: ApiRequest, place: DeadLetterPlace): Promise<void> {
  const event = await queue.get(place);
  const metadata = Object.fromEntries(event.stored.metadata);
  const whole: WholeDeadLetterJson = { ...summaryOf(event), metadata, ...dataOf(event) };
  answerJson(request, whole);
}

export async function replayEvent(queue: DeadLetterQueue, request: ApiRequest, place: DeadLetterPlace): Promise<void> {
  const to = valueOf(new URLSearchParams(request.query ?? "").get("to"));
  const { exchange, trace } = request;
  const topic = await queue.replay({ ...place, to, trace, signal: exchange.signal });
  answerJson(request, { id: place.id, topic });
}

export async function removeEvent(queue: DeadLetterQueue, request: ApiRequest, place: DeadLetterPlace): Promise<void> {
  await queue.remove(place);
  answer(request.exchange, 204, undefined, request.traceHeaders);
}

function topicJson({ isMore, oldestAtMs, ...topic }: DeadLetterTopic): DeadLetterTopicJson {
  return { ...topic, more: isMore, oldest: oldestAtMs === undefined ? undefined : new Date(oldestAtMs).toISOString() };
}

function summaryOf({ stored, envelope, originalTopic, why }: StoredDeadLetter): DeadLetterJson {
  const { id, publishedAtMs, data, contentType } = stored;
  const event = envelope && { id: envelope.text("id"), type: envelope.text("type"), source: envelope.text("source") };
  const time = new Date(publishedAtMs).toISOString();
  const summary = { id, time, size: data.byteLength, contentType, originalTopic, ...Object.fromEntries(why) };
  return event === undefined ? summary : { ...summary, event };
}

/** As text where it is one, so that people can read it. */
function dataOf({ stored: { data } }: StoredDeadLetter): Pick<WholeDeadLetterJson, "data" | "dataBase64"> {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return isUtf8(bytes) ? { data: bytes.toString("utf8") } : { dataBase64: bytes.toString("base64") };
}

function limitOf(text: string | null): number {
  if (text === null || text === "") return DEFAULT_LIMIT;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new OutriggerError("malformedRequest", `limit is "${text}"; give a number from 1 to ${MAX_LIMIT}`);
}

function valueOf(text: string | null): string | undefined {
  return text === null || text === "" ? undefined : text;
}

function answerJson(request: ApiRequest, value: unknown): void {
  answer(request.exchange, 200, { type: "application/json", text: goJson(value) }, request.traceHeaders);
}
