import {
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  fromJson,
  type JsonObject,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import type { InvokeRequest } from "../../src/gen/dapr/proto/common/v1/common_pb.ts";
import {
  AppCallback,
  AppCallbackAlpha,
  AppCallbackHealthCheck,
} from "../../src/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import type { TestScope } from "./cleanup.ts";

/** An app that speaks gRPC through a library that nobody here wrote. */

/** What the app was called with. */
export interface ReceivedInvoke {
  readonly request: InvokeRequest;
  /** As the library shows it: bytes where the name ends in `-bin`. */
  readonly metadata: grpc.Metadata;
  /** Whether the caller has given a deadline. */
  readonly hasDeadline: boolean;
}

export interface InvokeAnswer {
  readonly body?: Uint8Array;
  readonly contentType?: string;
  readonly typeUrl?: string;
  readonly headers?: grpc.Metadata;
  readonly trailers?: grpc.Metadata;
}

export interface GrpcApp {
  readonly port: number;
  /** Oldest first. */
  readonly received: readonly ReceivedInvoke[];
  /** Cuts every connection, as an app does that is killed. */
  kill(): void;
}

export interface GrpcAppOptions {
  readonly port?: number;
  /** Without: the app has no such method. @throws {grpc.ServiceError} what the call ends with. */
  readonly onInvoke?: (call: ReceivedInvoke) => Promise<InvokeAnswer> | InvokeAnswer;
  /** Without: the app has no such method. */
  readonly healthCheck?: (metadata: grpc.Metadata) => void | Promise<void>;
  /** Methods about events, by the names of their descriptors; those that are not there the app does not have. */
  readonly events?: Partial<Record<EventMethod, GrpcEventHandler>>;
  readonly credentials?: grpc.ServerCredentials;
}

const EVENT_METHODS = {
  listTopicSubscriptions: AppCallback.method.listTopicSubscriptions,
  onTopicEvent: AppCallback.method.onTopicEvent,
  onBulkTopicEvent: AppCallback.method.onBulkTopicEvent,
  onBulkTopicEventAlpha1: AppCallbackAlpha.method.onBulkTopicEventAlpha1,
} as const;

type EventMethod = keyof typeof EVENT_METHODS;

/** @returns the answer in JSON, as protobuf has it. @throws {grpc.ServiceError} what the call ends with. */
export type GrpcEventHandler = (
  request: MessageShape<DescMessage>,
  metadata: grpc.Metadata,
) => JsonObject | Promise<JsonObject>;

const NO_LIMIT = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

export async function startGrpcApp(t: TestScope, options: GrpcAppOptions): Promise<GrpcApp> {
  const {
    port = 0,
    onInvoke,
    healthCheck,
    events = {},
    credentials = grpc.ServerCredentials.createInsecure(),
  } = options;
  const server = new grpc.Server(NO_LIMIT);
  const received: ReceivedInvoke[] = [];
  if (onInvoke !== undefined) {
    addUnary(server, AppCallback, AppCallback.method.onInvoke, async (request, call) => {
      const hasDeadline = Number.isFinite(call.getDeadline());
      const invoked = { request: request as InvokeRequest, metadata: call.metadata, hasDeadline };
      received.push(invoked);
      const { headers, trailers, body = new Uint8Array(), contentType = "", typeUrl = "" } = await onInvoke(invoked);
      if (headers !== undefined) call.sendMetadata(headers);
      const data = { $typeName: "google.protobuf.Any", typeUrl, value: body };
      return [{ $typeName: "dapr.proto.common.v1.InvokeResponse", data, contentType }, trailers];
    });
  }
  if (healthCheck !== undefined) {
    addUnary(server, AppCallbackHealthCheck, AppCallbackHealthCheck.method.healthCheck, async (_, call) => {
      await healthCheck(call.metadata);
      return [{ $typeName: "dapr.proto.runtime.v1.HealthCheckResponse" }, undefined];
    });
  }
  for (const [name, handle] of Object.entries(events)) {
    const method = EVENT_METHODS[name as EventMethod];
    addUnary(server, method.parent, method, async (request, call) => {
      return [fromJson(method.output, await handle(request, call.metadata)), undefined];
    });
  }
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, found) => {
      if (error === null) resolve(found);
      else reject(error);
    });
  });
  const kill = (): void => {
    server.forceShutdown();
  };
  t.after(kill);
  return { port: bound, received, kill };
}

type UnaryCall = grpc.ServerUnaryCall<MessageShape<DescMessage>, MessageShape<DescMessage>>;
type Handler = (
  request: MessageShape<DescMessage>,
  call: UnaryCall,
) => Promise<[answer: MessageShape<DescMessage>, trailers: grpc.Metadata | undefined]>;

function addUnary(server: grpc.Server, service: DescService, method: DescMethod, handle: Handler): void {
  const definition = {
    [method.name]: {
      path: `/${service.typeName}/${method.name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: bytesOf(method.input),
      requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
      responseSerialize: bytesOf(method.output),
      responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
    },
  };
  server.addService(definition, {
    [method.name]: (call: UnaryCall, callback: grpc.sendUnaryData<MessageShape<DescMessage>>) => {
      handle(call.request, call).then(
        ([answer, trailers]) => {
          callback(null, answer, trailers);
        },
        (error: unknown) => {
          callback(error as grpc.ServiceError);
        },
      );
    },
  });
}

function bytesOf(schema: DescMessage): (message: MessageShape<DescMessage>) => Buffer {
  return (message) => Buffer.from(toBinary(schema, message));
}

export function metadataOf(entries: Readonly<Record<string, string | Buffer>>): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(entries)) metadata.add(name, value);
  return metadata;
}
