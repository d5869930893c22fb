import { messageOf, OutriggerError } from "../core/errors.ts";

/** The errors of publishing, with daprd's texts and details (A7; observed/, "publish"). */

const KIND = "pubsub";

export type RequestMetadata = ReadonlyMap<string, string>;

export function pubsubNameEmpty(metadata: RequestMetadata): OutriggerError {
  return new OutriggerError("pubsubNameEmpty", "pubsub name is empty", {
    resource: { type: KIND, name: "" },
    infoMetadata: Object.fromEntries(metadata),
  });
}

/** The one that does not name the resource. */
export function pubsubNotFound(name: string, metadata: RequestMetadata): OutriggerError {
  return new OutriggerError("pubsubNotFound", `pubsub ${name} is not found`, {
    infoMetadata: Object.fromEntries(metadata),
  });
}

export function topicNameEmpty(pubsub: string, metadata: RequestMetadata): OutriggerError {
  return new OutriggerError("topicNameEmpty", `topic is empty in pubsub ${pubsub}`, {
    resource: { type: KIND, name: pubsub },
    infoMetadata: Object.fromEntries(metadata),
  });
}

export function publishMetadataMalformed(pubsub: string, metadata: RequestMetadata, cause: unknown): OutriggerError {
  const message = `failed deserializing metadata. Error: ${messageOf(cause)}`;
  return new OutriggerError("publishMetadataMalformed", message, {
    cause,
    resource: { type: KIND, name: pubsub },
    infoMetadata: Object.fromEntries(metadata),
  });
}

/** Where an event was to go, and whose it is. */
export interface PublishPlace {
  readonly appId: string;
  readonly pubsub: string;
  readonly topic: string;
}

export function cloudEventMalformed({ appId, pubsub }: PublishPlace, cause: unknown): OutriggerError {
  return new OutriggerError("cloudEventMalformed", "cannot create cloudevent", {
    cause,
    resource: { type: KIND, name: pubsub },
    infoMetadata: { appID: appId, error: messageOf(cause) },
  });
}

export function bulkRequestMalformed({ appId, pubsub, topic }: PublishPlace, cause: unknown): OutriggerError {
  const message = `error when unmarshaling the request for topic ${topic} pubsub ${pubsub}: ${messageOf(cause)}`;
  return new OutriggerError("bulkRequestMalformed", message, {
    cause,
    resource: { type: KIND, name: pubsub },
    infoMetadata: { appID: appId },
  });
}

export function bulkEventMismatch({ appId, pubsub, topic }: PublishPlace, cause: unknown): OutriggerError {
  const error = messageOf(cause);
  const message = `error when marshalling cloud event envelope for topic ${topic} pubsub ${pubsub}: ${error}`;
  return new OutriggerError("bulkEventMismatch", message, {
    cause,
    resource: { type: KIND, name: pubsub },
    infoMetadata: { appID: appId, error },
  });
}

export function bulkEntryIdsMalformed({ appId, pubsub, topic }: PublishPlace): OutriggerError {
  const error = "entryId is duplicated or not present for entry";
  const message = `error marshaling events to bytes for topic ${topic} pubsub ${pubsub}. error: ${error}`;
  return new OutriggerError("bulkEntryIdsMalformed", message, {
    resource: { type: KIND, name: pubsub },
    infoMetadata: { appID: appId, error },
  });
}

export function topicForbidden({ appId, pubsub, topic }: PublishPlace): OutriggerError {
  const message = `topic ${topic} is not allowed for app id ${appId}`;
  return new OutriggerError("topicForbidden", message, {
    resource: { type: KIND, name: pubsub },
    infoMetadata: { topic, error: message },
  });
}

export function publishFailed({ pubsub, topic }: Omit<PublishPlace, "appId">, cause: unknown): OutriggerError {
  const error = messageOf(cause);
  return new OutriggerError("publishFailed", `error when publishing to topic ${topic} in pubsub ${pubsub}: ${error}`, {
    cause,
    resource: { type: KIND, name: pubsub },
    infoMetadata: { topic, error },
  });
}
