import type { JsonObject, JsonValue, MessageInitShape } from "@bufbuild/protobuf";
import {
  TopicEventResponse_TopicEventResponseStatus as Status,
  type TopicEventRequestSchema,
} from "../../gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import type { CloudEvent } from "../../pubsub/cloud-event.ts";
import type { Delivery, Reception } from "../../pubsub/ports.ts";

/** Events as gRPC has them, to an app and to a client that has subscribed over a stream alike (observed-grpc, "PublishEvent"). */

/** The fields of a TopicEventCERequest, which a TopicEventRequest has too. */
export interface EventFields {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly specVersion: string;
  readonly dataContentType: string;
  readonly data: Uint8Array;
  readonly extensions: JsonObject;
}

/** @throws {Error} for an event that gRPC cannot say. */
export function topicEventOf({
  event,
  topic,
  pubsub: pubsubName,
  path,
}: Delivery): MessageInitShape<typeof TopicEventRequestSchema> {
  return { ...cloudEventOf(event), topic, pubsubName, path };
}

/** The same of one in a batch. */
export function cloudEventOf(event: CloudEvent): EventFields {
  const { bytes, contentType = "" } = event.dataBytes();
  return {
    id: event.text("id") ?? "",
    source: event.text("source") ?? "",
    type: event.text("type") ?? "",
    specVersion: event.text("specversion") ?? "",
    dataContentType: contentType,
    data: bytes,
    extensions: extensionsOf(event),
  };
}

const WITH_A_FIELD = new Set(["id", "source", "type", "specversion", "datacontenttype", "data", "data_base64"]);

/** All members that have no field of their own, `time` and `subject` among them. */
function extensionsOf(event: CloudEvent): JsonObject {
  const members = JSON.parse(event.toJson()) as JsonObject;
  const extensions = Object.entries(members).filter(([name]) => !WITH_A_FIELD.has(name));
  for (const [name, value] of extensions) refuseUnsayable(name, value, 1);
  return Object.fromEntries(extensions);
}

// As deep as protobuf's libraries read by default.
const MAX_DEPTH = 32;

/** What a google.protobuf.Struct cannot hold, or no app would read: its numbers are doubles. */
function refuseUnsayable(name: string, value: JsonValue, depth: number): void {
  if (typeof value === "number" && !Number.isFinite(value)) throw new Error(`${name} has a number that is no double`);
  if (typeof value !== "object" || value === null) return;
  if (depth > MAX_DEPTH) throw new Error(`${name} is nested more than ${MAX_DEPTH} deep`);
  for (const inner of Object.values(value)) refuseUnsayable(name, inner, depth + 1);
}

/** What a subscriber's status says (A8). */
export function receptionOfTopicStatus(status: Status): Reception {
  switch (status) {
    case Status.SUCCESS:
      return { kind: "success" };
    case Status.RETRY:
      return { kind: "retry", why: "the app answered RETRY", code: undefined };
    case Status.DROP:
      return { kind: "drop", why: "the app answered DROP", isDeadLetter: true, level: "warn", code: undefined };
    default:
      // Of a later protocol: a number that the enum does not have.
      return {
        kind: "retry",
        why: `the app answered with a status that there is not: ${String(status)}`,
        code: undefined,
      };
  }
}

/** Tried again, it would fail again. */
export function unsayable(error: Error): Reception {
  const why = `the event cannot be said in gRPC: ${error.message}`;
  return { kind: "drop", why, isDeadLetter: true, level: "error", code: undefined };
}
