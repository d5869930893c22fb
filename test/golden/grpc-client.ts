import grpc from "@grpc/grpc-js";
import type { TestScope } from "../support/cleanup.ts";
import { DAPR, ECHO, serviceOf } from "./grpc-definitions.ts";
import type { RecordedMessage } from "./grpc-recorded-cases.ts";
import type { HeaderPair } from "./raw-client.ts";

/** gRPC's own client, with the options of the one that was recorded. */

type Call = grpc.requestCallback<RecordedMessage>;

/** With a method for each rpc. */
export type ServiceClient = grpc.Client & Readonly<Record<string, unknown>>;

export interface GrpcAnswer {
  readonly headers?: readonly HeaderPair[];
  readonly value?: RecordedMessage;
  readonly trailers?: readonly HeaderPair[];
  readonly received?: readonly RecordedMessage[];
  readonly err: GrpcFailure | null;
}

export interface GrpcFailure {
  readonly code: string;
  readonly message: string;
  readonly trailers: readonly HeaderPair[];
  /** Of `grpc-status-details-bin`. */
  readonly details?: Buffer;
}

/** A client of `dapr.proto.runtime.v1.Dapr`. Closed with the test. */
export function daprClient(t: TestScope, address: string): ServiceClient {
  return clientOf(t, address, serviceOf(...DAPR));
}

/** A client of the service that was recorded behind the proxy. Closed with the test. */
export function echoClient(t: TestScope, address: string): ServiceClient {
  return clientOf(t, address, serviceOf(...ECHO));
}

function clientOf(t: TestScope, address: string, Service: grpc.ServiceClientConstructor): ServiceClient {
  const client = new Service(address, grpc.credentials.createInsecure());
  t.after(() => {
    client.close();
  });
  return client;
}

/** @param rpc by its name; one that is not in our protocol files has strings for its fields, in order. */
export async function callUnary(
  client: ServiceClient,
  rpc: string,
  message: RecordedMessage,
  metadata: grpc.Metadata,
  options: grpc.CallOptions = {},
): Promise<GrpcAnswer> {
  let headers: readonly HeaderPair[] | undefined;
  let trailers: readonly HeaderPair[] = [];
  return new Promise((resolve) => {
    const done: Call = (error, value) => {
      // The status comes behind the callback.
      setImmediate(() => {
        const head = headers === undefined ? {} : { headers };
        if (error !== null) resolve({ ...head, err: failureOf(error) });
        else resolve({ ...head, err: null, value: value ?? {}, trailers });
      });
    };
    const call = begin(client, rpc, message, { metadata, options }, done);
    call.on("metadata", (sent: grpc.Metadata) => {
      headers = pairsOf(sent);
    });
    call.on("status", (status: grpc.StatusObject) => {
      trailers = pairsOf(status.metadata);
    });
  });
}

function begin(
  client: ServiceClient,
  rpc: string,
  message: RecordedMessage,
  { metadata, options }: { readonly metadata: grpc.Metadata; readonly options: grpc.CallOptions },
  done: Call,
): grpc.ClientUnaryCall {
  const method = client[rpc];
  if (typeof method === "function") {
    return Reflect.apply(method, client, [message, metadata, options, done]) as grpc.ClientUnaryCall;
  }
  const path = `/dapr.proto.runtime.v1.Dapr/${rpc}`;
  return client.makeUnaryRequest(path, encodeStrings, () => ({}), message, metadata, done);
}

/** Of a message that our protocol files do not have, whose fields are strings in the order of their numbers. */
function encodeStrings(message: RecordedMessage): Buffer {
  const fields = Object.values(message).map((value, at) => {
    const bytes = Buffer.from(String(value));
    return Buffer.concat([Buffer.from([((at + 1) << 3) | 2, bytes.length]), bytes]);
  });
  return Buffer.concat(fields);
}

/**
 * Sends the messages, and keeps its half of the stream open until the sidecar ends the call.
 *
 * @param publish called once it is subscribed; the call is over with the event that comes of it.
 */
export async function subscribe(
  client: ServiceClient,
  messages: readonly RecordedMessage[],
  publish?: () => Promise<unknown>,
): Promise<GrpcAnswer> {
  const method = client["SubscribeTopicEventsAlpha1"] as () => grpc.ClientDuplexStream<
    RecordedMessage,
    RecordedMessage
  >;
  const call = method.call(client);
  const received: RecordedMessage[] = [];
  return new Promise((resolve) => {
    call.on("data", (message: RecordedMessage) => {
      received.push(message);
      if (publish === undefined) return;
      if (received.length === 1) void publish();
      else {
        resolve({ received, err: null });
        call.cancel();
      }
    });
    call.on("error", (error: grpc.ServiceError) => {
      resolve({ received, err: failureOf(error) });
    });
    call.on("end", () => undefined);
    for (const message of messages) call.write(message);
  });
}

/** Sends what the client of the recording sent, which stands in none of its lines, and reads the call to its end. */
export async function callStreaming(
  client: ServiceClient,
  rpc: "ServerStream" | "Bidi",
  metadata: grpc.Metadata,
): Promise<GrpcAnswer> {
  const method = client[rpc] as (...args: unknown[]) => grpc.ClientDuplexStream<RecordedMessage, RecordedMessage>;
  const call = rpc === "Bidi" ? method.call(client, metadata) : method.call(client, { text: "go" }, metadata);
  const received: RecordedMessage[] = [];
  let headers: readonly HeaderPair[] = [];
  call.on("metadata", (sent: grpc.Metadata) => {
    headers = pairsOf(sent);
  });
  call.on("data", (message: RecordedMessage) => received.push(message));
  if (rpc === "Bidi") {
    for (const text of ["a", "b"]) call.write({ text });
    call.end();
  }
  return new Promise((resolve, reject) => {
    call.on("error", reject);
    call.on("status", ({ metadata: trailers }) => {
      resolve({ headers, received, trailers: pairsOf(trailers), err: null });
    });
  });
}

function failureOf({ code, details: message, metadata }: grpc.ServiceError): GrpcFailure {
  const [details] = metadata.get("grpc-status-details-bin");
  metadata.remove("grpc-status-details-bin");
  const failure = { code: grpc.status[code], message, trailers: pairsOf(metadata) };
  return Buffer.isBuffer(details) ? { ...failure, details } : failure;
}

export function pairsOf(metadata: grpc.Metadata): HeaderPair[] {
  const names = Object.keys(metadata.getMap());
  return names.flatMap((name) =>
    metadata.get(name).map((value): HeaderPair => {
      return [name, Buffer.isBuffer(value) ? `<bin ${value.toString("base64")}>` : value];
    }),
  );
}
