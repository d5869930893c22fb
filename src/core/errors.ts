import { GRPC_CODE, type GrpcCodeName, numberOfStatus, type StatusCode } from "./grpc-code.ts";

/**
 * Errors as a table: Dapr's code, the HTTP status and the message belong together in one row, and each protocol has one
 * file that writes a row out (transport/http/error-answer.ts, transport/grpc/error-status.ts). Codes and texts: wire-contract A2, A9, and seed 000.
 */

export interface ErrorRow {
  /** Dapr's `errorCode`, visible on the wire. */
  readonly errorCode: string;
  readonly httpStatus: number;
  readonly grpcCode: GrpcCodeName;
  /** Of the google.rpc.ErrorInfo among the details; absent where daprd gives none. */
  readonly reason?: string;
  /** When it is raised, for docs/errors.md. */
  readonly meaning: string;
}

export const ERRORS = {
  methodNameNotGiven: {
    errorCode: "ERR_DIRECT_INVOKE",
    httpStatus: 400,
    grpcCode: "INVALID_ARGUMENT",
    meaning: "nothing follows `/method/` (seed 000)",
  },
  noTarget: {
    errorCode: "ERR_DIRECT_INVOKE",
    httpStatus: 404,
    grpcCode: "INVALID_ARGUMENT",
    meaning: "no route, and no app named in the path, the `dapr-app-id` header or the basic-auth user",
  },
  invocationForbidden: {
    errorCode: "ERR_DIRECT_INVOKE",
    httpStatus: 403,
    grpcCode: "PERMISSION_DENIED",
    meaning: "the callee's access control forbids the call (seed 000)",
  },
  bodyTooLarge: {
    errorCode: "ERR_DIRECT_INVOKE",
    httpStatus: 413,
    grpcCode: "RESOURCE_EXHAUSTED",
    meaning: "the announced body is over `--max-body-size`; daprd answers 500",
  },
  invocationFailed: {
    errorCode: "ERR_DIRECT_INVOKE",
    httpStatus: 500,
    grpcCode: "INTERNAL",
    meaning:
      "anything else that keeps the app from answering: unknown app, nobody listening, an invalid method, an app that is not healthy (`--enable-app-health-check`), too many calls that wait for it (`--app-max-queue`)",
  },
  pubsubNameEmpty: {
    errorCode: "ERR_PUBSUB_EMPTY",
    httpStatus: 404,
    grpcCode: "INVALID_ARGUMENT",
    reason: "DAPR_PUBSUB_NAME_EMPTY",
    meaning: "an event is published to no pub/sub component (over gRPC; over HTTP that is no route)",
  },
  pubsubNotFound: {
    errorCode: "ERR_PUBSUB_NOT_FOUND",
    httpStatus: 404,
    grpcCode: "INVALID_ARGUMENT",
    reason: "DAPR_PUBSUB_NOT_FOUND",
    meaning: "no pub/sub component has this name",
  },
  topicNameEmpty: {
    errorCode: "ERR_TOPIC_NAME_EMPTY",
    httpStatus: 404,
    grpcCode: "INVALID_ARGUMENT",
    reason: "DAPR_PUBSUB_TOPIC_NAME_EMPTY",
    meaning: "an event is published to no topic (over gRPC; over HTTP that is no route)",
  },
  publishMetadataMalformed: {
    errorCode: "ERR_PUBSUB_REQUEST_METADATA",
    httpStatus: 400,
    grpcCode: "INVALID_ARGUMENT",
    reason: "DAPR_PUBSUB_METADATA_DESERIALIZATION",
    meaning: "the metadata `rawPayload` of an event is neither true nor false",
  },
  cloudEventMalformed: {
    errorCode: "ERR_PUBSUB_CLOUD_EVENTS_SER",
    httpStatus: 500,
    grpcCode: "INVALID_ARGUMENT",
    reason: "DAPR_PUBSUB_CLOUD_EVENT_CREATION",
    meaning:
      "what is published as `application/cloudevents+json` is no JSON object; `error` among the details says what is wrong",
  },
  bulkRequestMalformed: {
    errorCode: "ERR_PUBSUB_EVENTS_SER",
    httpStatus: 400,
    grpcCode: "INVALID_ARGUMENT",
    reason: "DAPR_PUBSUB_UNMARSHAL_EVENTS",
    meaning: "the body of a bulk publish is no JSON array of entries",
  },
  bulkEventMismatch: {
    errorCode: "ERR_PUBSUB_EVENTS_SER",
    httpStatus: 400,
    grpcCode: "INVALID_ARGUMENT",
    reason: "DAPR_PUBSUB_MARSHAL_ENVELOPE",
    meaning: "an entry's `event` is not what its `contentType` says, or it has no content type that bulk publish knows",
  },
  bulkEntryIdsMalformed: {
    errorCode: "ERR_PUBSUB_EVENTS_SER",
    httpStatus: 400,
    grpcCode: "INVALID_ARGUMENT",
    reason: "DAPR_PUBSUB_MARSHAL_EVENTS",
    meaning: "an entry of a bulk publish has no `entryId`, or that of another one",
  },
  topicForbidden: {
    errorCode: "ERR_PUBSUB_FORBIDDEN",
    httpStatus: 403,
    grpcCode: "PERMISSION_DENIED",
    reason: "DAPR_PUBSUB_FORBIDDEN",
    meaning: "the component's scopes do not let the app publish to the topic",
  },
  publishFailed: {
    errorCode: "ERR_PUBSUB_PUBLISH_MESSAGE",
    httpStatus: 500,
    grpcCode: "INTERNAL",
    reason: "DAPR_PUBSUB_PUBLISH_MESSAGE",
    meaning:
      "the broker did not take the event, or its body could not be read to the end; it may have been published all the same",
  },
  brokerNotBrowsable: {
    errorCode: "ERR_PUBSUB_NOT_BROWSABLE",
    httpStatus: 501,
    grpcCode: "UNIMPLEMENTED",
    meaning:
      "dead letters are looked for in a broker that does not show what it holds, as `pubsub.in-memory`; not one of Dapr's codes",
  },
  browsingFailed: {
    errorCode: "ERR_PUBSUB_BROWSE",
    httpStatus: 500,
    grpcCode: "INTERNAL",
    meaning: "the broker failed while its dead letters were looked at or removed; not one of Dapr's codes",
  },
  storedEventNotFound: {
    errorCode: "ERR_PUBSUB_EVENT_NOT_FOUND",
    httpStatus: 404,
    grpcCode: "NOT_FOUND",
    meaning: "the topic has no event with this id (any more); not one of Dapr's codes",
  },
  notDeadLetters: {
    errorCode: "ERR_PUBSUB_FORBIDDEN",
    httpStatus: 403,
    grpcCode: "PERMISSION_DENIED",
    meaning: "a topic is looked into that gets no dead letters of this app, and that it may not subscribe to",
  },
  deadLetterRefused: {
    errorCode: "ERR_PUBSUB_DEAD_LETTER",
    httpStatus: 409,
    grpcCode: "FAILED_PRECONDITION",
    meaning:
      "an event cannot be replayed, because its topic is not known or is the one it is in, or is to be removed and is no dead letter; not one of Dapr's codes",
  },
  stateNotConfigured: {
    errorCode: "ERR_STATE_STORE_NOT_CONFIGURED",
    httpStatus: 500,
    grpcCode: "FAILED_PRECONDITION",
    reason: "DAPR_STATE_NOT_CONFIGURED",
    meaning: "a state store is asked for (over gRPC), which Outrigger never has",
  },
  notReady: {
    errorCode: "ERR_HEALTH_NOT_READY",
    httpStatus: 500,
    grpcCode: "UNAVAILABLE",
    meaning: "`/v1.0/healthz` before all is ready",
  },
  outboundNotReady: {
    errorCode: "ERR_OUTBOUND_HEALTH_NOT_READY",
    httpStatus: 500,
    grpcCode: "UNAVAILABLE",
    meaning: "`/v1.0/healthz/outbound` before the sidecar is ready",
  },
  appIdMismatch: {
    errorCode: "ERR_HEALTH_APPID_NOT_MATCH",
    httpStatus: 500,
    grpcCode: "INVALID_ARGUMENT",
    meaning: "`/v1.0/healthz?appid=` names another app",
  },
  malformedRequest: {
    errorCode: "ERR_MALFORMED_REQUEST",
    httpStatus: 400,
    grpcCode: "INVALID_ARGUMENT",
    meaning:
      "a metadata key that is not valid percent-encoding; an `InvokeService` without its message, or with a verb that there is not; not one of Dapr's codes",
  },
  internal: {
    errorCode: "ERR_INTERNAL",
    httpStatus: 500,
    grpcCode: "INTERNAL",
    meaning: "something in Outrigger broke, or a middleware failed, which the log tells; not one of Dapr's codes",
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorName = keyof typeof ERRORS;

export interface OutriggerErrorOptions extends ErrorOptions {
  /** What it failed for, by Dapr's name of its kind (`pubsub`) and its own: google.rpc.ResourceInfo. */
  readonly resource?: { readonly type: string; readonly name: string };
  /** Of the google.rpc.ErrorInfo among the details. */
  readonly infoMetadata?: Readonly<Record<string, string>>;
}

/** Of every google.rpc.ErrorInfo; Dapr's. */
export const ERROR_DOMAIN = "dapr.io";

/** An error that a caller is meant to read. */
export class OutriggerError extends Error {
  override readonly name = "OutriggerError";
  readonly resource: OutriggerErrorOptions["resource"];
  readonly infoMetadata: Readonly<Record<string, string>>;

  constructor(
    readonly kind: ErrorName,
    message: string,
    options?: OutriggerErrorOptions,
  ) {
    super(message, options);
    this.resource = options?.resource;
    this.infoMetadata = options?.infoMetadata ?? {};
  }

  get errorCode(): string {
    return ERRORS[this.kind].errorCode;
  }

  get httpStatus(): number {
    return ERRORS[this.kind].httpStatus;
  }

  get grpcCode(): GrpcCodeName {
    return ERRORS[this.kind].grpcCode;
  }

  get reason(): string | undefined {
    const row: ErrorRow = ERRORS[this.kind];
    return row.reason;
  }
}

/**
 * Something the user has to mend before Outrigger can do its work: a flag, a file, a port. Its message is one line that
 * says what it is about and what to do; it is printed without a stack.
 */
export class SetupError extends Error {
  override readonly name: string = "SetupError";
}

export interface CallErrorOptions extends ErrorOptions {
  /** Whoever was to be called has got nothing of the request. Where it is not said, its causes may know. */
  readonly nothingSent?: boolean;
}

/**
 * Why one hop of an invocation failed. `Unavailable` means that the callee's sidecar could not be reached or went away
 * before it answered, and is what the built-in retries act on (A3).
 */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly nothingSent: boolean;

  constructor(
    /** Undefined where daprd raises a plain Go error, which it prints without the `rpc error` prefix. */
    readonly code: StatusCode | undefined,
    message: string,
    options?: CallErrorOptions,
  ) {
    super(message, options);
    this.nothingSent = options?.nothingSent === true;
  }

  /** Of a plain Go error, what grpc-go makes of it. */
  get grpcCode(): number {
    return this.code === undefined ? GRPC_CODE.UNKNOWN : numberOfStatus(this.code);
  }

  /** As grpc-go prints it, because that text reaches the caller inside Dapr's error JSON and clients match on it. */
  override toString(): string {
    return this.code === undefined ? this.message : `rpc error: code = ${this.code} desc = ${this.message}`;
  }
}

/** An error that knows whether the request went out before it. */
interface SaysWhatWasSent {
  readonly nothingSent: boolean;
}

/** Whether one of the causes of `error` says that nobody has got anything of the request: then it can be made again, whatever it asks for. */
export function nothingWasSent(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ((at as Error & Partial<SaysWhatWasSent>).nothingSent === true) return true;
  }
  return false;
}

/** The message of anything thrown, for a log line or an error text. */
export function messageOf(error: unknown): string {
  if (error instanceof CallError) return error.toString();
  return error instanceof Error ? error.message : String(error);
}
